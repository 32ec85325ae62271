//! From log-probabilities to what a robot and a person use: progress, success, VOC. Pure f64 arithmetic.

mod calibration;
mod fusion;
mod log_prob;
mod progress;
mod roc;
mod success;
mod voc;

pub use calibration::{
    BiasControl, CalibratedModel, CalibratedSuccess, Calibration, CalibrationError, CalibrationMismatch,
    Difference, EpisodeCounts, InUse, VERSION as CALIBRATION_VERSION,
};
pub use fusion::Fusion;
pub use log_prob::log_softmax_at;
pub use progress::{ProgressScale, ProgressSettings, ProgressTracker};
pub use roc::{
    Bootstrap, Estimate, NoThreshold, Random, RocPoint, Threshold, auc, quantile, roc, threshold_for,
};
pub use success::{SuccessDetector, SuccessReading, SuccessSettings, Verdict};
pub use voc::voc;
