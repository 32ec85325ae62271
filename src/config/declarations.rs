//! Every parameter: what it is, its bounds, and whether it can change while the node runs. The node's descriptors, the
//! checks and docs/parameters.md all come from this table.

use std::borrow::Cow;

use serde_yaml::Value;

use crate::model::{DeviceChoice, DtypeChoice};

#[derive(Debug)]
pub struct Declaration {
    pub name: &'static str,
    pub description: &'static str,
    pub bounds: Bounds,
    pub change: Change,
}

/// When a parameter can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Also while the node runs.
    AnyTime,
    /// It is read when the node starts.
    StartUp,
}

/// Which values fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Text or a switch.
    Free,
    Choice(&'static [&'static str]),
    /// A finite number within `[from, to]`, without `from` itself where `open`.
    Number {
        from: f64,
        to: f64,
        open: bool,
    },
    /// A whole number within `[from, to]`.
    Whole {
        from: u64,
        to: u64,
    },
}

/// Bounds have two ends, for the sliders of rqt_reconfigure. A day is longer than any episode or pause.
const DAY_S: f64 = 86_400.0;
const ABOVE_0_S: Bounds = Bounds::Number { from: 0.0, to: DAY_S, open: true };
const SECONDS: Bounds = Bounds::Number { from: 0.0, to: DAY_S, open: false };
/// Logarithms of probabilities; further down than any model goes.
const LEAST_NATS: f64 = -1000.0;
const NATS: Bounds = Bounds::Number { from: LEAST_NATS, to: 0.0, open: false };
const ABOVE_0_NATS: Bounds = Bounds::Number { from: 0.0, to: -LEAST_NATS, open: true };

impl Bounds {
    /// Why the value does not fit. Its type has been seen to.
    pub fn check(self, value: &Value) -> Result<(), String> {
        let fits = match (self, value.as_f64(), value.as_u64()) {
            (Self::Number { from, to, open }, Some(number), _) => {
                number.is_finite() && number <= to && if open { number > from } else { number >= from }
            }
            (Self::Whole { from, to }, _, Some(whole)) => (from..=to).contains(&whole),
            _ => true,
        };
        if fits { Ok(()) } else { Err(format!("{} is not {}", shown(value), self.words())) }
    }

    /// As a person says it; empty where everything fits.
    pub fn words(self) -> String {
        match self {
            Self::Free => String::new(),
            Self::Choice(choices) => choices.join(", "),
            Self::Number { from, to, open: true } => format!("above {from} and at most {to}"),
            Self::Number { from, to, open: false } => format!("from {from} to {to}"),
            Self::Whole { from, to } => format!("from {from} to {to}"),
        }
    }
}

fn shown(value: &Value) -> String {
    match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(number)) => number.to_string(),
        (None, None) => format!("{value:?}"),
    }
}

/// The table, in the order of the reference file.
pub const DECLARATIONS: &[Declaration] = &[
    at_any_time(
        "instruction",
        Bounds::Free,
        "What the robot is to do, in words; nothing is scored without it. A running episode keeps its frames and is asked anew.",
    ),
    at_start_up(
        "autostart",
        Bounds::Free,
        "Load the model and begin at once; false: wait for the lifecycle services.",
    ),
    at_start_up(
        "model.path",
        Bounds::Free,
        "Folder of a Qwen3-VL checkpoint, or its id on Hugging Face; package://<package>/<path> is looked up in the share folder.",
    ),
    at_start_up(
        "model.dtype",
        Bounds::Choice(&DtypeChoice::NAMES),
        "What the weights are rounded to when they are loaded: f32 (not at all), q8 (8 bits: a quarter of the memory), q6 (6 bits: faster, nearly as exact), q4 (4 bits: least memory, and rough); on a GPU also bf16 and f16 (half the memory). auto: on a GPU bf16, on the processor f32 below 200 million parameters, else q8.",
    ),
    at_start_up(
        "model.device",
        Bounds::Choice(&DeviceChoice::NAMES),
        "Where the model is computed: cpu, or with a build for it cuda (see docs/gpu.md) or metal (never run by us).",
    ),
    at_start_up(
        "model.weight_cache",
        Bounds::Free,
        "Keep rounded weights in topreward/weights below the user's cache folder, so that the next start is quick; they may be deleted at any time.",
    ),
    at_start_up("model.chat_template", Bounds::Free, "Put the question inside the chat template."),
    at_start_up(
        "model.max_instruction_tokens",
        Bounds::Whole { from: 1, to: 100_000 },
        "Longest instruction accepted, tokens.",
    ),
    at_start_up(
        "processor.max_pixels",
        Bounds::Whole { from: 0, to: 100_000_000 },
        "Most pixels of one frame after the resize; 0: the checkpoint's own.",
    ),
    at_start_up("cameras", Bounds::Free, "Names of the cameras, at least one."),
    at_start_up(
        "camera.<name>.topic",
        Bounds::Free,
        "Topic of this camera's raw images, <topic>/compressed for compressed ones; empty: image_raw for a single camera, <name>/image_raw for several.",
    ),
    at_start_up(
        "camera.<name>.transport",
        Bounds::Choice(&["raw", "compressed"]),
        "Transport of this camera; empty: as image.transport.",
    ),
    at_start_up(
        "fusion",
        Bounds::Choice(&["mean", "min", "max"]),
        "How several cameras' scores become one: mean of the log-odds, or the least (min) or most (max) convinced camera.",
    ),
    at_start_up(
        "image.transport",
        Bounds::Choice(&["raw", "compressed"]),
        "raw (sensor_msgs/Image) or compressed (sensor_msgs/CompressedImage).",
    ),
    at_start_up(
        "sampling.rate_hz",
        Bounds::Number { from: 0.0, to: 1000.0, open: true },
        "Frames that the model sees in a second of header time, Hz.",
    ),
    at_any_time(
        "scoring.every",
        Bounds::Whole { from: 0, to: 1000 },
        "Every so many samples are scored, all are seen; 0: only when ~/score_now asks.",
    ),
    at_start_up(
        "bias.control",
        Bounds::Choice(&["off", "static"]),
        "static: the first frame, repeated, is scored beside the episode, and what it gains by length alone is taken off.",
    ),
    at_any_time(
        "episode.auto_start",
        Bounds::Free,
        "Begin the first episode at start-up and the next one after each reset.",
    ),
    at_any_time("episode.max_duration_s", ABOVE_0_S, "Longest episode, seconds of header time."),
    at_start_up(
        "episode.max_samples",
        Bounds::Whole { from: 0, to: 1_000_000 },
        "Most samples that the model remembers of an episode: of more it forgets every second one, and sees those of half the rate from then on; 0: all.",
    ),
    at_start_up(
        "episode.signal_topic",
        Bounds::Free,
        "std_msgs/String topic on which a recorder says record, save, delete or exit; empty: none.",
    ),
    at_any_time(
        "episode.trust_manual_start",
        Bounds::Free,
        "Who calls ~/start_episode or ~/reset_episode vouches that the task is not done: success need not be seen to be missing first.",
    ),
    at_any_time(
        "progress.mode",
        Bounds::Choice(&["goal", "probability", "running", "calibrated"]),
        "Between what progress runs: the episode's first reward and goal_nats, p(True) of p(True) + p(False), the first reward and the highest so far, or the typical rewards of a calibration.",
    ),
    at_any_time(
        "progress.scale",
        Bounds::Choice(&["nats", "probability"]),
        "On which scale progress is linear: nats or probability.",
    ),
    at_any_time("progress.goal_nats", NATS, "log p(\" True\") that counts as done, nats."),
    at_any_time(
        "progress.min_span_nats",
        ABOVE_0_NATS,
        "Least distance from an episode's first reward to the goal, nats.",
    ),
    at_any_time(
        "success.threshold_nats",
        NATS,
        "Success needs a mean of the newest rewards of at least this, nats.",
    ),
    at_any_time(
        "success.window",
        Bounds::Whole { from: 1, to: 1000 },
        "How many of the newest rewards are averaged.",
    ),
    at_any_time(
        "success.hold_s",
        SECONDS,
        "How long the mean must stay above the threshold, seconds of header time.",
    ),
    at_any_time(
        "success.min_frames",
        Bounds::Whole { from: 1, to: 100_000 },
        "Frames an episode must have before success can be called.",
    ),
    at_any_time(
        "success.min_change",
        Bounds::Number { from: 0.0, to: 255.0, open: false },
        "How much the picture must have changed since the episode began, 8-bit levels of a small grey picture; 0: off.",
    ),
    at_any_time("success.max_age_s", SECONDS, "How late a score may come after its frame, seconds; 0: off."),
    at_any_time(
        "success.max_gap_s",
        SECONDS,
        "How much header time may lie between two scores, seconds; 0: off.",
    ),
    at_any_time(
        "success.max_spread_nats",
        Bounds::Number { from: 0.0, to: -LEAST_NATS, open: false },
        "How far the rewards of several cameras may lie apart, nats; 0: off.",
    ),
    at_any_time(
        "success.after_instruction_s",
        SECONDS,
        "How long after a change of the instruction success is not called, seconds of header time; 0: off.",
    ),
    at_any_time(
        "failure.stuck_s",
        SECONDS,
        "For how long progress may stand still before the episode has failed, seconds of header time; 0: for ever.",
    ),
    at_any_time(
        "failure.min_gain",
        Bounds::Number { from: 0.0, to: 1.0, open: true },
        "By how much progress must rise in that time, 0 to 1.",
    ),
    at_start_up(
        "calibration.file",
        Bounds::Free,
        "File of topreward calibrate: sets success.threshold_nats and what progress.mode calibrated runs between; refused if made for another model or setting. Empty: none.",
    ),
    at_start_up("reset.service", Bounds::Free, "Service to call on success; empty: publish only."),
    at_start_up(
        "reset.type",
        Bounds::Choice(&["trigger", "empty", "set_bool"]),
        "Its type of std_srvs: trigger, empty or set_bool (called with true).",
    ),
    at_any_time(
        "reset.on_timeout",
        Bounds::Free,
        "Also call it when an episode became longer than episode.max_duration_s.",
    ),
    at_any_time(
        "reset.on_failure",
        Bounds::Free,
        "Also call it when an episode has failed (failure.stuck_s).",
    ),
    at_start_up(
        "reset.retries",
        Bounds::Whole { from: 0, to: 1000 },
        "How often to try again when the service is absent or refuses; one that does not answer is never called again.",
    ),
    at_start_up(
        "reset.timeout_s",
        ABOVE_0_S,
        "How long to wait for the reset service, and then for its answer, seconds.",
    ),
    at_any_time("reset.settle_s", SECONDS, "Pause between the reset's answer and the next episode, seconds."),
];

const fn at_any_time(name: &'static str, bounds: Bounds, description: &'static str) -> Declaration {
    Declaration { name, description, bounds, change: Change::AnyTime }
}

const fn at_start_up(name: &'static str, bounds: Bounds, description: &'static str) -> Declaration {
    Declaration { name, description, bounds, change: Change::StartUp }
}

/// What is declared under a name.
pub fn declaration(name: &str) -> Option<&'static Declaration> {
    DECLARATIONS.iter().find(|declared| declared.name == pattern(name))
}

/// `camera.wrist.topic` is declared as `camera.<name>.topic`.
pub fn pattern(name: &str) -> Cow<'_, str> {
    let camera = name.strip_prefix("camera.").and_then(|rest| rest.split_once('.'));
    match camera {
        Some((_, leaf)) => Cow::Owned(format!("camera.<name>.{leaf}")),
        None => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_parameter_is_declared_and_no_other() {
        let mut known: Vec<String> = Config::default()
            .to_parameters()
            .unwrap()
            .iter()
            .map(|(name, _)| pattern(name).into_owned())
            .collect();
        let mut declared: Vec<&str> = DECLARATIONS.iter().map(|declared| declared.name).collect();
        known.sort();
        declared.sort_unstable();
        assert_eq!(declared, known);
    }

    #[test]
    fn bounds_say_what_does_not_fit() {
        let refused = |bounds: Bounds, value: Value| bounds.check(&value).unwrap_err();
        assert_eq!(refused(ABOVE_0_S, 0.0.into()), "0 is not above 0 and at most 86400");
        assert_eq!(refused(SECONDS, (-1.5).into()), "-1.5 is not from 0 to 86400");
        assert_eq!(refused(NATS, 0.5.into()), "0.5 is not from -1000 to 0");
        assert_eq!(refused(ABOVE_0_S, f64::NAN.into()), "NaN is not above 0 and at most 86400");
        assert_eq!(refused(NATS, f64::NEG_INFINITY.into()), "-inf is not from -1000 to 0");
        let few = Bounds::Whole { from: 1, to: 9 };
        assert_eq!(refused(few, 0.into()), "0 is not from 1 to 9");
        assert_eq!(refused(few, 10.into()), "10 is not from 1 to 9");
        for (bounds, value) in [(NATS, 0.0), (SECONDS, 0.0), (ABOVE_0_S, DAY_S), (NATS, LEAST_NATS)] {
            assert_eq!(bounds.check(&value.into()), Ok(()));
        }
        assert_eq!((few.check(&1.into()), few.check(&9.into())), (Ok(()), Ok(())));
    }
}
