//! The value of a parameter, as a file or ROS gives it.

use std::fmt;

/// A value of one of the types that parameters of ROS have.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    Texts(Vec<String>),
    /// Anything else, which no parameter takes: what it is, for the error.
    Other(&'static str),
}

impl Value {
    /// An empty place in a file: `success:` with nothing behind it.
    pub const NOTHING: Self = Self::Other("nothing");

    /// What ROS calls its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Whole(_) => "integer",
            Self::Number(_) => "double",
            Self::Text(_) => "string",
            Self::Texts(_) => "string array",
            Self::Other(what) => what,
        }
    }
}

/// As it stands in a parameter file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Texts(texts) => write!(f, "{texts:?}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<&serde_yaml::Value> for Value {
    fn from(yaml: &serde_yaml::Value) -> Self {
        use serde_yaml::Value as Yaml;
        match yaml {
            Yaml::Bool(value) => Self::Bool(*value),
            Yaml::Number(number) => match number.as_i64() {
                Some(whole) => Self::Whole(whole),
                None => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            },
            Yaml::String(text) => Self::Text(text.clone()),
            Yaml::Sequence(values) => {
                let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
                texts
                    .collect::<Option<_>>()
                    .map_or(Self::Other("a list of other things than texts"), Self::Texts)
            }
            Yaml::Null => Self::NOTHING,
            Yaml::Mapping(_) => Self::Other("a group of parameters"),
            Yaml::Tagged(_) => Self::Other("a value with a YAML tag"),
        }
    }
}
