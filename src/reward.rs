//! From log-probabilities to what a robot and a person use: progress, success, VOC. Pure f64 arithmetic.

mod fusion;
mod log_prob;
mod progress;
mod success;
mod voc;

pub use fusion::Fusion;
pub use log_prob::log_softmax_at;
pub use progress::{ProgressScale, ProgressSettings, ProgressTracker};
pub use success::{SuccessDetector, SuccessReading, SuccessSettings, Verdict};
pub use voc::voc;
