//! How true live progress is in each of its modes, where a data set says how far the task really was.

use serde::Serialize;

use crate::reward::{
    ProgressMode, ProgressScale, ProgressSettings, ProgressTracker, Reading, quantile, spearman,
};

/// An episode as progress sees it.
#[derive(Debug, Clone, Copy)]
pub struct Tracked<'a> {
    pub success: bool,
    pub readings: &'a [Reading],
    /// How far the task really was at each of them, 0 to 1.
    pub truth: Option<&'a [f64]>,
    /// The first frame repeated: what progress says while nothing happens.
    pub idle: &'a [Reading],
}

/// What progress is worth in one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModeRow {
    pub mode: ProgressMode,
    /// `None` where the mode knows no scale.
    pub scale: Option<ProgressScale>,
    /// Mean over the episodes of the mean distance from the truth.
    pub mean_error: Option<f64>,
    /// Mean over the episodes of the rank correlation with the truth, where it is defined.
    pub correlation: Option<f64>,
    /// Progress at the end of a success, median and 5th percentile.
    pub end_of_successes_p50: Option<f64>,
    pub end_of_successes_p5: Option<f64>,
    /// Highest progress of a failure, median.
    pub peak_of_failures_p50: Option<f64>,
    /// Highest progress while nothing happens, 95th percentile.
    pub peak_of_idle_p95: Option<f64>,
}

/// Every mode on every scale, with the other settings as they are; `calibrated` only where there is a calibration.
pub fn progress_modes(episodes: &[Tracked<'_>], settings: ProgressSettings) -> Vec<ModeRow> {
    let scales = [ProgressScale::Nats, ProgressScale::Probability];
    let mut modes = vec![(ProgressMode::Probability, None)];
    for mode in [ProgressMode::Goal, ProgressMode::Running, ProgressMode::Calibrated] {
        if mode != ProgressMode::Calibrated || settings.typical.is_some() {
            modes.extend(scales.map(|scale| (mode, Some(scale))));
        }
    }
    modes.into_iter().map(|(mode, scale)| row(mode, scale, episodes, settings)).collect()
}

fn row(
    mode: ProgressMode,
    scale: Option<ProgressScale>,
    episodes: &[Tracked<'_>],
    settings: ProgressSettings,
) -> ModeRow {
    let settings = ProgressSettings { mode, scale: scale.unwrap_or(settings.scale), ..settings };
    let track = |readings: &[Reading]| -> Vec<f64> {
        let mut tracker = ProgressTracker::new(settings);
        readings.iter().map(|reading| tracker.push(*reading)).collect()
    };
    let (mut errors, mut correlations) = (Vec::new(), Vec::new());
    let (mut ends, mut peaks, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for episode in episodes {
        let estimated = track(episode.readings);
        if let Some(truth) = episode.truth {
            errors.extend(mean(
                estimated.iter().zip(truth).map(|(estimated, truth)| (estimated - truth).abs()),
            ));
            correlations.extend(spearman(&estimated, truth));
        }
        if episode.success {
            ends.extend(estimated.last());
        } else {
            peaks.extend(highest(&estimated));
        }
        idle.extend(highest(&track(episode.idle)));
    }
    ModeRow {
        mode,
        scale,
        mean_error: mean(errors.into_iter()),
        correlation: mean(correlations.into_iter()),
        end_of_successes_p50: quantile(&ends, 0.5),
        end_of_successes_p5: quantile(&ends, 0.05),
        peak_of_failures_p50: quantile(&peaks, 0.5),
        peak_of_idle_p95: quantile(&idle, 0.95),
    }
}

fn highest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::max)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::TypicalRewards;

    fn readings(rewards: &[f64]) -> Vec<Reading> {
        rewards.iter().map(|&reward| Reading::of(reward, (1.0 - reward.exp()).ln(), None)).collect()
    }

    #[test]
    fn each_mode_is_held_against_the_truth() {
        let half = 0.5f64.ln();
        // p(True) = 1/4, 1/2, 1 - almost, where the truth is 0, 0.5, 1.
        let success = readings(&[0.25f64.ln(), half, -1e-12]);
        let failure = readings(&[0.25f64.ln(), half, 0.25f64.ln()]);
        let idle = readings(&[0.25f64.ln(), 0.25f64.ln()]);
        let truths: [&[f64]; 2] = [&[0.0, 0.5, 1.0], &[0.0, 0.5, 0.0]];
        let episodes = [
            Tracked { success: true, readings: &success, truth: Some(truths[0]), idle: &[] },
            Tracked { success: false, readings: &failure, truth: Some(truths[1]), idle: &idle },
        ];
        let settings = ProgressSettings { goal_nats: 0.0, min_span_nats: 0.1, ..ProgressSettings::default() };
        let rows = progress_modes(&episodes, settings);
        assert_eq!(rows.len(), 5, "calibrated needs a calibration");
        let found = |mode, scale| rows.iter().find(|row| (row.mode, row.scale) == (mode, scale)).unwrap();

        let probability = found(ProgressMode::Probability, None);
        // Off by 1/4, 0, 0 and by 1/4, 0, 1/4.
        assert!((probability.mean_error.unwrap() - (0.25 / 3.0 + 0.5 / 3.0) / 2.0).abs() < 1e-9);
        assert!((probability.correlation.unwrap() - 1.0).abs() < 1e-9);
        assert!((probability.peak_of_idle_p95.unwrap() - 0.25).abs() < 1e-9);

        let goal = found(ProgressMode::Goal, Some(ProgressScale::Nats));
        // ln(1/4) to 0: one half is at the middle: no error.
        assert!(goal.mean_error.unwrap() < 1e-9);
        assert!((goal.end_of_successes_p50.unwrap() - 1.0).abs() < 1e-9);
        assert!((goal.peak_of_failures_p50.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(goal.peak_of_idle_p95, Some(0.0));

        // By probability one half is a third of the way from 1/4 to 1: off by 1/6 at one of three.
        let by_probability = found(ProgressMode::Goal, Some(ProgressScale::Probability));
        assert!((by_probability.mean_error.unwrap() - 1.0 / 18.0).abs() < 1e-9);
        // In nats too the highest so far is 1 at once.
        assert_eq!(found(ProgressMode::Running, Some(ProgressScale::Nats)).peak_of_failures_p50, Some(1.0));

        let typical = Some(TypicalRewards { first_nats: 0.25f64.ln(), final_nats: half });
        let rows = progress_modes(&episodes, ProgressSettings { typical, ..settings });
        let calibrated = rows.iter().find(|row| row.mode == ProgressMode::Calibrated).unwrap();
        assert!((calibrated.peak_of_failures_p50.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_truth_only_the_ends_are_told() {
        let curve = readings(&[-2.0, -0.1]);
        let episodes = [Tracked { success: true, readings: &curve, truth: None, idle: &[] }];
        let rows = progress_modes(&episodes, ProgressSettings::default());
        assert!(rows.iter().all(|row| row.mean_error.is_none() && row.end_of_successes_p50.is_some()));
    }
}
