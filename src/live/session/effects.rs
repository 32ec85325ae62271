//! What the session answers: where it stands, what is to be done, why it refuses.

use std::sync::Arc;

use super::{EpisodeReport, Notice, ProgressReport, SuccessReport};
use crate::episode::PrefixRequest;
use crate::model::instruction::InstructionError;

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Hand to the engine; when it refuses, call [`super::Session::queue_full`].
    Submit(PrefixRequest),
    EpisodeStarted(u64),
    /// The log is to say this of a camera.
    Notice(usize, Notice),
    /// One of several cameras was scored.
    CameraProgress(ProgressReport),
    Progress(ProgressReport),
    Success(SuccessReport),
    /// With the instruction that its rewards answer.
    EpisodeEnded(EpisodeReport, Arc<str>),
    /// Call the robot's reset once and pass its answer to [`super::Session::reset_answered`].
    CallReset(ResetTicket),
    /// Wait for `reset.settle_s` and call [`super::Session::settled`].
    Settle(ResetTicket),
}

/// Names the episode that a reset belongs to, so that an answer nobody waits for any more is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetTicket(pub(super) u64);

/// The robot was not reset, for this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResetFailed(pub String);

/// Where the session stands between episodes and in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing runs until the session is activated.
    Inactive,
    /// Nothing runs until there is an instruction.
    NoInstruction,
    /// Nothing runs until someone asks for it.
    Idle,
    Running,
    /// The episode has ended and the robot's reset has been asked for.
    Resetting,
    /// The reset was answered; the scene comes to rest.
    Settling,
    /// The reset did not happen, for this reason. Nothing runs until someone asks for it.
    ResetFailed(String),
}

impl Phase {
    /// The name used on /diagnostics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Inactive => "not active",
            Self::NoInstruction => "waiting for an instruction",
            Self::Idle => "idle",
            Self::Running => "episode running",
            Self::Resetting => "waiting for the reset",
            Self::Settling => "settling after the reset",
            Self::ResetFailed(_) => "reset failed",
        }
    }
}

/// Why a request was refused. What to do about it, whoever offers the request says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the session is not active")]
    Inactive,
    #[error("there is no instruction")]
    NoInstruction,
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    #[error("episode {0} is running")]
    Running(u64),
    #[error("no episode is running")]
    NotRunning,
    #[error("the running episode has no frame yet")]
    NoFrames,
}
