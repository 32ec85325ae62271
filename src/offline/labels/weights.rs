//! TOP-AWR: how much each frame's action counts in advantage-weighted behaviour cloning (arXiv 2602.19313).

use std::path::Path;

use super::progress_file::write_rows;
use super::{EpisodeLabels, LabelError, ProgressFile};

/// Where the weights are written unless another place is named.
pub const WEIGHTS_NAME: &str = "topreward_weights.parquet";

/// Over which stretch of an episode an action's gain in progress is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Increments {
    /// So many anchors, evenly spread from the first frame to the last, as the paper has them: all frames from one
    /// anchor to the next share the gain between the two.
    Anchors(usize),
    /// From each frame to the one so many frames later; the last frames share the gain of the last whole stretch.
    Frames(usize),
}

/// What is taken from the gains before they become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Baseline {
    /// The mean gain of all frames of the dataset.
    Mean,
    /// Nothing: the paper's equation 3 by itself.
    None,
}

/// `weight = clip(τ · exp(gain − baseline), 0, δ_max)`.
///
/// The paper states it twice and not alike. Its equation 3 is `clip(τ · exp(s_k − s_{k−1}), 0, δ_max)`, of the progress
/// s at neighbouring anchors; of its experiments it says that values become "advantages by subtracting the dataset
/// mean", with τ = δ_max = 2. Decided here:
/// * With τ = δ_max, equation 3 alone gives every frame that loses nothing the same weight, so the mean is taken off:
///   inside the exponent, of the gains. Off the progress itself it would cancel out in the difference.
/// * An action counts for the gain that follows it: a frame belongs to the stretch that begins at it.
/// * The mean is over frames, so a long episode has more say than a short one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSettings {
    /// τ: the weight of an average gain.
    pub tau: f64,
    /// δ_max: the largest weight.
    pub delta_max: f64,
    pub increments: Increments,
    pub baseline: Baseline,
}

impl Default for WeightSettings {
    fn default() -> Self {
        // 15: the anchors of the authors' code.
        Self { tau: 2.0, delta_max: 2.0, increments: Increments::Anchors(15), baseline: Baseline::Mean }
    }
}

/// The weights of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    pub settings: WeightSettings,
    /// What was taken from the gains.
    pub baseline: f64,
    /// Of all frames, episode after episode. Shape: (frames of all episodes,), each 0 to δ_max.
    pub values: Vec<f32>,
}

impl Weights {
    /// # Errors
    /// Settings that make no sense.
    pub fn of(labels: &ProgressFile, settings: WeightSettings) -> Result<Self, LabelError> {
        let WeightSettings { tau, delta_max, increments, baseline } = settings;
        for (name, value) in [("tau", tau), ("delta_max", delta_max)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(LabelError::Setting { name, wanted: "a number above 0", value });
            }
        }
        match increments {
            Increments::Anchors(anchors @ 0..2) => {
                let (name, wanted) = ("anchors", "at least 2");
                return Err(LabelError::Setting { name, wanted, value: anchors as f64 });
            }
            Increments::Frames(0) => {
                return Err(LabelError::Setting { name: "horizon", wanted: "at least 1 frame", value: 0.0 });
            }
            _ => {}
        }
        let gains: Vec<f64> =
            labels.episodes.iter().flat_map(|episode| gains(&episode.progress, increments)).collect();
        let baseline = match baseline {
            Baseline::Mean => gains.iter().sum::<f64>() / gains.len().max(1) as f64,
            Baseline::None => 0.0,
        };
        let weight = |gain: &f64| (tau * (gain - baseline).exp()).clamp(0.0, delta_max) as f32;
        Ok(Self { settings, baseline, values: gains.iter().map(weight).collect() })
    }

    /// Writes a row for each frame: `index`, `episode_index`, `frame_index` (i64) and `weight` (f32); the settings stand
    /// in the file's metadata.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(&self, file: &Path, labels: &ProgressFile) -> Result<(), LabelError> {
        let WeightSettings { tau, delta_max, increments, baseline } = self.settings;
        let mut metadata = vec![
            ("method", "TOP-AWR".to_owned()),
            ("formula", "clip(tau * exp(gain - baseline), 0, delta_max)".to_owned()),
            ("tau", tau.to_string()),
            ("delta_max", delta_max.to_string()),
            match increments {
                Increments::Anchors(anchors) => ("anchors", anchors.to_string()),
                Increments::Frames(frames) => ("horizon_frames", frames.to_string()),
            },
            (
                "baseline",
                match baseline {
                    Baseline::Mean => "mean".to_owned(),
                    Baseline::None => "none".to_owned(),
                },
            ),
            ("baseline_value", self.baseline.to_string()),
        ];
        if let Some(name) = &labels.vlm_name {
            metadata.push(("vlm_name", name.clone()));
        }
        write_rows(file, &labels.episodes, ("weight", &self.values), &metadata)
    }

    /// The part of the frames whose weight is δ_max.
    pub fn clipped(&self) -> f64 {
        let most = self.settings.delta_max as f32;
        let clipped = self.values.iter().filter(|weight| **weight >= most).count();
        clipped as f64 / self.values.len().max(1) as f64
    }
}

/// What each frame's action gained.
fn gains(progress: &[f32], increments: Increments) -> Vec<f64> {
    let at = |frame: usize| f64::from(progress[frame]);
    let Some(last) = progress.len().checked_sub(1) else { return Vec::new() };
    match increments {
        Increments::Frames(ahead) => {
            let ahead = ahead.min(last);
            let gain = |frame: usize| {
                let from = frame.min(last - ahead);
                at(from + ahead) - at(from)
            };
            (0..=last).map(gain).collect()
        }
        Increments::Anchors(anchors) => {
            let steps = anchors.saturating_sub(1).min(last).max(1);
            let place = |step: usize| (last as f64 * step as f64 / steps as f64).round_ties_even() as usize;
            let mut gains = Vec::with_capacity(last + 1);
            for step in 0..steps {
                let (from, to) = (place(step), place(step + 1));
                gains.resize(to, at(to) - at(from));
            }
            // The last frame has no stretch of its own.
            gains.resize(last + 1, gains.last().copied().unwrap_or_default());
            gains
        }
    }
}

impl ProgressFile {
    /// Frames of all episodes.
    pub fn frames(&self) -> usize {
        self.episodes.iter().map(|labels: &EpisodeLabels| labels.progress.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::columns::Table;

    fn file(episodes: &[&[f32]]) -> ProgressFile {
        let mut next = 0;
        let labels = |(episode, progress): (usize, &&[f32])| {
            let index = (next..).take(progress.len()).collect();
            next += progress.len() as i64;
            EpisodeLabels { episode: episode as u64, index, progress: progress.to_vec() }
        };
        ProgressFile::new("a/model", episodes.iter().enumerate().map(labels).collect()).unwrap()
    }

    #[test]
    fn frames_between_two_anchors_share_the_gain_between_them() {
        // 5 frames, 3 anchors: at 0, 2, 4.
        let progress = [0.0, 0.125, 0.25, 0.5, 1.0];
        assert_eq!(gains(&progress, Increments::Anchors(3)), [0.25, 0.25, 0.75, 0.75, 0.75]);
        // More anchors than frames: every step by itself.
        assert_eq!(gains(&progress, Increments::Anchors(15)), [0.125, 0.125, 0.25, 0.5, 0.5]);
        assert_eq!(gains(&[0.5], Increments::Anchors(15)), [0.0]);
        assert_eq!(gains(&[], Increments::Anchors(15)), [0.0; 0]);
    }

    #[test]
    fn a_horizon_looks_ahead_and_is_whole_at_the_end() {
        let progress = [0.0, 0.125, 0.25, 0.5, 1.0];
        assert_eq!(gains(&progress, Increments::Frames(2)), [0.25, 0.375, 0.75, 0.75, 0.75]);
        assert_eq!(gains(&progress, Increments::Frames(50)), [1.0; 5]);
    }

    #[test]
    fn weights_are_the_papers() {
        let labels = file(&[&[0.0, 0.5, 0.25]]);
        // Gains .5, −.25, −.25: mean 0.
        let settings = WeightSettings { increments: Increments::Frames(1), ..WeightSettings::default() };
        let weights = Weights::of(&labels, settings).unwrap();
        assert!(weights.baseline.abs() < 1e-12);
        // 2·e^.5 = 3.297 is cut to 2; 2·e^−.25 = 1.557602.
        let near = |found: f32, wanted: f32| (found - wanted).abs() < 1e-6;
        assert_eq!(weights.values[0], 2.0);
        assert!(near(weights.values[1], 1.557_601_6) && near(weights.values[2], 1.557_601_6), "{weights:?}");
        assert!((weights.clipped() - 1.0 / 3.0).abs() < 1e-12);
        // A wider range shows the whole of it.
        let wide = Weights::of(&labels, WeightSettings { delta_max: 9.0, ..settings }).unwrap();
        assert!(near(wide.values[0], 3.297_442_5), "{wide:?}");
    }

    #[test]
    fn the_mean_is_over_all_frames_of_the_dataset() {
        // Gains 1, 1 and 0, 0, 0, 0: mean 1/3.
        let labels = file(&[&[0.0, 1.0], &[0.5, 0.5, 0.5, 0.5]]);
        let settings = WeightSettings { tau: 1.0, delta_max: 10.0, ..WeightSettings::default() };
        let weights = Weights::of(&labels, settings).unwrap();
        assert!((weights.baseline - 1.0 / 3.0).abs() < 1e-12);
        let wanted = [(2.0_f64 / 3.0).exp() as f32, (-1.0_f64 / 3.0).exp() as f32];
        assert!((weights.values[0] - wanted[0]).abs() < 1e-6 && (weights.values[2] - wanted[1]).abs() < 1e-6);
        let plain = Weights::of(&labels, WeightSettings { baseline: Baseline::None, ..settings }).unwrap();
        assert_eq!(plain.values[2], 1.0);
    }

    #[test]
    fn settings_stand_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS_NAME);
        let labels = file(&[&[0.0, 1.0], &[0.0, 0.5, 1.0]]);
        let weights = Weights::of(&labels, WeightSettings::default()).unwrap();
        weights.write(&path, &labels).unwrap();
        let table = Table::open(&path).unwrap();
        let expected = [("tau", "2"), ("delta_max", "2"), ("anchors", "15"), ("baseline", "mean")];
        for (key, value) in expected.into_iter().chain([("vlm_name", "a/model"), ("method", "TOP-AWR")]) {
            assert_eq!(table.metadata(key), Some(value), "{key}");
        }
        assert_eq!(table.integers("episode_index", 0..5).unwrap(), [0, 0, 1, 1, 1]);
        assert_eq!(table.integers("frame_index", 0..5).unwrap(), [0, 1, 0, 1, 2]);
        let read: Vec<f32> = table.numbers("weight", 0..5).unwrap().iter().map(|w| *w as f32).collect();
        assert_eq!(read, weights.values);
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let labels = file(&[&[0.0, 1.0]]);
        let told = |settings| Weights::of(&labels, settings).unwrap_err().to_string();
        let sound = WeightSettings::default();
        assert!(told(WeightSettings { tau: 0.0, ..sound }).contains("tau"));
        assert!(told(WeightSettings { delta_max: f64::NAN, ..sound }).contains("delta_max"));
        assert!(told(WeightSettings { increments: Increments::Anchors(1), ..sound }).contains("anchors"));
        assert!(told(WeightSettings { increments: Increments::Frames(0), ..sound }).contains("horizon"));
    }
}
