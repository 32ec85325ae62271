use serde::{Deserialize, Serialize};

use super::{RunSettings, SCHEMA};
use crate::model::{DeviceChoice, Dtype, Identity};
use crate::reward::{Control, Reading, ScoredPrefix, voc};

/// A [`ScoredPrefix`] as it is printed and written.
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
    #[serde(flatten, with = "IdentityInOrder")]
    pub made_with: Identity,
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

/// The fields of an [`Identity`] in the order in which results have them.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Identity")]
struct IdentityInOrder {
    fingerprint: String,
    sample_fps: f64,
    #[serde(default)]
    dtype: Dtype,
    #[serde(default, skip_serializing_if = "DeviceChoice::is_cpu")]
    device: DeviceChoice,
    chat_template: bool,
    max_pixels: usize,
}

/// A scored and judged episode.
#[derive(Debug)]
pub struct ScoredEpisode<'a> {
    pub name: &'a str,
    pub index: u64,
    pub instruction: &'a str,
    pub recorded_s: Vec<f64>,
    pub sampled: Vec<usize>,
    pub prefixes: &'a [ScoredPrefix],
}

impl EpisodeResult {
    /// The result of an episode that was judged by the rules of the run.
    pub fn of(scored: ScoredEpisode<'_>, settings: &RunSettings) -> Self {
        let ScoredEpisode { name, index, instruction, recorded_s, sampled, prefixes } = scored;
        let rewards: Vec<f64> = prefixes.iter().map(|prefix| prefix.reading.log_prob_true).collect();
        let called = prefixes.iter().find(|prefix| prefix.verdict.is_success());
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            index,
            instruction: instruction.to_owned(),
            model: settings.model.clone(),
            made_with: settings.made_with.clone(),
            recorded_s,
            sampled,
            control_start: prefixes.first().and_then(|prefix| Some(prefix.reading.control?.first)),
            prefixes: prefixes.iter().map(PrefixResult::of).collect(),
            voc: voc(&rewards),
            success: called.is_some(),
            success_s: called.map(|prefix| prefix.reading.time_s),
        }
    }

    /// What progress was read from: one for each prefix. How much the picture had changed is not written: it is 0.
    pub fn readings(&self) -> Vec<Reading> {
        self.prefixes.iter().map(|prefix| prefix.reading(self.control_start)).collect()
    }
}

impl PrefixResult {
    fn of(ScoredPrefix { reading, progress, .. }: &ScoredPrefix) -> Self {
        Self {
            frames: reading.frames,
            time_s: reading.time_s,
            log_prob_true: reading.log_prob_true,
            log_prob_false: reading.log_prob_false,
            control: reading.control.map(|control| control.log_prob_true),
            judged: reading.control.map(|_| reading.judged()),
            progress: *progress,
        }
    }

    fn reading(&self, control_start: Option<f64>) -> Reading {
        let &Self { frames, time_s, log_prob_true, log_prob_false, control, .. } = self;
        let control = control_start.zip(control).map(|(first, log_prob_true)| {
            // Of the control only the reward is written.
            Control { first, log_prob_true, log_prob_false: f64::NAN }
        });
        Reading { frames, time_s, ..Reading::of(log_prob_true, log_prob_false, control) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::settings;
    use super::*;
    use crate::reward::{Judge, ProgressSettings, SuccessSettings, half_second_curve};

    fn curve(rewards: &[f64]) -> Vec<Reading> {
        half_second_curve(rewards, 9.0)
    }

    /// The curve with a control that was given these rewards.
    fn controlled(curve: &[Reading], first: f64, control: &[f64]) -> Vec<Reading> {
        let with = |(reading, &log_prob_true): (&Reading, &f64)| {
            let control = Control { first, log_prob_true, log_prob_false: -1.0 };
            let Reading { frames, time_s, change, .. } = *reading;
            let reading = Reading::of(reading.log_prob_true, reading.log_prob_false, Some(control));
            Reading { frames, time_s, change, ..reading }
        };
        curve.iter().zip(control).map(with).collect()
    }

    fn result(curve: &[Reading], settings: &RunSettings) -> EpisodeResult {
        let prefixes = Judge::of_episode(curve, settings.progress, settings.success);
        let scored = ScoredEpisode {
            name: "a/b",
            index: 7,
            instruction: "lift",
            recorded_s: vec![0.0, 0.1, 0.5],
            sampled: vec![0, 2],
            prefixes: &prefixes,
        };
        EpisodeResult::of(scored, settings)
    }

    #[test]
    fn everything_is_read_off_the_curve() {
        let progress = ProgressSettings { goal_nats: -1.0, ..ProgressSettings::default() };
        let success = SuccessSettings::unguarded(-1.5, 2);
        let settings = RunSettings { progress, success, ..settings() };
        // Means of two: -4, -2, -1: reached at 1.5 s. Progress from -5 to -1.
        let found = result(&curve(&[-5.0, -3.0, -1.0, -1.0]), &settings);
        let progress: Vec<f64> = found.prefixes.iter().map(|prefix| prefix.progress).collect();
        assert_eq!(progress, [0.0, 0.5, 1.0, 1.0]);
        assert_eq!((found.success, found.success_s), (true, Some(1.5)));
        // Ranks 0, 1, 2.5, 2.5 against 0, 1, 2, 3.
        assert!((found.voc.unwrap() - 4.5 / (4.5_f64 * 5.0).sqrt()).abs() < 1e-12);
        assert_eq!((found.name.as_str(), found.index, found.schema), ("a/b", 7, 1));
        assert!(found.prefixes.iter().all(|prefix| prefix.control.is_none() && prefix.judged.is_none()));
        assert_eq!(found.control_start, None);
    }

    #[test]
    fn the_control_is_taken_out_of_what_success_is_judged_by() {
        let settings = RunSettings { success: SuccessSettings::unguarded(-1.5, 2), ..settings() };
        let rewards = [-5.0, -3.0, -1.0, -1.0];
        // An unchanged scene climbs as well: nothing was done.
        let found = result(&controlled(&curve(&rewards), -5.0, &rewards), &settings);
        assert_eq!((found.success, found.success_s, found.control_start), (false, None, Some(-5.0)));
        let last = found.prefixes.last().unwrap();
        assert_eq!((last.control, last.judged, last.progress), (Some(-1.0), Some(-5.0), 0.0));
    }

    #[test]
    fn readings_are_those_that_progress_was_read_from() {
        let plain = curve(&[-5.0, -3.1, -0.7]);
        // The control falls at the end: there the correction is above the reward.
        let corrected = controlled(&plain, -5.0, &[-4.9, -4.2, -5.3]);
        for curve in [plain, corrected] {
            let found = result(&curve, &settings());
            let read = |readings: &[Reading]| -> Vec<_> {
                let read = |r: &Reading| (r.frames, r.time_s, r.log_prob_true, r.log_prob_false, r.corrected);
                readings.iter().map(read).collect()
            };
            assert_eq!(read(&found.readings()), read(&curve));
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let rewards: Vec<f64> = (1..200).map(|i| -(f64::from(i) / 7.0).sqrt() / 3.0).collect();
        let found = result(&curve(&rewards), &settings());
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<EpisodeResult>(&text).unwrap(), found);
        assert!(serde_json::from_str::<EpisodeResult>(&text.replace("\"voc\"", "\"vok\"")).is_err());
    }

    #[test]
    fn the_identity_stands_where_it_always_stood() {
        let text = serde_json::to_string(&result(&[], &settings())).unwrap();
        let expected = r#"{"schema":1,"name":"a/b","index":7,"instruction":"lift","model":"models/tiny","fingerprint":"abc","sample_fps":2.0,"dtype":"f32","chat_template":false,"max_pixels":4096,"recorded_s":[0.0,0.1,0.5],"sampled":[0,2],"prefixes":[],"voc":null,"success":false,"success_s":null}"#;
        assert_eq!(text, expected);
        // Files of the first version do not say the dtype.
        let old: EpisodeResult = serde_json::from_str(&text.replace("\"dtype\":\"f32\",", "")).unwrap();
        assert_eq!(old.made_with, settings().made_with);
        let made_with = Identity { device: DeviceChoice::Cuda, dtype: Dtype::Q8, ..settings().made_with };
        let elsewhere = EpisodeResult { made_with, ..old };
        let text = serde_json::to_string(&elsewhere).unwrap();
        assert!(text.contains(r#""dtype":"q8","device":"cuda","chat_template""#), "{text}");
        assert_eq!(serde_json::from_str::<EpisodeResult>(&text).unwrap(), elsewhere);
    }
}
