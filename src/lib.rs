//! TOPReward, live: how far a robot arm has come with its task, and when it has succeeded.
//!
//! The reward of a prefix of an episode is the log-probability that a frozen video VLM gives to the answer
//! `True` (TOPReward, arXiv 2602.19313). The modules follow the data: [`episode`] decodes, samples and collects frames,
//! [`model`] scores them, [`reward`] turns log-probabilities into progress and success. [`live`] does so while an
//! episode happens, [`offline`] afterwards; both draw with [`picture`]. [`files`] is how
//! files come to their places. `ros` (feature `ros`) and [`cli`] are the two ways in.
//!
//! Scoring pictures with the model that comes with the source (`examples/score_video.rs` does so with a video):
//!
//! ```
//! use image::RgbImage;
//! use topreward::model::VideoVlm;
//! use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
//!
//! let model = Qwen3Vl::load(&LoadOptions::new("models/so101-sim"))?;
//! let mut episode = model.new_episode();
//! for (number, level) in [40, 80, 120].into_iter().enumerate() {
//!     let frame = RgbImage::from_pixel(160, 128, image::Rgb([level; 3]));
//!     model.append(&mut episode, &frame, number as f64 / 2.0)?;
//! }
//! let scores = model.score(&mut episode, "put the red cube in the bowl")?;
//! assert!(scores.log_prob_true < 0.0, "a log-probability, in nats");
//! # Ok::<(), topreward::model::VlmError>(())
//! ```

// Nothing that comes from outside may end the node with a panic: errors are returned.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_in_result,
        clippy::unwrap_used
    )
)]

pub mod cli;
pub mod config;
pub mod episode;
pub mod files;
pub mod live;
pub mod model;
pub mod offline;
pub mod picture;
pub mod printable;
pub mod random;
pub mod reward;
#[cfg(feature = "ros")]
pub mod ros;
