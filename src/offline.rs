//! The offline wing: scores finished episodes.
//!
//! [`recording`] reads videos, bags and datasets as the frames that the node would have sampled, [`Scoring`] asks the
//! model about them as the node does, [`results`] keeps the answers on disk, [`labels`] turns them into what training
//! reads, and [`evaluation`] measures how good they are.

pub(crate) mod columns;
pub mod evaluation;
pub mod labels;
pub mod recording;
pub mod results;
mod scoring;

#[cfg(test)]
pub(crate) use scoring::half_second_curve;
pub use scoring::{
    Control, CurvePoint, OfflineError, Prefixes, SampledFrame, Scoring, changes, first_success,
    first_success_of, judged, readings, score_control, score_prefixes,
};
