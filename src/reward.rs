//! From log-probabilities to what a robot and a person use: progress, success, failure, VOC. Pure f64 arithmetic.

mod failure;
mod fusion;
mod judge;
mod log_prob;
mod progress;
mod reading;
mod roc;
mod success;
mod voc;

pub use failure::{Failure, FailureDetector, FailureSettings};
pub use fusion::Fusion;
pub use judge::{Judge, ScoredPrefix};
pub use log_prob::log_softmax_at;
pub use progress::{
    ProgressMode, ProgressScale, ProgressSettings, ProgressTracker, TypicalRewards, episode_progress,
};
pub use reading::{BiasControl, Control, NoBiasControl, Reading};
pub use roc::{Bootstrap, Estimate, NoThreshold, RocPoint, Threshold, auc, quantile, roc, threshold_for};
pub use success::{
    Staleness, SuccessDetector, SuccessSettings, Verdict, end_score, first_success, first_success_of,
    peak_score,
};
pub use voc::{spearman, voc};

/// A curve for tests: a reading every half second, one frame each.
#[cfg(test)]
pub(crate) fn half_second_curve(rewards: &[f64], change: f64) -> Vec<Reading> {
    let reading = |(i, &reward): (usize, &f64)| Reading {
        frames: i + 1,
        time_s: i as f64 * 0.5,
        change,
        ..Reading::of(reward, -1.0, None)
    };
    rewards.iter().enumerate().map(reading).collect()
}
