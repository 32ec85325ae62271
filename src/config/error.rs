//! What can be wrong with a configuration; every message names the parameter or the file.

use super::bounds::Bounds;
use super::value::Value;
use crate::episode::SamplerError;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Yaml { path: String, source: serde_yaml::Error },
    #[error(
        "{path}: there are no parameters for \"topreward\": a ROS 2 parameter file has them under \
         \"topreward:\" or \"/**:\", then \"ros__parameters:\""
    )]
    NoParameters { path: String },
    #[error("{path}: {source}")]
    InFile { path: String, source: Box<ConfigError> },
    #[error("parameter {name}: {source}")]
    Parameter { name: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Sampling(#[from] SamplerError),
}

impl ConfigError {
    /// The parameter of this name has a value that does not fit; `why` is an error of its own or a text.
    pub fn parameter(name: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Parameter { name: name.to_owned(), source: why.into() }
    }
}

/// Why a parameter does not take a value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfit {
    #[error("{found} is not {wanted}")]
    Type { found: Value, wanted: &'static str },
    #[error("{} is not {}", short(found), bounds.words())]
    OutOfBounds { found: Value, bounds: Bounds },
}

/// Its type is known to be right: 2.0 is 2 to a reader.
fn short(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// A name that is no parameter's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no parameter \"{name}\"{}", meant(.nearest.as_deref()))]
pub struct Unknown {
    name: String,
    nearest: Option<String>,
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|known| format!("; did you mean \"{known}\"?")).unwrap_or_default()
}

impl Unknown {
    /// Finds the name of those that there are which was probably meant.
    pub fn new<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let nearest = (known.into_iter())
            .map(|known| (strsim::osa_distance(name, known), known))
            .min_by_key(|&(distance, _)| distance)
            .filter(|&(distance, known)| distance <= known.len() / 3);
        Self { name: name.to_owned(), nearest: nearest.map(|(_, known)| known.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::bounds::{above, from, whole};

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_nearest_name() {
        let unknown = |name| Unknown::new(name, ["success.window", "success.hold_s"]).to_string();
        assert_eq!(
            unknown("succes.hold_s"),
            "there is no parameter \"succes.hold_s\"; did you mean \"success.hold_s\"?"
        );
        assert_eq!(unknown("quux"), "there is no parameter \"quux\"");
    }

    #[test]
    fn a_value_out_of_bounds_is_shown_with_them() {
        let told = |found, bounds| Unfit::OutOfBounds { found, bounds }.to_string();
        assert_eq!(told(Value::Number(-1.0), from(0.0, 86400.0)), "-1 is not from 0 to 86400");
        assert_eq!(told(Value::Number(f64::NAN), above(0.0, 9.5)), "NaN is not above 0 and at most 9.5");
        assert_eq!(told(Value::Whole(0), whole(1, 9)), "0 is not from 1 to 9");
        let choice = Bounds::Choice(&["raw", "compressed"]);
        assert_eq!(told(Value::Text("zip".into()), choice), "\"zip\" is not one of raw, compressed");
    }
}
