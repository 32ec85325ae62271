//! What the session says: where it stands, what is to be done, why it refuses.

use super::{EpisodeReport, ProgressReport, SuccessReport};
use crate::episode::PrefixRequest;
use crate::model::instruction::InstructionError;

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Hand to the engine; when it refuses, tell [`super::Session::queue_full`].
    Submit(PrefixRequest),
    EpisodeStarted(u64),
    /// One of several cameras was scored.
    CameraProgress(ProgressReport),
    Progress(ProgressReport),
    Success(SuccessReport),
    EpisodeEnded(EpisodeReport),
    /// Call the robot's reset once and tell [`super::Session::reset_answered`].
    CallReset(ResetTicket),
    /// Wait for `reset.settle_s` and tell [`super::Session::settled`].
    Settle(ResetTicket),
}

/// Names the episode that a reset belongs to, so that an answer nobody waits for any more is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetTicket(pub(super) u64);

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

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the node is not active: see its lifecycle state (it may still be loading the model)")]
    Inactive,
    #[error("there is no instruction: set the parameter \"instruction\" or call ~/set_instruction")]
    NoInstruction,
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    #[error("episode {0} is running: end it with ~/end_episode or begin anew with ~/reset_episode")]
    Running(u64),
    #[error("no episode is running")]
    NotRunning,
    #[error("the running episode has no frame yet")]
    NoFrames,
}
