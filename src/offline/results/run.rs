use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Input, SCHEMA, Shard};
use crate::model::{Calibration, Identity};
use crate::reward::{BiasControl, ProgressSettings, SuccessSettings};

/// Everything that changes a score, and what is made of the scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Of this program.
    pub version: String,
    /// The model as it was named; the same one may lie elsewhere.
    pub model: String,
    #[serde(flatten)]
    pub made_with: Identity,
    /// Most samples that the model remembers; none: all.
    #[serde(default)]
    pub max_samples: Option<usize>,
    /// Which prefixes are scored, as on the command line.
    pub prefixes: String,
    /// Whether a prefix goes on from the one before it.
    pub cache: bool,
    pub bias_control: BiasControl,
    /// What replaces the recordings' own instructions.
    pub instruction: Option<String>,
    pub progress: ProgressSettings,
    pub success: SuccessSettings,
    /// Where the success threshold and the typical rewards are from.
    pub calibration: Option<Calibration>,
}

/// What two runs do not need to have in common.
const NOT_COMPARED: &str = "model";

/// A setting in which two runs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDifference {
    /// Its dotted name.
    pub name: String,
    pub written: String,
    pub wanted: String,
}

impl fmt::Display for SettingDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, written, wanted } = self;
        write!(f, "{name} is {written} there and {wanted} now")
    }
}

impl RunSettings {
    /// Every setting in which `wanted` differs from these.
    ///
    /// # Errors
    /// Settings that cannot be written as JSON.
    pub fn differences(&self, wanted: &Self) -> Result<Vec<SettingDifference>, serde_json::Error> {
        let mut found = Vec::new();
        compare("", &serde_json::to_value(self)?, &serde_json::to_value(wanted)?, &mut found);
        found.retain(|difference| difference.name != NOT_COMPARED);
        Ok(found)
    }
}

fn compare(name: &str, written: &Value, wanted: &Value, found: &mut Vec<SettingDifference>) {
    match (written, wanted) {
        (Value::Object(written), Value::Object(wanted)) => {
            let keys: BTreeSet<&String> = written.keys().chain(wanted.keys()).collect();
            for key in keys {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let of = |object: &serde_json::Map<String, Value>| object.get(key).cloned();
                compare(&name, &of(written).unwrap_or_default(), &of(wanted).unwrap_or_default(), found);
            }
        }
        _ if written == wanted => {}
        _ => found.push(SettingDifference {
            name: name.to_owned(),
            written: shown(written),
            wanted: shown(wanted),
        }),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Object(_) => "given".to_owned(),
        other => other.to_string(),
    }
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// [`SCHEMA`].
    pub schema: u32,
    pub settings: RunSettings,
    /// The part of the input that is scored here; none: all of it.
    pub shard: Option<Shard>,
    /// Of a shard only its own episodes are listed: the files of all shards together are not larger than one of the whole.
    pub input: Input,
}

impl RunFile {
    pub fn new(settings: RunSettings, shard: Option<Shard>, input: Input) -> Self {
        Self { schema: SCHEMA, settings, shard, input }.listing_its_own()
    }

    /// Earlier versions listed the whole input in the file of a shard too.
    pub(super) fn listing_its_own(self) -> Self {
        match self.shard {
            Some(shard) if self.input.part_of.is_none() => Self { input: self.input.part(shard), ..self },
            _ => self,
        }
    }

    /// The positions of the episodes that are scored here.
    pub fn positions(&self) -> Vec<usize> {
        self.input.positions().collect()
    }
}

/// An episode that could not be scored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeError {
    /// Its position in the listing; none where it did not get into it.
    pub position: Option<usize>,
    pub name: String,
    pub reason: String,
}

impl fmt::Display for EpisodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reason that names the file often has the episode's name with it.
        let Self { name, reason, .. } = self;
        let named = reason.starts_with(name) || reason.contains(&format!("/{name}"));
        if named { f.write_str(reason) } else { write!(f, "{name}: {reason}") }
    }
}

/// `errors.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// [`SCHEMA`].
    pub schema: u32,
    pub errors: Vec<EpisodeError>,
}

#[cfg(test)]
pub mod tests {
    use super::super::input::tests::input;
    use super::*;
    use crate::model::{DeviceChoice, Dtype};

    pub fn settings() -> RunSettings {
        RunSettings {
            version: "0.1.0".to_owned(),
            model: "models/tiny".to_owned(),
            made_with: Identity {
                fingerprint: "abc".to_owned(),
                dtype: Dtype::F32,
                device: DeviceChoice::Cpu,
                chat_template: false,
                max_pixels: 4096,
                sample_fps: 2.0,
            },
            max_samples: Some(600),
            prefixes: "all".to_owned(),
            cache: true,
            bias_control: BiasControl::Off,
            instruction: None,
            progress: ProgressSettings::default(),
            success: SuccessSettings::default(),
            calibration: None,
        }
    }

    #[test]
    fn every_difference_is_named_but_where_the_model_lies() {
        let mut other = settings();
        other.model = "elsewhere".to_owned();
        assert_eq!(settings().differences(&other).unwrap(), []);
        other.made_with.sample_fps = 1.0;
        other.success.threshold_nats = -2.5;
        other.instruction = Some("push".to_owned());
        let found = settings().differences(&other).unwrap();
        let shown: Vec<String> = found.iter().map(SettingDifference::to_string).collect();
        assert_eq!(
            shown,
            [
                "instruction is none there and \"push\" now",
                "sample_fps is 2.0 there and 1.0 now",
                "success.threshold_nats is -1.0 there and -2.5 now",
            ]
        );
    }

    #[test]
    fn settings_are_written_in_their_old_order_and_unknown_ones_are_refused() {
        let text = serde_json::to_string(&settings()).unwrap();
        let expected = r#"{"version":"0.1.0","model":"models/tiny","fingerprint":"abc","dtype":"f32","chat_template":false,"max_pixels":4096,"sample_fps":2.0,"max_samples":600,"prefixes":"all","cache":true,"bias_control":"off","#;
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(serde_json::from_str::<RunSettings>(&text).unwrap(), settings());
        let old = text.replace("\"dtype\":\"f32\",", "");
        assert_eq!(serde_json::from_str::<RunSettings>(&old).unwrap(), settings());
        let unknown = text.replacen("{", "{\"engine\":1,", 1);
        assert!(serde_json::from_str::<RunSettings>(&unknown).unwrap_err().to_string().contains("engine"));
    }

    #[test]
    fn an_error_names_its_episode_once() {
        let error = |name: &str, reason: &str| {
            EpisodeError { position: None, name: name.to_owned(), reason: reason.to_owned() }.to_string()
        };
        assert_eq!(error("a.mp4", "there is no video file /x/a.mp4"), "there is no video file /x/a.mp4");
        assert_eq!(error("a.mp4", "no instruction"), "a.mp4: no instruction");
        assert_eq!(error("7", "frame 7 is no picture"), "7: frame 7 is no picture");
    }

    #[test]
    fn a_shard_lists_its_own_also_where_its_file_lists_all() {
        let [shard, all] = ["1/2".parse().ok(), None];
        let whole = RunFile::new(settings(), all, input(&["a", "b", "c", "d"]));
        assert_eq!(whole.positions(), [0, 1, 2, 3]);
        let part = RunFile::new(settings(), shard, whole.input.clone());
        assert_eq!(part.positions(), [1, 3]);
        let old = RunFile { shard, ..whole };
        assert_eq!(old.listing_its_own(), part);
    }
}
