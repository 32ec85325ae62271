//! The offline wing: scores finished episodes.
//!
//! [`recording`] reads videos, bags and datasets as the frames that the node would have sampled, [`Scoring`] asks the
//! model about them as the node does, [`results`] keeps the answers on disk, [`labels`] turns them into what training
//! reads, and [`evaluation`] measures how good they are.

pub(crate) mod columns;
pub mod evaluation;
pub mod labels;
mod prefixes;
pub mod recording;
pub mod results;
mod scoring;

pub use prefixes::{NoPrefixes, Prefixes};
pub use scoring::{
    OfflineError, SampledFrame, Scoring, changes, score_prefixes, score_still, still_curve, uncontrolled,
};
