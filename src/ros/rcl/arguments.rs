use std::panic::catch_unwind;

use super::super::NodeError;

/// The process's one ROS context, from the command line. r2r panics on arguments or a parameter file that rcl cannot
/// read; here that becomes an error of one line.
pub fn context() -> Result<r2r::Context, NodeError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let created = catch_unwind(r2r::Context::create);
    std::panic::set_hook(hook);
    match created {
        Ok(context) => Ok(context?),
        Err(panic) => {
            let text = (panic.downcast_ref::<String>().cloned())
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "rcl_init failed".to_owned());
            Err(NodeError::Arguments(one_line(&text)))
        }
    }
}

/// What stands outside `--ros-args … [--]`: the program's own arguments.
pub fn own_arguments(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut own = Vec::new();
    let mut in_ros = false;
    for argument in all.into_iter().skip(1) {
        match argument.as_str() {
            "--ros-args" => in_ros = true,
            "--" if in_ros => in_ros = false,
            _ if in_ros => {}
            _ => own.push(argument),
        }
    }
    own
}

/// rcl's messages run over several lines and end in the place in its source.
fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.find(", at ") {
        Some(place) => joined[..place].to_owned(),
        None => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ros_arguments_are_not_our_own() {
        let all = "node --help --ros-args -p a:=b --params-file x.yaml -- left --ros-args -r __ns:=/arm";
        assert_eq!(own_arguments(all.split(' ').map(str::to_owned)), ["--help", "left"]);
    }

    #[test]
    fn an_error_is_one_line_without_source_places() {
        assert_eq!(
            one_line("Couldn't parse\n  params: 'x', at ./src/rcl/arguments.c:343"),
            "Couldn't parse params: 'x'"
        );
    }
}
