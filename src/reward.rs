//! From log-probabilities to what a robot and a person use: progress, success, failure, VOC. Pure f64 arithmetic.

mod calibration;
mod failure;
mod fusion;
mod log_prob;
mod progress;
mod roc;
mod success;
mod voc;

pub use calibration::{
    BiasControl, CalibratedModel, CalibratedSuccess, Calibration, CalibrationMismatch, Difference,
    EpisodeCounts, InUse, NoBiasControl, VERSION as CALIBRATION_VERSION,
};
pub use failure::{Failure, FailureDetector, FailureSettings};
pub use fusion::Fusion;
pub use log_prob::log_softmax_at;
pub use progress::{
    ProgressMode, ProgressReading, ProgressScale, ProgressSettings, ProgressTracker, TypicalRewards,
    episode_progress,
};
pub use roc::{Bootstrap, Estimate, NoThreshold, RocPoint, Threshold, auc, quantile, roc, threshold_for};
pub use success::{Staleness, SuccessDetector, SuccessReading, SuccessSettings, Verdict};
pub use voc::{spearman, voc};
