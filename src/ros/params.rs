//! The configuration as ROS parameters: overrides in, and the rules for changes while the node runs.

use std::path::PathBuf;

use r2r::indexmap::IndexMap;
use r2r::{Parameter, ParameterValue};

use crate::config::{Change, Config, ConfigError, Unknown, Value, declaration};
use crate::model::instruction::{InstructionError, InstructionRule};

pub const USE_SIM_TIME: &str = "use_sim_time";
const INSTRUCTION: &str = "instruction";
const CAMERAS: &str = "cameras";

/// Names that ROS itself may give to any node.
fn belongs_to_ros(name: &str) -> bool {
    name == USE_SIM_TIME || name == "start_type_description_service" || name.starts_with("qos_overrides.")
}

/// The overrides that the node was started with.
pub type Overrides = IndexMap<String, Parameter>;

/// Builds the configuration from the overrides; unknown names are warned about, everything else that does not
/// fit is an error.
pub fn configure(overrides: &Overrides) -> Result<Config, ConfigError> {
    // Which parameters there are depends on the cameras.
    let cameras = overrides.get_key_value(CAMERAS).map(given);
    let known = Config::from_parameters(cameras)?;
    let (known, unknown): (Vec<_>, Vec<_>) =
        overrides.iter().partition(|(name, _)| known.get(name).is_some());
    let mut config = Config::from_parameters(known.into_iter().map(given))?;
    for (name, _) in unknown.into_iter().filter(|(name, _)| !belongs_to_ros(name)) {
        log::warn!("ignored: {}", config.unknown(name));
    }
    config.model.path = resolve(&config.model.path)?;
    Ok(config)
}

fn given((name, parameter): (&String, &Parameter)) -> (String, Value) {
    (name.clone(), value(&parameter.value))
}

/// A value of ROS as the configuration takes it.
fn value(given: &ParameterValue) -> Value {
    match given {
        ParameterValue::Bool(value) => Value::Bool(*value),
        ParameterValue::Integer(value) => Value::Whole(*value),
        ParameterValue::Double(value) => Value::Number(*value),
        ParameterValue::String(text) => Value::Text(text.clone()),
        ParameterValue::StringArray(texts) => Value::Texts(texts.clone()),
        ParameterValue::IntegerArray(_) | ParameterValue::DoubleArray(_) => Value::Other("a list of numbers"),
        ParameterValue::BoolArray(_) | ParameterValue::ByteArray(_) => {
            Value::Other("a list of other things than texts")
        }
        ParameterValue::NotSet => Value::NOTHING,
    }
}

/// A value of the configuration as ROS takes it.
fn ros_value(value: Value) -> ParameterValue {
    match value {
        Value::Bool(value) => ParameterValue::Bool(value),
        Value::Whole(value) => ParameterValue::Integer(value),
        Value::Number(value) => ParameterValue::Double(value),
        Value::Text(text) => ParameterValue::String(text),
        Value::Texts(texts) => ParameterValue::StringArray(texts),
        Value::Other(_) => ParameterValue::NotSet,
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

/// Why there is no folder of a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelPathError {
    #[error("it is empty: give the folder of a Qwen3-VL checkpoint or its Hugging Face id")]
    Empty,
    #[error("{0}: no such file below any share folder on AMENT_PREFIX_PATH")]
    NotShared(String),
}

/// `package://topreward/models/x` as a path below a share folder on `AMENT_PREFIX_PATH`; other paths as they
/// are.
fn resolve(path: &str) -> Result<String, ConfigError> {
    let wrong = |error: ModelPathError| ConfigError::parameter("model.path", error);
    if path.is_empty() {
        return Err(wrong(ModelPathError::Empty));
    }
    let Some(inside) = path.strip_prefix("package://") else { return Ok(path.to_owned()) };
    let prefixes = std::env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
    std::env::split_paths(&prefixes)
        .map(|prefix: PathBuf| prefix.join("share").join(inside))
        .find(|candidate| candidate.exists())
        .map(|found| found.display().to_string())
        .ok_or_else(|| wrong(ModelPathError::NotShared(path.to_owned())))
}

/// The configuration with what may change in it. The parameter services and the driver share it.
#[derive(Debug, Clone)]
pub struct Parameters {
    config: Config,
    use_sim_time: bool,
    rule: InstructionRule,
}

impl Parameters {
    pub fn new(config: &Config, use_sim_time: bool) -> Self {
        Self { config: config.clone(), use_sim_time, rule: InstructionRule::default() }
    }

    pub fn get(&self, name: &str) -> Option<ParameterValue> {
        match name {
            USE_SIM_TIME => Some(ParameterValue::Bool(self.use_sim_time)),
            name => self.config.get(name).map(ros_value),
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.config.names();
        names.push(USE_SIM_TIME.to_owned());
        names.sort();
        names
    }

    /// The rule for instructions from now on.
    pub fn set_rule(&mut self, rule: InstructionRule) {
        self.rule = rule;
    }

    /// The instruction that came by another way.
    pub fn set_instruction(&mut self, instruction: &str) {
        instruction.clone_into(&mut self.config.instruction);
    }

    /// The threshold that a calibration has found.
    pub fn set_threshold(&mut self, threshold_nats: f64) {
        self.config.success.threshold_nats = threshold_nats;
    }

    /// The configuration as it is now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes all of these changes or none, and gives the configuration with them.
    ///
    /// # Errors
    /// Why the first change that cannot be made is refused.
    pub fn set(&mut self, changes: &[(String, ParameterValue)]) -> Result<Config, ChangeError> {
        let mut config = self.config.clone();
        for (name, given) in changes {
            self.change(&mut config, name, given)?;
        }
        self.config = config.clone();
        Ok(config)
    }

    fn change(&self, config: &mut Config, name: &str, given: &ParameterValue) -> Result<(), ChangeError> {
        let fixed = || Err(ChangeError::StartUp(name.to_owned()));
        if name == USE_SIM_TIME {
            return if *given == ParameterValue::Bool(self.use_sim_time) { Ok(()) } else { fixed() };
        }
        let Some((declared, before)) = declaration(name).zip(config.get(name)) else {
            return Err(config.unknown(name).into());
        };
        config.set(name, &value(given))?;
        if name == INSTRUCTION {
            config.instruction = self.rule.accept(&config.instruction)?.to_string();
        }
        // What does not change anything is not refused.
        if declared.change == Change::StartUp && config.get(name) != Some(before) {
            return fixed();
        }
        Ok(())
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
            "parameter success.window: -3 is not from 1 to 1000"
        );
        assert_eq!(
            error("success.window", ParameterValue::DoubleArray(vec![1.0])),
            "parameter success.window: a list of numbers is not a whole number"
        );
        assert_eq!(
            error("sampling.rate_hz", ParameterValue::String("fast".into())),
            "parameter sampling.rate_hz: \"fast\" is not a number"
        );
        assert_eq!(
            error("episode.auto_start", ParameterValue::Integer(1)),
            "parameter episode.auto_start: 1 is not true or false"
        );
        assert_eq!(
            error("image.transport", ParameterValue::String("zip".into())),
            "parameter image.transport: \"zip\" is not one of raw, compressed"
        );
        let cameras = error("cameras", ParameterValue::StringArray(vec!["a".into(), "a".into()]));
        assert_eq!(cameras, "parameter cameras: \"a\" stands there twice");
    }

    #[test]
    fn what_is_no_parameter_is_ignored_even_where_the_value_would_not_fit() {
        let given = overrides(&[
            ("cameras", ParameterValue::StringArray(vec!["wrist".into()])),
            ("camera.wrist.topic", ParameterValue::String("/wrist".into())),
            ("camera.front.topic", ParameterValue::Integer(1)),
            ("succes.window", ParameterValue::Bool(true)),
            ("qos_overrides./clock.depth", ParameterValue::Integer(1)),
        ]);
        let config = configure(&given).unwrap();
        assert_eq!(config.camera["wrist"].topic, "/wrist");
        assert_eq!(config.camera.len(), 1);
    }

    #[test]
    fn a_model_must_be_named() {
        let empty = [("model.path".to_owned(), Parameter::new(ParameterValue::String(String::new())))];
        let error = configure(&empty.into_iter().collect()).unwrap_err().to_string();
        assert!(error.starts_with("parameter model.path: it is empty"), "{error}");
    }

    #[test]
    fn what_can_change_while_the_node_runs_does_and_the_rest_says_why_not() {
        let mut parameters = Parameters::new(&Config::default(), false);
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
            ("camera.camera.topic", ParameterValue::String("/other".into()), "needs a restart"),
            ("use_sim_time", ParameterValue::Bool(true), "needs a restart"),
            ("succes.hold_s", ParameterValue::Double(1.0), "did you mean \"success.hold_s\"?"),
        ] {
            let refusal = set(name, value).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{name}: {refusal}");
        }
        // What does not change anything is not refused.
        assert!(set("sampling.rate_hz", ParameterValue::Double(2.0)).is_ok());
        assert!(set("camera.camera.topic", ParameterValue::String(String::new())).is_ok());
        assert_eq!(parameters.get("success.hold_s"), Some(ParameterValue::Double(2.0)));
        assert_eq!(parameters.config().instruction, "wipe the table");
    }

    #[test]
    fn several_changes_are_made_together_or_not_at_all() {
        let mut parameters = Parameters::new(&Config::default(), false);
        let window = ("success.window".to_owned(), ParameterValue::Integer(5));
        let wrong = ("success.hold_s".to_owned(), ParameterValue::Double(-1.0));
        assert!(parameters.set(&[window.clone(), wrong]).is_err());
        assert_eq!(parameters.get("success.window"), Some(ParameterValue::Integer(3)));
        assert_eq!(parameters.set(&[window]).unwrap().success.window, 5);
    }

    #[test]
    fn every_parameter_has_the_type_of_its_value() {
        let parameters = Parameters::new(&Config::default(), true);
        assert_eq!(parameters.get("use_sim_time"), Some(ParameterValue::Bool(true)));
        assert!(parameters.names().is_sorted());
        for name in parameters.names() {
            let value = parameters.get(&name);
            assert!(value.is_some_and(|value| value != ParameterValue::NotSet), "{name}");
        }
    }
}
