//! Topic names as rcl resolves them. r2r does not tell the full name of what it subscribed to, and the graph is asked
//! by full names.

/// What rcl knows when it resolves a name.
#[derive(Debug, Clone)]
pub struct Names {
    /// The node's namespace, `/` or `/arm`.
    namespace: String,
    node: String,
    /// Remapping rules, full name to full name, in their order.
    rules: Vec<(String, String)>,
}

impl Names {
    /// From the program's arguments: every `-r FROM:=TO` (`--remap`) inside `--ros-args`.
    pub fn new(namespace: &str, node: &str, arguments: impl IntoIterator<Item = String>) -> Self {
        let mut names = Self { namespace: namespace.to_owned(), node: node.to_owned(), rules: Vec::new() };
        for rule in remap_rules(arguments) {
            let Some((from, to)) = rule.split_once(":=") else { continue };
            // `NODE:FROM` is for that node alone; names that begin with __ rename the node itself.
            let (only_for, from) = from.split_once(':').unwrap_or((node, from));
            if only_for == node && !from.starts_with("__") {
                let from = from.strip_prefix("rostopic://").unwrap_or(from);
                let full = (names.expand(from), names.expand(to));
                names.rules.push(full);
            }
        }
        names
    }

    /// The full name of a topic, remapped by the first rule that fits.
    pub fn resolve(&self, topic: &str) -> String {
        let full = self.expand(topic);
        self.rules.iter().find(|(from, _)| *from == full).map_or(full, |(_, to)| to.clone())
    }

    fn expand(&self, name: &str) -> String {
        let base = self.namespace.trim_end_matches('/');
        if name.starts_with('/') {
            name.to_owned()
        } else if let Some(own) = name.strip_prefix('~') {
            format!("{base}/{}/{}", self.node, own.trim_start_matches('/'))
        } else {
            format!("{base}/{name}")
        }
    }
}

fn remap_rules(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rules = Vec::new();
    let (mut in_ros, mut expected) = (false, false);
    for argument in arguments {
        match argument.as_str() {
            "--ros-args" => in_ros = true,
            "--" => in_ros = false,
            _ if expected => rules.push(argument.clone()),
            _ => {}
        }
        expected = in_ros && !expected && (argument == "-r" || argument == "--remap");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &str) -> Names {
        Names::new("/arm", "topreward", arguments.split(' ').map(str::to_owned))
    }

    #[test]
    fn names_are_expanded_and_remapped() {
        let names = names(
            "node -r no:=no --ros-args -r __ns:=/arm -r image_raw:=/usb_cam/image --remap ~/instruction:=task \
             -r other:front/image_raw:=x -r topreward:wrist/image_raw:=left/image -p a:=b -- -r late:=no",
        );
        assert_eq!(names.resolve("image_raw"), "/usb_cam/image");
        assert_eq!(names.resolve("/arm/image_raw"), "/usb_cam/image");
        assert_eq!(names.resolve("~/instruction"), "/arm/task");
        assert_eq!(names.resolve("front/image_raw"), "/arm/front/image_raw");
        assert_eq!(names.resolve("wrist/image_raw"), "/arm/left/image");
        assert_eq!(names.resolve("late"), "/arm/late");
        assert_eq!(names.resolve("~/progress"), "/arm/topreward/progress");
    }

    #[test]
    fn the_root_namespace_adds_nothing() {
        assert_eq!(Names::new("/", "n", []).resolve("image_raw"), "/image_raw");
    }
}
