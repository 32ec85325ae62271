//! A stand-in model for tests: it answers from a function of the prefix and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::image::RgbImage;

use super::{DeviceChoice, Dtype, InstructionCheck, LogProbs, ModelInfo, VideoVlm, VlmError};

type Script = Box<dyn Fn(usize, &str) -> Result<LogProbs, VlmError> + Send>;

/// A prefix that was scored: its frame times in seconds and the instruction.
pub type ScoredPrefix = (Vec<f64>, String);

/// Scores a prefix by calling a script with (number of frames, instruction).
pub struct ScriptedVlm {
    info: ModelInfo,
    script: Script,
    delay: Duration,
    pub scored: Arc<Mutex<Vec<ScoredPrefix>>>,
}

impl ScriptedVlm {
    /// `delay` is how long each [`VideoVlm::score`] sleeps, to stand in for inference.
    pub fn new(
        delay: Duration,
        script: impl Fn(usize, &str) -> Result<LogProbs, VlmError> + Send + 'static,
    ) -> Self {
        let info = ModelInfo {
            path: "scripted".into(),
            parameters: 0,
            max_pixels: 1 << 20,
            dtype: Dtype::F32,
            device: DeviceChoice::Cpu,
            chat_template: false,
            fingerprint: "scripted".into(),
        };
        Self { info, script: Box::new(script), delay, scored: Arc::default() }
    }
}

impl VideoVlm for ScriptedVlm {
    type Episode = Vec<f64>;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn new_episode(&self) -> Vec<f64> {
        Vec::new()
    }

    fn append(&self, episode: &mut Vec<f64>, _rgb: &RgbImage, time_s: f64) -> Result<(), VlmError> {
        episode.push(time_s);
        Ok(())
    }

    fn begin_control(&self, episode: &mut Vec<f64>) -> Result<Vec<f64>, VlmError> {
        match episode[..] {
            [first_s] => Ok(vec![first_s]),
            _ => Err(VlmError::NoFrames),
        }
    }

    fn append_first_again(&self, control: &mut Vec<f64>, time_s: f64) -> Result<(), VlmError> {
        control.push(time_s);
        Ok(())
    }

    fn score(&self, episode: &mut Vec<f64>, instruction: &str) -> Result<LogProbs, VlmError> {
        self.instruction_check().check(instruction)?;
        if episode.is_empty() {
            return Err(VlmError::NoFrames);
        }
        std::thread::sleep(self.delay);
        if let Ok(mut scored) = self.scored.lock() {
            scored.push((episode.clone(), instruction.to_owned()));
        }
        (self.script)(episode.len(), instruction)
    }

    fn instruction_check(&self) -> InstructionCheck {
        InstructionCheck::new(|instruction| {
            if instruction.trim().is_empty() { Err(VlmError::EmptyInstruction) } else { Ok(()) }
        })
    }
}
