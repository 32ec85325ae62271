//! What labelled episodes have taught about one model under one setting. [`crate::config::calibration_file`] is its file.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Dtype, Identity};
use crate::reward::{BiasControl, Estimate, SuccessSettings, TypicalRewards};

/// The layout of the file that is written now, and the only one that is read.
pub const VERSION: u32 = 1;

/// A threshold and typical rewards, and all that they hold for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub version: u32,
    pub model: CalibratedModel,
    /// The instructions it holds for; empty: any.
    pub instructions: Vec<String>,
    /// How the weights were quantised; files of earlier versions do not say it.
    #[serde(default)]
    pub dtype: Dtype,
    pub chat_template: bool,
    /// Most pixels of a frame after the resize, as the model used it.
    pub max_pixels: usize,
    pub sampling_rate_hz: f64,
    pub bias_control: BiasControl,
    pub success: CalibratedSuccess,
    /// The day it was made, UTC: YYYY-MM-DD.
    pub date: String,
    pub episodes: EpisodeCounts,
    /// How well the success score tells successes from failures.
    pub auc: Estimate,
    pub wanted_false_positive_rate: f64,
    /// For `success.threshold_nats`.
    pub threshold_nats: f64,
    /// Median over the successes: the reward of the first prefix, nats.
    pub first_nats: f64,
    /// Median over the successes: the mean of the last `success.window` rewards, nats.
    pub final_nats: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedModel {
    /// For people; only the fingerprint counts.
    pub name: String,
    /// [`crate::model::ModelInfo::fingerprint`].
    pub fingerprint: String,
}

/// How success is called from the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedSuccess {
    pub window: usize,
    pub hold_s: f64,
    pub min_frames: usize,
}

impl CalibratedSuccess {
    /// What of a rule a calibration binds.
    pub fn of(&SuccessSettings { window, hold_s, min_frames, .. }: &SuccessSettings) -> Self {
        Self { window, hold_s, min_frames }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeCounts {
    pub successes: usize,
    pub failures: usize,
}

/// What a calibration is to be used with.
#[derive(Debug, Clone, PartialEq)]
pub struct InUse<'a> {
    pub identity: Identity,
    pub bias_control: BiasControl,
    pub success: CalibratedSuccess,
    /// `None` where it is not known yet: any will do until it is.
    pub instruction: Option<&'a str>,
}

/// One thing in which a calibration and its use differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub what: &'static str,
    pub calibrated: String,
    pub in_use: String,
}

/// A calibration made for something else. Its threshold means nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CalibrationMismatch(pub Vec<Difference>);

impl fmt::Display for CalibrationMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the calibration is for other settings: ")?;
        for (index, Difference { what, calibrated, in_use }) in self.0.iter().enumerate() {
            let comma = if index > 0 { "; " } else { "" };
            write!(f, "{comma}{what} is {in_use} (calibrated: {calibrated})")?;
        }
        Ok(())
    }
}

impl Calibration {
    /// What [`crate::reward::ProgressMode::Calibrated`] runs between.
    pub fn typical(&self) -> TypicalRewards {
        TypicalRewards { first_nats: self.first_nats, final_nats: self.final_nats }
    }

    /// # Errors
    /// [`CalibrationMismatch`] with every difference. A longer hold and more frames than calibrated are none: they
    /// only call fewer.
    pub fn check(&self, in_use: &InUse<'_>) -> Result<(), CalibrationMismatch> {
        let mut found = Vec::new();
        let mut compare = |what, same: bool, calibrated: String, in_use: String| {
            if !same {
                found.push(Difference { what, calibrated, in_use });
            }
        };
        let identity = &in_use.identity;
        let (ours, theirs) = (&self.model.fingerprint, &identity.fingerprint);
        let named = format!("{} ({})", short(ours), self.model.name);
        compare("the model's fingerprint", ours == theirs, named, short(theirs).to_owned());
        let (ours, theirs) = (self.dtype, identity.dtype);
        compare("model.dtype", ours == theirs, ours.to_string(), theirs.to_string());
        let template = |inside: bool| if inside { "on" } else { "off" }.to_owned();
        let same = self.chat_template == identity.chat_template;
        compare("the chat template", same, template(self.chat_template), template(identity.chat_template));
        let (ours, theirs) = (self.max_pixels, identity.max_pixels);
        compare("processor.max_pixels", ours == theirs, ours.to_string(), theirs.to_string());
        let (ours, theirs) = (self.sampling_rate_hz, identity.sample_fps);
        compare("sampling.rate_hz", ours == theirs, ours.to_string(), theirs.to_string());
        let (ours, theirs) = (self.bias_control, in_use.bias_control);
        compare("bias.control", ours == theirs, ours.as_str().to_owned(), theirs.as_str().to_owned());
        let (ours, theirs) = (self.success, in_use.success);
        let shown = |window: usize| window.to_string();
        compare("success.window", ours.window == theirs.window, shown(ours.window), shown(theirs.window));
        let at_least = theirs.hold_s >= ours.hold_s;
        compare("success.hold_s", at_least, format!("{} s", ours.hold_s), format!("{} s", theirs.hold_s));
        let enough = theirs.min_frames >= ours.min_frames;
        let frames = (ours.min_frames.to_string(), theirs.min_frames.to_string());
        compare("success.min_frames", enough, frames.0, frames.1);
        if let Some(instruction) = in_use.instruction {
            let quoted: Vec<_> = self.instructions.iter().map(|known| format!("\"{known}\"")).collect();
            let in_scope = self.instructions.is_empty() || self.instructions.iter().any(|i| i == instruction);
            compare("the instruction", in_scope, quoted.join(", "), format!("\"{instruction}\""));
        }
        if found.is_empty() { Ok(()) } else { Err(CalibrationMismatch(found)) }
    }

    /// A figure that no calibration can have, with its name.
    pub fn impossible_value(&self) -> Option<(&'static str, f64)> {
        let nats = |value: f64| value.is_finite() && value <= 0.0;
        let checks = [
            ("threshold_nats", self.threshold_nats, nats(self.threshold_nats)),
            ("first_nats", self.first_nats, nats(self.first_nats)),
            ("final_nats", self.final_nats, nats(self.final_nats)),
            (
                "sampling_rate_hz",
                self.sampling_rate_hz,
                self.sampling_rate_hz > 0.0 && self.sampling_rate_hz.is_finite(),
            ),
        ];
        checks.into_iter().find(|(_, _, fits)| !fits).map(|(what, value, _)| (what, value))
    }
}

/// Enough of a fingerprint to tell two apart by eye.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceChoice;

    const SUCCESS: CalibratedSuccess = CalibratedSuccess { window: 3, hold_s: 1.0, min_frames: 6 };

    fn calibration() -> Calibration {
        Calibration {
            version: VERSION,
            model: CalibratedModel { name: "small".into(), fingerprint: "0123456789abcdef".into() },
            instructions: vec!["lift".into(), "put it down".into()],
            dtype: Dtype::F32,
            chat_template: false,
            max_pixels: 24576,
            sampling_rate_hz: 2.0,
            bias_control: BiasControl::Static,
            success: SUCCESS,
            date: "2026-11-22".into(),
            episodes: EpisodeCounts { successes: 89, failures: 121 },
            auc: Estimate { value: 0.98, low: 0.96, high: 0.99 },
            wanted_false_positive_rate: 0.02,
            threshold_nats: -0.25,
            first_nats: -2.75,
            final_nats: -0.125,
        }
    }

    fn identity() -> Identity {
        Identity {
            fingerprint: "0123456789abcdef".into(),
            dtype: Dtype::F32,
            device: DeviceChoice::Cpu,
            chat_template: false,
            max_pixels: 24576,
            sample_fps: 2.0,
        }
    }

    fn in_use() -> InUse<'static> {
        InUse {
            identity: identity(),
            bias_control: BiasControl::Static,
            success: SUCCESS,
            instruction: Some("lift"),
        }
    }

    #[test]
    fn what_it_was_made_for_is_accepted() {
        calibration().check(&in_use()).unwrap();
        let longer = CalibratedSuccess { hold_s: 2.0, min_frames: 7, ..SUCCESS };
        calibration().check(&InUse { success: longer, instruction: None, ..in_use() }).unwrap();
        let any = Calibration { instructions: Vec::new(), ..calibration() };
        any.check(&InUse { instruction: Some("dance"), ..in_use() }).unwrap();
    }

    #[test]
    fn each_difference_is_named() {
        let made_with = |identity| InUse { identity, ..in_use() };
        let fingerprint = "fedcba9876543210".to_owned();
        let cases = [
            (
                made_with(Identity { fingerprint, ..identity() }),
                "fingerprint is fedcba987654 (calibrated: 0123456789ab",
            ),
            (made_with(Identity { dtype: Dtype::Q8, ..identity() }), "model.dtype is q8 (calibrated: f32)"),
            (
                made_with(Identity { chat_template: true, ..identity() }),
                "chat template is on (calibrated: off)",
            ),
            (made_with(Identity { max_pixels: 1, ..identity() }), "max_pixels is 1 (calibrated: 24576)"),
            (made_with(Identity { sample_fps: 4.0, ..identity() }), "sampling.rate_hz is 4 (calibrated: 2)"),
            (InUse { bias_control: BiasControl::Off, ..in_use() }, "bias.control is off"),
            (
                InUse { success: CalibratedSuccess { window: 5, ..SUCCESS }, ..in_use() },
                "success.window is 5",
            ),
            (
                InUse { success: CalibratedSuccess { hold_s: 0.5, ..SUCCESS }, ..in_use() },
                "success.hold_s is 0.5 s",
            ),
            (
                InUse { success: CalibratedSuccess { min_frames: 5, ..SUCCESS }, ..in_use() },
                "success.min_frames is 5",
            ),
            (
                InUse { instruction: Some("dance"), ..in_use() },
                "instruction is \"dance\" (calibrated: \"lift\", \"put it down\")",
            ),
        ];
        for (in_use, words) in cases {
            let mismatch = calibration().check(&in_use).unwrap_err();
            assert_eq!(mismatch.0.len(), 1, "{mismatch}");
            assert!(mismatch.to_string().contains(words), "{mismatch} has no {words}");
        }
    }

    #[test]
    fn all_differences_are_named_at_once() {
        let other = InUse {
            identity: Identity { chat_template: true, max_pixels: 1, ..identity() },
            instruction: Some("dance"),
            ..in_use()
        };
        let mismatch = calibration().check(&other).unwrap_err();
        assert_eq!(mismatch.0.len(), 3, "{mismatch}");
    }
}
