//! The live wing: scores episodes while they happen.
//!
//! [`engine`] is the one thread that owns the model; [`session`] is the state machine that decides what is scored, when
//! an episode ends and whether it has succeeded. Neither knows ROS.

pub mod engine;
pub mod session;
