//! TOPReward, live: how far a robot arm has come with its task, and when it has succeeded.
//!
//! The reward of a prefix of an episode is the log-probability that a frozen video VLM gives to the answer
//! `True` (TOPReward, arXiv 2602.19313). The modules follow the data: [`episode`] decodes, samples and collects frames,
//! [`model`] scores them, [`reward`] turns log-probabilities into progress and success. [`live`] does so while an
//! episode happens, [`offline`] afterwards; both draw with [`picture`]. `ros` (feature `ros`) and [`cli`] are the two
//! ways in.

pub mod cli;
pub mod config;
pub mod episode;
pub mod live;
pub mod model;
pub mod offline;
pub mod picture;
pub mod reward;
#[cfg(feature = "ros")]
pub mod ros;
