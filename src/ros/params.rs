//! The configuration as ROS parameters: overrides in, descriptions out, changes at run time checked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use r2r::indexmap::IndexMap;
use r2r::{Parameter, ParameterValue, RosParams};
use serde_yaml::Value;

use super::driver::{Input, Inputs};
use crate::config::{Config, ConfigError};

/// Every parameter and what it is, as `ros2 param describe` shows it.
const DESCRIPTIONS: &[(&str, &str)] = &[
    ("instruction", "What the robot is to do, in words. Can be set while the node runs."),
    (
        "model.path",
        "Folder of a Qwen3-VL checkpoint; package://<package>/<path> is looked up in the share folder.",
    ),
    ("model.chat_template", "Put the question inside the chat template."),
    ("model.max_instruction_tokens", "Longest instruction accepted, tokens."),
    ("processor.max_pixels", "Most pixels of one frame after the resize; 0: the checkpoint's own."),
    ("image.transport", "raw (sensor_msgs/Image) or compressed (sensor_msgs/CompressedImage)."),
    ("sampling.rate_hz", "Frames that the model sees in a second of header time, Hz."),
    ("episode.auto_start", "Begin the first episode at start-up and the next one after each reset."),
    ("episode.max_duration_s", "Longest episode, seconds of header time."),
    ("episode.signal_topic", "std_msgs/String topic on which a recorder says record, save, delete or exit."),
    ("progress.scale", "On which scale progress is linear: nats or probability."),
    ("progress.goal_nats", "log p(\" True\") that counts as done, nats (0 or less)."),
    ("progress.min_span_nats", "Least distance from an episode's first reward to the goal, nats."),
    (
        "success.threshold_nats",
        "Success needs a mean of the newest rewards of at least this, nats (0 or less).",
    ),
    ("success.window", "How many of the newest rewards are averaged."),
    ("success.hold_s", "How long the mean must stay above the threshold, seconds of header time."),
    ("success.min_frames", "Frames an episode must have before success can be called."),
    ("reset.service", "Service to call on success; empty: publish only."),
    ("reset.type", "Its type of std_srvs: trigger, empty or set_bool (called with true)."),
    ("reset.on_timeout", "Also call it when an episode became longer than episode.max_duration_s."),
    ("reset.retries", "How often to try again when the service is absent or refuses."),
    ("reset.timeout_s", "How long to wait for the reset service, and then for its answer, seconds."),
    ("reset.settle_s", "Pause between the reset's answer and the next episode, seconds."),
    (USE_SIM_TIME, "Take the time from /clock. Start-up only."),
];

const USE_SIM_TIME: &str = "use_sim_time";
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
    let defaults = Config::default().to_parameters()?;
    let mut given = Vec::new();
    for (name, parameter) in overrides {
        match defaults.iter().find(|(known, _)| known == name) {
            Some((_, default)) => given.push((name.clone(), coerce(name, &parameter.value, default)?)),
            None if belongs_to_ros(name) => {}
            None => log::warn!("{}", unknown(name, defaults.iter().map(|(known, _)| known.as_str()))),
        }
    }
    let mut config = Config::from_parameters(given)?;
    config.model.path = resolve(&config.model.path)?;
    Ok(config)
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known
        .map(|known| (strsim::osa_distance(name, known), known))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, known)| distance <= known.len() / 3);
    match nearest {
        Some((_, known)) => {
            format!("there is no parameter \"{name}\": it is ignored; did you mean \"{known}\"?")
        }
        None => format!("there is no parameter \"{name}\": it is ignored"),
    }
}

/// The value as the default's type. ROS tells 20 from 20.0; for a number with a fraction both will do.
fn coerce(name: &str, value: &ParameterValue, default: &Value) -> Result<Value, ConfigError> {
    let (wanted, fitting) = match (default, value) {
        (Value::Bool(_), ParameterValue::Bool(value)) => return Ok(Value::from(*value)),
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
        return Err(wrong("it is empty: give the folder of a Qwen3-VL checkpoint".to_owned()));
    }
    let Some(inside) = path.strip_prefix("package://") else { return Ok(path.to_owned()) };
    let prefixes = std::env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
    std::env::split_paths(&prefixes)
        .map(|prefix: PathBuf| prefix.join("share").join(inside))
        .find(|candidate| candidate.exists())
        .map(|found| found.display().to_string())
        .ok_or_else(|| wrong(format!("{path}: no such file below any share folder on AMENT_PREFIX_PATH")))
}

/// What the parameter services show and accept.
pub struct ParameterServer {
    instruction: Arc<Mutex<String>>,
    fixed: Vec<(String, ParameterValue)>,
    inputs: Inputs,
}

impl ParameterServer {
    /// `instruction` is shared with the driver, which other ways of setting it go through.
    pub fn new(
        config: &Config,
        instruction: Arc<Mutex<String>>,
        inputs: Inputs,
    ) -> Result<Self, ConfigError> {
        let fixed = config
            .to_parameters()?
            .into_iter()
            .filter(|(name, _)| name != INSTRUCTION)
            .map(|(name, value)| (name, to_ros(&value)))
            .collect();
        Ok(Self { instruction, fixed, inputs })
    }

    fn instruction(&self) -> String {
        self.instruction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn to_ros(value: &Value) -> ParameterValue {
    match value {
        Value::Bool(value) => ParameterValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) if !number.is_f64() => ParameterValue::Integer(integer),
            _ => ParameterValue::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(value) => ParameterValue::String(value.clone()),
        _ => ParameterValue::NotSet,
    }
}

fn refuse(name: &str, reason: &str) -> r2r::Error {
    r2r::Error::ParameterValueConv { name: name.to_owned(), msg: reason.to_owned() }
}

impl RosParams for ParameterServer {
    fn register_parameters(
        &mut self,
        _prefix: &str,
        _parameter: Option<Parameter>,
        parameters: &mut Overrides,
    ) -> r2r::Result<()> {
        let sim_time = parameters.get(USE_SIM_TIME).map(|given| given.value.clone());
        let sim_time = (USE_SIM_TIME.to_owned(), sim_time.unwrap_or(ParameterValue::Bool(false)));
        let instruction = (INSTRUCTION.to_owned(), ParameterValue::String(self.instruction()));
        parameters.clear();
        for (name, value) in self.fixed.iter().cloned().chain([instruction, sim_time]) {
            let described = DESCRIPTIONS.iter().find(|(known, _)| *known == name);
            let description = described.map_or("", |&(_, description)| description);
            parameters.insert(name, Parameter { value, description });
        }
        parameters.sort_keys();
        Ok(())
    }

    fn get_parameter(&mut self, name: &str) -> r2r::Result<ParameterValue> {
        if name == INSTRUCTION {
            return Ok(ParameterValue::String(self.instruction()));
        }
        let fixed = self.fixed.iter().find(|(known, _)| known == name);
        let (_, value) = fixed.ok_or_else(|| r2r::Error::InvalidParameterName { name: name.to_owned() })?;
        Ok(value.clone())
    }

    fn set_parameter(&mut self, name: &str, value: &ParameterValue) -> r2r::Result<()> {
        self.check_parameter(name, value)?;
        if let (INSTRUCTION, ParameterValue::String(text)) = (name, value) {
            *self.instruction.lock().unwrap_or_else(PoisonError::into_inner) = text.trim().to_owned();
            self.inputs.send(Input::Instruction(text.clone()));
        }
        Ok(())
    }

    fn check_parameter(&self, name: &str, value: &ParameterValue) -> r2r::Result<()> {
        if name == INSTRUCTION {
            return match value {
                ParameterValue::String(text) if !text.trim().is_empty() => Ok(()),
                ParameterValue::String(_) => Err(refuse(name, "it is empty: say what the robot is to do")),
                _ => Err(refuse(name, "it must be text")),
            };
        }
        let fixed = self.fixed.iter().find(|(known, _)| known == name);
        match fixed {
            Some((_, current)) if current == value => Ok(()),
            Some(_) => Err(refuse(name, "it is read at start-up only and needs a restart of the node")),
            None if name == USE_SIM_TIME => {
                Err(refuse(name, "it is read at start-up only and needs a restart of the node"))
            }
            None => {
                let known = self.fixed.iter().map(|(known, _)| known.as_str());
                Err(refuse(name, &unknown(name, known)))
            }
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
    fn every_parameter_is_described_and_no_other() {
        let mut known: Vec<String> =
            Config::default().to_parameters().unwrap().into_iter().map(|(name, _)| name).collect();
        known.push(USE_SIM_TIME.to_owned());
        known.sort();
        let mut described: Vec<&str> = DESCRIPTIONS.iter().map(|(name, _)| *name).collect();
        described.sort_unstable();
        assert_eq!(described, known);
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
        let known = || DESCRIPTIONS.iter().map(|(name, _)| *name);
        assert!(unknown("succes.hold_s", known()).ends_with("did you mean \"success.hold_s\"?"));
        assert!(unknown("quux", known()).ends_with("it is ignored"));
    }

    #[test]
    fn a_model_must_be_named() {
        let empty = [("model.path".to_owned(), Parameter::new(ParameterValue::String(String::new())))];
        let error = configure(&empty.into_iter().collect()).unwrap_err().to_string();
        assert!(error.starts_with("parameter model.path: it is empty"), "{error}");
    }
}
