//! The model's door: what the rest of the program may ask of a video VLM. No tensor library shows here.

use std::fmt;
use std::sync::Arc;

use ::image::RgbImage;

mod calibration;
mod device;
mod dtype;
pub mod gvl;
pub mod hub;
mod identity;
pub mod instruction;
mod probe;
pub mod qwen3_vl;
pub mod scripted;
mod stages;

pub use calibration::{
    CalibratedModel, CalibratedSuccess, Calibration, CalibrationMismatch, Difference, EpisodeCounts, InUse,
    VERSION as CALIBRATION_VERSION,
};
pub use device::DeviceChoice;
pub use dtype::{Dtype, DtypeChoice};
pub use identity::Identity;
pub use probe::Probe;
pub use stages::{Stage, StageClock};

/// The two answers' log-probabilities at the position where the model answers, in nats, both ≤ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogProbs {
    /// `log p(" True" | frames, instruction)`: the reward of TOPReward (arXiv 2602.19313, section 3).
    pub log_prob_true: f64,
    /// `log p(" False" | frames, instruction)` at the same position.
    pub log_prob_false: f64,
}

/// What a loaded model says about itself, for logs, records and diagnostics.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// The folder the model was loaded from, or a description.
    pub path: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Upper bound of the pixels of one frame after the resize.
    pub max_pixels: usize,
    /// How the weights were held in memory.
    pub dtype: Dtype,
    /// Where it is computed.
    pub device: DeviceChoice,
    /// Whether the question stands inside the chat template.
    pub chat_template: bool,
    /// Tells two models apart, fine-tunes of one model too; calibrations are bound to it.
    pub fingerprint: String,
}

/// What lies behind an error: of this or that model, of this or that library.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong between a model folder and a score; each message names what and what to do.
#[derive(Debug, thiserror::Error)]
pub enum VlmError {
    #[error("model folder {folder}: {source}")]
    Load { folder: String, source: Cause },
    /// The model could not be brought from where it is.
    #[error("model {model}: {source}")]
    Fetch { model: String, source: Cause },
    #[error("the instruction is empty: say what the robot is to do, e.g. \"put the red cube in the bowl\"")]
    EmptyInstruction,
    #[error("the instruction has {tokens} tokens, more than the {limit} allowed: shorten it")]
    InstructionTooLong { tokens: usize, limit: usize },
    #[error("no frame has been appended: there is nothing to score")]
    NoFrames,
    #[error("a frame of {width}×{height} pixels cannot be used: {source}")]
    FrameSize { width: u32, height: u32, source: SizeError },
    #[error(
        "the episode has grown to {tokens} tokens, more than the model's {limit}: end it earlier, sample slower (sampling.rate_hz) or shrink the frames (processor.max_pixels)"
    )]
    EpisodeTooLong { tokens: usize, limit: usize },
    #[error(
        "the prompt has {tokens} tokens, more than the model's {limit}: show fewer frames or shrink them (processor.max_pixels)"
    )]
    PromptTooLong { tokens: usize, limit: usize },
    #[error(
        "the device ran out of memory: end episodes earlier, set episode.max_samples, shrink the frames (processor.max_pixels) or take a smaller model.dtype"
    )]
    OutOfMemory,
    #[error("inference failed: {0}")]
    Inference(#[source] Cause),
    /// Whoever asked for it has asked for its end. Nothing is wrong.
    #[error("the scoring was stopped")]
    Cancelled,
}

/// Why frames of some size cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("each side must have at least {least} pixels")]
    Small { least: usize },
    #[error("one side must not be more than {most} times the other")]
    Thin { most: u32 },
    #[error("it cannot be resized to {width}×{height}")]
    Resize { width: u32, height: u32 },
    #[error("the episode began with {width}×{height}; start a new one to change the size")]
    Changed { width: u32, height: u32 },
}

/// A name that is none of those that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give one of {}", .0.join(", "))]
pub struct NoSuchChoice(pub &'static [&'static str]);

/// Tells whether an instruction could be scored, without the model: cheap to clone, callable from any thread.
#[derive(Clone)]
pub struct InstructionCheck(Arc<CheckFn>);

type CheckFn = dyn Fn(&str) -> Result<(), VlmError> + Send + Sync;

impl InstructionCheck {
    pub fn new(check: impl Fn(&str) -> Result<(), VlmError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// # Errors
    /// [`VlmError::EmptyInstruction`] or [`VlmError::InstructionTooLong`].
    pub fn check(&self, instruction: &str) -> Result<(), VlmError> {
        (self.0)(instruction)
    }
}

impl fmt::Debug for InstructionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstructionCheck")
    }
}

/// A frozen video VLM that scores growing prefixes of episodes.
///
/// The model itself is immutable; what an episode has shown lives in a caller-owned [`VideoVlm::Episode`], so one
/// loaded model serves several cameras. Methods block for as long as inference takes.
pub trait VideoVlm {
    /// The frames seen so far, as the model remembers them (its key-value cache).
    type Episode;

    fn info(&self) -> &ModelInfo;

    /// An episode without frames.
    fn new_episode(&self) -> Self::Episode;

    /// Adds the next frame; `time_s` is seconds since the episode's first frame and never decreases.
    fn append(&self, episode: &mut Self::Episode, rgb: &RgbImage, time_s: f64) -> Result<(), VlmError>;

    /// A new episode that has seen the first frame of this one, which must have seen exactly that frame. With
    /// [`VideoVlm::append_first_again`] it becomes the control of an unchanged scene. Nothing is computed twice.
    fn begin_control(&self, episode: &mut Self::Episode) -> Result<Self::Episode, VlmError>;

    /// Adds the control's first frame once more; `time_s` as for [`VideoVlm::append`].
    fn append_first_again(&self, control: &mut Self::Episode, time_s: f64) -> Result<(), VlmError>;

    /// Scores all frames appended so far against the instruction. Leaves the episode as it was.
    fn score(&self, episode: &mut Self::Episode, instruction: &str) -> Result<LogProbs, VlmError>;

    /// What tells whether an instruction could be scored: not empty, not too long.
    fn instruction_check(&self) -> InstructionCheck;
}
