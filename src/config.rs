//! One typed configuration for node and command line, read from the same ROS 2 parameter file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

use crate::episode::{EpisodeLimits, Sampler, SamplerError};
use crate::model::qwen3_vl::{self, LoadOptions};
use crate::model::{CalibratedSuccess, Calibration, DeviceChoice, DtypeChoice, Identity, InUse, ModelInfo};
use crate::reward::{FailureSettings, Fusion, ProgressSettings, SuccessSettings};

pub mod calibration_file;
mod cameras;
mod declarations;

pub use crate::reward::BiasControl;
pub use cameras::{CameraSource, Transport};
pub use declarations::{Bounds, Change, DECLARATIONS, Declaration, declaration, pattern};

/// The node's name in parameter files.
pub const NODE_NAME: &str = "topreward";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the robot is to do, in words.
    pub instruction: String,
    /// Load the model and begin without being asked.
    pub autostart: bool,
    pub model: Model,
    pub processor: Processor,
    /// Names of the cameras, at least one.
    pub cameras: Vec<String>,
    /// What differs from the defaults, by camera.
    pub camera: BTreeMap<String, cameras::Camera>,
    /// How several cameras' scores become one.
    pub fusion: Fusion,
    pub image: Image,
    pub sampling: Sampling,
    pub scoring: Scoring,
    pub bias: Bias,
    pub episode: Episode,
    pub progress: ProgressSettings,
    pub success: SuccessSettings,
    pub failure: FailureSettings,
    pub calibration: CalibrationFile,
    pub reset: Reset,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Folder of a Qwen3-VL checkpoint as on Hugging Face.
    pub path: String,
    /// What the weights are rounded to.
    pub dtype: DtypeChoice,
    /// Where it is computed.
    pub device: DeviceChoice,
    /// Keep rounded weights on disk for the next start.
    pub weight_cache: bool,
    /// Put the question inside the chat template (the paper's second setting).
    pub chat_template: bool,
    /// Longest instruction accepted, in tokens.
    pub max_instruction_tokens: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Processor {
    /// Most pixels of one frame after the resize; 0 takes the checkpoint's own video budget over 64 frames.
    pub max_pixels: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Image {
    pub transport: Transport,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Frames a second of header time that the model sees.
    pub rate_hz: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scoring {
    /// Every so many samples are scored; 0: only on request.
    pub every: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bias {
    pub control: BiasControl,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Episode {
    /// Begin the first episode at start-up, and the next one after each reset.
    pub auto_start: bool,
    /// Longest episode, seconds of header time.
    pub max_duration_s: f64,
    /// Most samples that the model remembers; 0: all.
    pub max_samples: usize,
    /// Topic of `std_msgs/String` on which a recorder says `record`, `save`, `delete` or `exit`; empty: none.
    pub signal_topic: String,
    /// Whoever begins an episode by hand vouches that its task is not done yet.
    pub trust_manual_start: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationFile {
    /// What `topreward calibrate` has written; empty: none.
    pub file: String,
}

/// What the robot's reset service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetType {
    /// `std_srvs/srv/Trigger`
    Trigger,
    /// `std_srvs/srv/Empty`: every answer is a success.
    Empty,
    /// `std_srvs/srv/SetBool`, called with true.
    SetBool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reset {
    /// Service to call on success; empty: publish only.
    pub service: String,
    /// Its type.
    #[serde(rename = "type")]
    pub service_type: ResetType,
    /// Also call it when an episode became too long.
    pub on_timeout: bool,
    /// Also call it when an episode has failed.
    pub on_failure: bool,
    /// How often to try again when the service is absent or refuses; one that does not answer is not called again.
    pub retries: u32,
    /// How long to wait for the service and for its answer, seconds.
    pub timeout_s: f64,
    /// Pause between the answer and the next episode, seconds.
    pub settle_s: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instruction: String::new(),
            autostart: true,
            model: Model::default(),
            processor: Processor::default(),
            cameras: vec!["camera".to_owned()],
            camera: BTreeMap::new(),
            fusion: Fusion::Mean,
            image: Image::default(),
            sampling: Sampling::default(),
            scoring: Scoring::default(),
            bias: Bias::default(),
            episode: Episode::default(),
            progress: ProgressSettings::default(),
            success: SuccessSettings::default(),
            failure: FailureSettings::default(),
            calibration: CalibrationFile::default(),
            reset: Reset::default(),
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            path: String::new(),
            dtype: DtypeChoice::Auto,
            device: DeviceChoice::Cpu,
            weight_cache: true,
            chat_template: false,
            max_instruction_tokens: 256,
        }
    }
}

impl Default for Image {
    fn default() -> Self {
        Self { transport: Transport::Raw }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self { rate_hz: 2.0 }
    }
}

impl Default for Scoring {
    fn default() -> Self {
        Self { every: 1 }
    }
}

impl Default for Bias {
    fn default() -> Self {
        Self { control: BiasControl::Off }
    }
}

impl Default for Episode {
    fn default() -> Self {
        Self {
            auto_start: true,
            max_duration_s: 120.0,
            max_samples: 600,
            signal_topic: String::new(),
            trust_manual_start: false,
        }
    }
}

impl Default for Reset {
    fn default() -> Self {
        Self {
            service: String::new(),
            service_type: ResetType::Trigger,
            on_timeout: false,
            on_failure: false,
            retries: 0,
            timeout_s: 5.0,
            settle_s: 1.0,
        }
    }
}

/// What is wrong with a configuration; every message names the parameter or the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Yaml { path: String, source: serde_yaml::Error },
    #[error(
        "{path}: no parameters for \"{NODE_NAME}\" in it: a ROS 2 parameter file has them under \"{NODE_NAME}:\" or \"/**:\", then \"ros__parameters:\""
    )]
    NoParameters { path: String },
    #[error("parameter {name}: {reason}")]
    Parameter { name: String, reason: String },
    #[error("{path}: parameter {name}: {source}")]
    ParameterInFile { path: String, name: String, source: serde_yaml::Error },
    #[error("parameter {name}: {source}")]
    Tree { name: String, source: serde_yaml::Error },
}

impl Config {
    /// Reads a ROS 2 parameter file: `/**` first, then `topreward` over it.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        let document: Value = serde_yaml::from_str(&text)
            .map_err(|source| ConfigError::Yaml { path: shown.clone(), source })?;
        let mut tree = Mapping::new();
        let mut found = false;
        for node in ["/**", NODE_NAME, "/topreward"] {
            if let Some(Value::Mapping(parameters)) =
                document.get(node).and_then(|v| v.get("ros__parameters"))
            {
                found = true;
                for (name, value) in parameters {
                    insert(&mut tree, name.as_str().unwrap_or_default(), value.clone());
                }
            }
        }
        if !found {
            return Err(ConfigError::NoParameters { path: shown });
        }
        Self::from_tree(tree).map_err(|error| match error {
            ConfigError::Tree { name, source } => ConfigError::ParameterInFile { path: shown, name, source },
            other => other,
        })
    }

    /// Builds from dotted parameter names, as ROS has them (`success.hold_s`).
    pub fn from_parameters(
        parameters: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self, ConfigError> {
        let mut tree = Mapping::new();
        for (name, value) in parameters {
            insert(&mut tree, &name, value);
        }
        Self::from_tree(tree)
    }

    fn from_tree(tree: Mapping) -> Result<Self, ConfigError> {
        let mut config: Self = serde_path_to_error::deserialize(Value::Mapping(tree)).map_err(|error| {
            let name = error.path().to_string();
            ConfigError::Tree { name, source: error.into_inner() }
        })?;
        config.validate()?;
        config.forget_idle_cameras();
        Ok(config)
    }

    /// Every parameter by its dotted name, with its value.
    pub fn to_parameters(&self) -> Result<Vec<(String, Value)>, ConfigError> {
        let mut flat = Vec::new();
        let tree = serde_yaml::to_value(self.with_every_camera())
            .map_err(|source| ConfigError::Tree { name: "(all)".to_owned(), source })?;
        flatten("", tree, &mut flat);
        Ok(flat)
    }

    /// Checks every bound; the first parameter out of bounds is named.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (name, value) in self.to_parameters()? {
            if let Some(Err(reason)) = declaration(&name).map(|declared| declared.bounds.check(&value)) {
                return Err(wrong(&name, reason));
            }
        }
        cameras::check_names(&self.cameras).map_err(|reason| wrong("cameras", reason))
    }

    pub fn sampler(&self) -> Result<Sampler, ConfigError> {
        Sampler::new(self.sampling.rate_hz).map_err(|SamplerError(rate_hz)| {
            wrong("sampling.rate_hz", format!("{rate_hz} is not above 0 and at most 1000 Hz"))
        })
    }

    pub fn episode_limits(&self) -> EpisodeLimits {
        EpisodeLimits { max_duration_s: self.episode.max_duration_s, score_every: self.scoring.every }
    }

    /// Takes threshold and typical rewards from a calibration, which must have been checked.
    pub fn use_calibration(&mut self, calibration: &Calibration) {
        self.success.threshold_nats = calibration.threshold_nats;
        self.progress.typical = Some(calibration.typical());
    }

    /// What scores of a loaded model are made with.
    pub fn identity(&self, model: &ModelInfo) -> Identity {
        Identity::of(model, self.sampling.rate_hz)
    }

    /// How the model in this folder is to be loaded.
    pub fn load_options(&self, path: PathBuf) -> LoadOptions {
        LoadOptions {
            dtype: self.model.dtype,
            device: self.model.device,
            weight_cache: self.weight_cache(),
            chat_template: self.model.chat_template,
            max_pixels: self.max_pixels(),
            max_samples: self.max_samples(),
            max_instruction_tokens: self.model.max_instruction_tokens,
            ..LoadOptions::new(path)
        }
    }

    /// What a calibration must have been made for, to be used with this configuration and a loaded model.
    pub fn in_use<'a>(&self, model: &ModelInfo, instruction: Option<&'a str>) -> InUse<'a> {
        InUse {
            identity: self.identity(model),
            bias_control: self.bias.control,
            success: CalibratedSuccess::of(&self.success),
            instruction,
        }
    }

    /// Where rounded weights are kept, if they are.
    fn weight_cache(&self) -> Option<PathBuf> {
        if self.model.weight_cache { qwen3_vl::weight_cache() } else { None }
    }

    /// `episode.max_samples`, `None` for all.
    pub fn max_samples(&self) -> Option<usize> {
        (self.episode.max_samples > 0).then_some(self.episode.max_samples)
    }

    /// `processor.max_pixels`, `None` for the checkpoint's own.
    fn max_pixels(&self) -> Option<usize> {
        (self.processor.max_pixels > 0).then_some(self.processor.max_pixels)
    }
}

/// Puts a value at a dotted name, merging with what is there.
fn insert(tree: &mut Mapping, name: &str, value: Value) {
    if let Some((group, rest)) = name.split_once('.') {
        let inner = tree.entry(group.into()).or_insert_with(|| Value::Mapping(Mapping::new()));
        if let Value::Mapping(inner) = inner {
            insert(inner, rest, value);
        }
        return;
    }
    match (tree.get_mut(name), value) {
        (Some(Value::Mapping(there)), Value::Mapping(new)) => {
            for (key, value) in new {
                insert(there, key.as_str().unwrap_or_default(), value);
            }
        }
        (_, value) => {
            tree.insert(name.into(), value);
        }
    }
}

fn flatten(prefix: &str, value: Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let key = key.as_str().unwrap_or_default().to_owned();
                let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&name, value, into);
            }
        }
        leaf => into.push((prefix.to_owned(), leaf)),
    }
}

fn wrong(name: &str, reason: String) -> ConfigError {
    ConfigError::Parameter { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests;
