//! A ROS 2 parameter file as names and values.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::Value as Yaml;

use super::error::ConfigError;
use super::value::Value;
use crate::files;

/// Bytes of a parameter file; real ones have some thousand.
const LONGEST: u64 = 1 << 20;

/// The parameters by dotted name (`success.hold_s`): those of all nodes (`/**`), then those of the node.
///
/// # Errors
/// No such file, no YAML, or nothing for the node in it.
pub fn read(path: &Path, node: &str) -> Result<BTreeMap<String, Value>, ConfigError> {
    let shown = || path.display().to_string();
    let text =
        files::read_yaml(path, LONGEST).map_err(|source| ConfigError::Read { path: shown(), source })?;
    let document: Yaml =
        serde_yaml::from_str(&text).map_err(|source| ConfigError::Yaml { path: shown(), source })?;
    let mut found = BTreeMap::new();
    let mut any = false;
    for node in ["/**", node, &format!("/{node}")] {
        let parameters = document.get(node).and_then(|node| node.get("ros__parameters"));
        if let Some(parameters @ Yaml::Mapping(_)) = parameters {
            any = true;
            flatten("", parameters, &mut found);
        }
    }
    if any { Ok(found) } else { Err(ConfigError::NoParameters { path: shown() }) }
}

/// Groups become the first part of the names of what is in them.
fn flatten(name: &str, yaml: &Yaml, into: &mut BTreeMap<String, Value>) {
    let Yaml::Mapping(group) = yaml else {
        into.insert(name.to_owned(), Value::from(yaml));
        return;
    };
    if group.is_empty() && !name.is_empty() {
        into.insert(name.to_owned(), Value::NOTHING);
    }
    for (key, value) in group {
        let key = key.as_str().unwrap_or_default();
        let name = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        flatten(&name, value, into);
    }
}
