use serde::{Deserialize, Serialize};

use super::{RunSettings, SCHEMA};
use crate::model::Dtype;
use crate::offline::{Control, CurvePoint, first_success, judged, readings};
use crate::reward::{ProgressReading, ProgressTracker, voc};

/// One scored prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixResult {
    /// Sampled frames in the prefix.
    pub frames: usize,
    /// Time of the newest of them, seconds since the first.
    pub time_s: f64,
    /// The reward, nats, ≤ 0.
    pub log_prob_true: f64,
    /// Nats, ≤ 0.
    pub log_prob_false: f64,
    /// The reward of the first frame repeated as often, nats; with the static control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<f64>,
    /// What success is judged by, nats; with the static control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<f64>,
    /// 0 to 1, by the same causal rule as live.
    pub progress: f64,
}

/// One scored episode, as it is printed and written. Holds nothing that differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Unlike that of any other episode of the input.
    pub name: String,
    /// The data set's own number of the episode, else counted from 0.
    pub index: u64,
    /// What the model was asked about.
    pub instruction: String,
    /// The model as it was named.
    pub model: String,
    /// [`crate::model::ModelInfo::fingerprint`].
    pub fingerprint: String,
    /// Samples a second of the recording's time.
    pub sample_fps: f64,
    /// What the weights were rounded to; earlier versions knew f32 only.
    #[serde(default)]
    pub dtype: Dtype,
    /// Whether the question stood inside the chat template.
    pub chat_template: bool,
    /// Most pixels of one frame after the resize.
    pub max_pixels: usize,
    /// When each recorded frame was taken, seconds since the first.
    pub recorded_s: Vec<f64>,
    /// Which of the recorded frames were sampled, from 0, rising.
    pub sampled: Vec<usize>,
    /// The reward of the first frame alone, from which the control climbs, nats; with the static control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_start: Option<f64>,
    /// The scored prefixes, the shortest first.
    pub prefixes: Vec<PrefixResult>,
    /// Value-order correlation of the rewards, −1 to 1; undefined for a constant curve or fewer than two prefixes.
    pub voc: Option<f64>,
    /// Whether success would have been called at any prefix.
    pub success: bool,
    /// At which frame's time, seconds since the first.
    pub success_s: Option<f64>,
}

/// What the model has said of an episode.
#[derive(Debug)]
pub struct ScoredEpisode<'a> {
    pub name: &'a str,
    pub index: u64,
    pub instruction: &'a str,
    pub recorded_s: Vec<f64>,
    pub sampled: Vec<usize>,
    pub curve: &'a [CurvePoint],
    pub control: Option<&'a Control>,
}

impl EpisodeResult {
    /// Reads progress, VOC and success off the curve, by the rules of the run.
    pub fn of(scored: ScoredEpisode<'_>, settings: &RunSettings) -> Self {
        let ScoredEpisode { name, index, instruction, recorded_s, sampled, curve, control } = scored;
        let judged = judged(curve, control);
        let readings = readings(curve, control);
        let mut progress = ProgressTracker::new(settings.progress);
        let prefix = |(place, point): (usize, &CurvePoint)| PrefixResult {
            frames: point.frames,
            time_s: point.time_s,
            log_prob_true: point.log_prob_true,
            log_prob_false: point.log_prob_false,
            control: control.map(|control| control.curve[place].log_prob_true),
            judged: control.map(|_| judged[place].log_prob_true),
            progress: progress.push(readings[place]),
        };
        let rewards: Vec<f64> = curve.iter().map(|point| point.log_prob_true).collect();
        let called = first_success(&judged, settings.success);
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            index,
            instruction: instruction.to_owned(),
            model: settings.model.clone(),
            fingerprint: settings.fingerprint.clone(),
            sample_fps: settings.sample_fps,
            dtype: settings.dtype,
            chat_template: settings.chat_template,
            max_pixels: settings.max_pixels,
            recorded_s,
            sampled,
            control_start: control.map(|control| control.start_nats),
            prefixes: curve.iter().enumerate().map(prefix).collect(),
            voc: voc(&rewards),
            success: called.is_some(),
            success_s: called.map(|place| curve[place].time_s),
        }
    }

    /// What progress was read from, as [`crate::offline::readings`] had it: one for each prefix.
    pub fn readings(&self) -> Vec<ProgressReading> {
        let reading = |prefix: &PrefixResult| {
            let &PrefixResult { log_prob_true, log_prob_false, control, .. } = prefix;
            let climb = control.zip(self.control_start).map(|(control, start)| control - start);
            ProgressReading::controlled(log_prob_true, log_prob_false, climb)
        };
        self.prefixes.iter().map(reading).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::settings;
    use super::*;
    use crate::offline::half_second_curve;
    use crate::reward::{ProgressSettings, SuccessSettings};

    fn curve(rewards: &[f64]) -> Vec<CurvePoint> {
        half_second_curve(rewards, 9.0)
    }

    fn scored<'a>(curve: &'a [CurvePoint], control: Option<&'a Control>) -> ScoredEpisode<'a> {
        ScoredEpisode {
            name: "a/b",
            index: 7,
            instruction: "lift",
            recorded_s: vec![0.0, 0.1, 0.5],
            sampled: vec![0, 2],
            curve,
            control,
        }
    }

    #[test]
    fn everything_is_read_off_the_curve() {
        let progress = ProgressSettings { goal_nats: -1.0, ..ProgressSettings::default() };
        let success = SuccessSettings::unguarded(-1.5, 2);
        let settings = RunSettings { progress, success, ..settings() };
        // Means of two: -4, -2, -1: reached at 1.5 s. Progress from -5 to -1.
        let found = EpisodeResult::of(scored(&curve(&[-5.0, -3.0, -1.0, -1.0]), None), &settings);
        let progress: Vec<f64> = found.prefixes.iter().map(|prefix| prefix.progress).collect();
        assert_eq!(progress, [0.0, 0.5, 1.0, 1.0]);
        assert_eq!((found.success, found.success_s), (true, Some(1.5)));
        // Ranks 0, 1, 2.5, 2.5 against 0, 1, 2, 3.
        assert!((found.voc.unwrap() - 4.5 / (4.5_f64 * 5.0).sqrt()).abs() < 1e-12);
        assert_eq!((found.name.as_str(), found.index, found.schema), ("a/b", 7, 1));
        assert!(found.prefixes.iter().all(|prefix| prefix.control.is_none() && prefix.judged.is_none()));
    }

    #[test]
    fn the_control_is_taken_out_of_what_success_is_judged_by() {
        let settings = RunSettings { success: SuccessSettings::unguarded(-1.5, 2), ..settings() };
        let rewards = curve(&[-5.0, -3.0, -1.0, -1.0]);
        // An unchanged scene climbs as well: nothing was done.
        let control = Control { start_nats: -5.0, curve: rewards.clone() };
        let found = EpisodeResult::of(scored(&rewards, Some(&control)), &settings);
        assert_eq!((found.success, found.success_s), (false, None));
        let last = found.prefixes.last().unwrap();
        assert_eq!((last.control, last.judged, last.progress), (Some(-1.0), Some(-5.0), 0.0));
    }

    #[test]
    fn readings_are_those_that_progress_was_read_from() {
        let (rewards, climbing) = (curve(&[-5.0, -3.1, -0.7]), curve(&[-4.9, -4.2, -5.3]));
        // The control falls at the end: there the correction is above the reward.
        let control = Control { start_nats: -5.0, curve: climbing };
        for control in [None, Some(&control)] {
            let found = EpisodeResult::of(scored(&rewards, control), &settings());
            assert_eq!(found.readings(), readings(&rewards, control));
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let rewards: Vec<f64> = (1..200).map(|i| -(f64::from(i) / 7.0).sqrt() / 3.0).collect();
        let found = EpisodeResult::of(scored(&curve(&rewards), None), &settings());
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<EpisodeResult>(&text).unwrap(), found);
    }
}
