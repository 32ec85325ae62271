//! The configuration as ROS parameters: overrides in, and the rules for changes while the node runs.

use std::path::PathBuf;

use r2r::indexmap::IndexMap;
use r2r::{Parameter, ParameterValue};
use serde_yaml::Value;

use crate::config::{Change, Config, ConfigError, DECLARATIONS, declaration};
use crate::model::instruction::{InstructionError, InstructionRule};

pub const USE_SIM_TIME: &str = "use_sim_time";
const INSTRUCTION: &str = "instruction";

/// Names that ROS itself may give to any node.
fn belongs_to_ros(name: &str) -> bool {
    name == USE_SIM_TIME || name == "start_type_description_service" || name.starts_with("qos_overrides.")
}

/// The overrides that the node was started with.
pub type Overrides = IndexMap<String, Parameter>;

/// Builds the configuration from the overrides; unknown names are warned about, everything else that does not fit is
/// an error.
pub fn configure(overrides: &Overrides) -> Result<Config, ConfigError> {
    let defaults = defaults(overrides)?;
    let mut given = Vec::new();
    for (name, parameter) in overrides {
        match defaults.iter().find(|(known, _)| known == name) {
            Some((_, default)) => given.push((name.clone(), coerce(name, &parameter.value, default)?)),
            None if belongs_to_ros(name) => {}
            None => {
                let unknown = Unknown::new(name, defaults.iter().map(|(known, _)| known.as_str()));
                log::warn!("{unknown}");
            }
        }
    }
    let mut config = Config::from_parameters(given)?;
    config.model.path = resolve(&config.model.path)?;
    Ok(config)
}

/// Every parameter with its default; which there are depends on the cameras.
fn defaults(overrides: &Overrides) -> Result<Vec<(String, Value)>, ConfigError> {
    let mut config = Config::default();
    if let Some(given) = overrides.get("cameras") {
        let names = coerce("cameras", &given.value, &Value::Sequence(Vec::new()))?;
        config = Config::from_parameters([("cameras".to_owned(), names)])?;
    }
    config.to_parameters()
}

/// A name that is no parameter's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no parameter \"{name}\": it is ignored{}", meant(.nearest.as_deref()))]
pub struct Unknown {
    name: String,
    nearest: Option<String>,
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|known| format!("; did you mean \"{known}\"?")).unwrap_or_default()
}

impl Unknown {
    fn new<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let nearest = known
            .map(|known| (strsim::osa_distance(name, known), known))
            .min_by_key(|&(distance, _)| distance)
            .filter(|&(distance, known)| distance <= known.len() / 3);
        Self { name: name.to_owned(), nearest: nearest.map(|(_, known)| known.to_owned()) }
    }
}

/// Why a parameter is not set.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{0} is read at start-up only and needs a restart of the node")]
    StartUp(String),
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Instruction(#[from] InstructionError),
}

/// The value as the default's type. ROS distinguishes 20 from 20.0; for a number with a fraction both will do.
fn coerce(name: &str, value: &ParameterValue, default: &Value) -> Result<Value, ConfigError> {
    let (wanted, fitting) = match (default, value) {
        (Value::Bool(_), ParameterValue::Bool(value)) => return Ok(Value::from(*value)),
        (Value::Sequence(_), ParameterValue::StringArray(names)) => {
            return Ok(Value::Sequence(names.iter().map(|name| Value::from(name.as_str())).collect()));
        }
        (Value::Sequence(_), _) => ("a list of texts, e.g. [wrist, front]", None),
        (Value::String(_), ParameterValue::String(value)) => return Ok(Value::from(value.as_str())),
        (Value::Number(number), ParameterValue::Double(value)) if number.is_f64() => {
            return Ok(Value::from(*value));
        }
        (Value::Number(number), ParameterValue::Integer(value)) if number.is_f64() => {
            return Ok(Value::from(*value as f64));
        }
        (Value::Number(_), ParameterValue::Integer(value)) => {
            ("a whole number of 0 or more", u64::try_from(*value).ok())
        }
        (Value::Number(number), _) if number.is_f64() => ("a number", None),
        (Value::Number(_), _) => ("a whole number of 0 or more", None),
        (Value::Bool(_), _) => ("true or false", None),
        (_, _) => ("text (in quotes, if it looks like a number or yes/no)", None),
    };
    match fitting {
        Some(value) => Ok(Value::from(value)),
        None => Err(ConfigError::Parameter {
            name: name.to_owned(),
            reason: format!("{} is not {wanted}", shown(value)),
        }),
    }
}

fn shown(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Bool(value) => value.to_string(),
        ParameterValue::Integer(value) => value.to_string(),
        ParameterValue::Double(value) => format!("{value:?}"),
        ParameterValue::String(value) => format!("\"{value}\""),
        other => format!("a {}", other.type_name()),
    }
}

/// `package://topreward/models/x` as a path below a share folder on `AMENT_PREFIX_PATH`; other paths as they are.
fn resolve(path: &str) -> Result<String, ConfigError> {
    let wrong = |reason: String| ConfigError::Parameter { name: "model.path".to_owned(), reason };
    if path.is_empty() {
        return Err(wrong(
            "it is empty: give the folder of a Qwen3-VL checkpoint or its Hugging Face id".to_owned(),
        ));
    }
    let Some(inside) = path.strip_prefix("package://") else { return Ok(path.to_owned()) };
    let prefixes = std::env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
    std::env::split_paths(&prefixes)
        .map(|prefix: PathBuf| prefix.join("share").join(inside))
        .find(|candidate| candidate.exists())
        .map(|found| found.display().to_string())
        .ok_or_else(|| wrong(format!("{path}: no such file below any share folder on AMENT_PREFIX_PATH")))
}

/// Every parameter with its present value. The parameter services and the driver share it.
#[derive(Debug, Clone)]
pub struct Parameters {
    values: Vec<(String, Value)>,
    use_sim_time: bool,
    rule: InstructionRule,
}

impl Parameters {
    pub fn new(config: &Config, use_sim_time: bool) -> Result<Self, ConfigError> {
        let mut values = config.to_parameters()?;
        values.push((USE_SIM_TIME.to_owned(), Value::from(use_sim_time)));
        values.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { values, use_sim_time, rule: InstructionRule::default() })
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }

    /// The rule for instructions from now on.
    pub fn set_rule(&mut self, rule: InstructionRule) {
        self.rule = rule;
    }

    /// The instruction that came by another way.
    pub fn set_instruction(&mut self, instruction: &str) {
        self.put(INSTRUCTION, Value::from(instruction));
    }

    /// The threshold that a calibration has found.
    pub fn set_threshold(&mut self, threshold_nats: f64) {
        self.put("success.threshold_nats", Value::from(threshold_nats));
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::from_parameters(self.values.iter().filter(|(name, _)| name != USE_SIM_TIME).cloned())
    }

    /// Makes all of these changes or none, and gives the configuration with them.
    ///
    /// # Errors
    /// Why the first change that cannot be made is refused.
    pub fn set(&mut self, changes: &[(String, ParameterValue)]) -> Result<Config, ChangeError> {
        let mut changed = self.clone();
        for (name, value) in changes {
            changed.change(name, value)?;
        }
        let config = changed.config()?;
        *self = changed;
        Ok(config)
    }

    fn change(&mut self, name: &str, value: &ParameterValue) -> Result<(), ChangeError> {
        let fixed = || Err(ChangeError::StartUp(name.to_owned()));
        if name == USE_SIM_TIME {
            return if *value == ParameterValue::Bool(self.use_sim_time) { Ok(()) } else { fixed() };
        }
        let Some((declared, current)) = declaration(name).zip(self.get(name)) else {
            return Err(Unknown::new(name, DECLARATIONS.iter().map(|declared| declared.name)).into());
        };
        let mut value = coerce(name, value, current)?;
        if name == INSTRUCTION {
            value = Value::from(&*self.rule.accept(value.as_str().unwrap_or_default())?);
        }
        if declared.change == Change::StartUp && value != *current {
            return fixed();
        }
        self.put(name, value);
        Ok(())
    }

    fn put(&mut self, name: &str, value: Value) {
        if let Some((_, there)) = self.values.iter_mut().find(|(known, _)| known == name) {
            *there = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(given: &[(&str, ParameterValue)]) -> Overrides {
        let model = ("model.path", ParameterValue::String("somewhere".into()));
        let all = given.iter().cloned().chain([model]);
        all.map(|(name, value)| (name.to_owned(), Parameter::new(value))).collect()
    }

    #[test]
    fn an_integer_will_do_for_a_double() {
        let config = configure(&overrides(&[
            ("sampling.rate_hz", ParameterValue::Integer(4)),
            ("success.window", ParameterValue::Integer(5)),
            ("image.transport", ParameterValue::String("compressed".into())),
        ]))
        .unwrap();
        assert_eq!((config.sampling.rate_hz, config.success.window), (4.0, 5));
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_value() {
        let error = |name, value| configure(&overrides(&[(name, value)])).unwrap_err().to_string();
        assert_eq!(
            error("success.window", ParameterValue::Integer(-3)),
            "parameter success.window: -3 is not a whole number of 0 or more"
        );
        assert_eq!(
            error("sampling.rate_hz", ParameterValue::String("fast".into())),
            "parameter sampling.rate_hz: \"fast\" is not a number"
        );
        assert_eq!(
            error("episode.auto_start", ParameterValue::Integer(1)),
            "parameter episode.auto_start: 1 is not true or false"
        );
        let transport = error("image.transport", ParameterValue::String("zip".into()));
        assert!(transport.contains("zip") && transport.contains("compressed"), "{transport}");
    }

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_nearest_name() {
        let known = || DECLARATIONS.iter().map(|declared| declared.name);
        let unknown = |name: &str| Unknown::new(name, known()).to_string();
        assert!(unknown("succes.hold_s").ends_with("did you mean \"success.hold_s\"?"));
        assert!(unknown("quux").ends_with("it is ignored"));
    }

    #[test]
    fn a_model_must_be_named() {
        let empty = [("model.path".to_owned(), Parameter::new(ParameterValue::String(String::new())))];
        let error = configure(&empty.into_iter().collect()).unwrap_err().to_string();
        assert!(error.starts_with("parameter model.path: it is empty"), "{error}");
    }

    #[test]
    fn what_can_change_while_the_node_runs_does_and_the_rest_says_why_not() {
        let mut parameters = Parameters::new(&Config::default(), false).unwrap();
        let mut set = |name: &str, value| parameters.set(&[(name.to_owned(), value)]);
        assert_eq!(set("success.hold_s", ParameterValue::Integer(2)).unwrap().success.hold_s, 2.0);
        let instruction = ParameterValue::String(" wipe the table ".into());
        assert_eq!(set("instruction", instruction).unwrap().instruction, "wipe the table");
        for (name, value, reason) in [
            (
                "success.hold_s",
                ParameterValue::Double(-1.0),
                "parameter success.hold_s: -1 is not from 0 to 86400",
            ),
            ("success.hold_s", ParameterValue::Bool(true), "parameter success.hold_s: true is not a number"),
            ("progress.scale", ParameterValue::String("percent".into()), "percent"),
            ("instruction", ParameterValue::String(" ".into()), "empty"),
            ("sampling.rate_hz", ParameterValue::Double(5.0), "needs a restart"),
            ("use_sim_time", ParameterValue::Bool(true), "needs a restart"),
            ("succes.hold_s", ParameterValue::Double(1.0), "did you mean \"success.hold_s\"?"),
        ] {
            let refusal = set(name, value).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{name}: {refusal}");
        }
        // What does not change anything is not refused.
        assert!(set("sampling.rate_hz", ParameterValue::Double(2.0)).is_ok());
        assert_eq!(parameters.get("success.hold_s"), Some(&Value::from(2.0)));
    }

    #[test]
    fn several_changes_are_made_together_or_not_at_all() {
        let mut parameters = Parameters::new(&Config::default(), false).unwrap();
        let window = ("success.window".to_owned(), ParameterValue::Integer(5));
        let wrong = ("success.hold_s".to_owned(), ParameterValue::Double(-1.0));
        assert!(parameters.set(&[window.clone(), wrong]).is_err());
        assert_eq!(parameters.get("success.window"), Some(&Value::from(3)));
        assert_eq!(parameters.set(&[window]).unwrap().success.window, 5);
    }
}
