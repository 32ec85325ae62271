//! A recording and a model that stop when they are asked to: scoring an episode can take minutes.

use std::ops::ControlFlow;

use ::image::RgbImage;

use crate::episode::CameraFrame;
use crate::model::{InstructionCheck, LogProbs, ModelInfo, VideoVlm, VlmError};
use crate::offline::recording::{Footage, RecordingError};

/// `inner`, until `stop` says so.
pub struct Stoppable<'a, T: ?Sized, S> {
    pub inner: &'a T,
    pub stop: S,
}

impl<S: Fn() -> bool + Send + Sync> Footage for Stoppable<'_, dyn Footage, S> {
    /// Ends early where it is stopped.
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        self.inner.play(&mut |frame| if (self.stop)() { ControlFlow::Break(()) } else { show(frame) })
    }
}

impl<V, S: Fn() -> bool> Stoppable<'_, V, S> {
    fn check(&self) -> Result<(), VlmError> {
        if (self.stop)() { Err(VlmError::Cancelled) } else { Ok(()) }
    }
}

impl<V: VideoVlm, S: Fn() -> bool> VideoVlm for Stoppable<'_, V, S> {
    type Episode = V::Episode;

    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn new_episode(&self) -> V::Episode {
        self.inner.new_episode()
    }

    fn append(&self, episode: &mut V::Episode, rgb: &RgbImage, time_s: f64) -> Result<(), VlmError> {
        self.check()?;
        self.inner.append(episode, rgb, time_s)
    }

    fn begin_control(&self, episode: &mut V::Episode) -> Result<V::Episode, VlmError> {
        self.inner.begin_control(episode)
    }

    fn append_first_again(&self, control: &mut V::Episode, time_s: f64) -> Result<(), VlmError> {
        self.check()?;
        self.inner.append_first_again(control, time_s)
    }

    fn score(&self, episode: &mut V::Episode, instruction: &str) -> Result<LogProbs, VlmError> {
        self.check()?;
        self.inner.score(episode, instruction)
    }

    fn instruction_check(&self) -> InstructionCheck {
        self.inner.instruction_check()
    }
}
