//! TOPReward, live: how far a robot arm has come with its task, and when it has succeeded.
//!
//! The reward of a prefix of an episode is the log-probability that a frozen video VLM gives to the answer
//! `True` (TOPReward, arXiv 2602.19313). The modules follow the data:
//! [`image`] turns bytes into frames, [`episode`] samples and collects them, [`engine`] owns the model
//! ([`vlm`]) on a thread of its own, [`recording`] reads finished episodes from disk, [`results`] keeps what was found in them, [`reward`] turns log-probabilities into progress and success.
//! `ros` (feature `ros`) and [`cli`] are the two ways in.

pub mod cli;
mod columns;
pub mod config;
pub mod engine;
pub mod episode;
pub mod evaluation;
pub mod gvl;
pub mod hub;
pub mod image;
pub mod instruction;
pub mod labels;
pub mod offline;
pub mod overlay;
pub mod plot;
pub mod recording;
pub mod results;
pub mod reward;
#[cfg(feature = "ros")]
pub mod ros;
pub mod session;
mod text;
pub mod vlm;
