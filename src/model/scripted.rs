//! A stand-in model for tests: it answers from a function of the prefix and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::image::RgbImage;

use super::{DeviceChoice, Dtype, InstructionCheck, LogProbs, ModelInfo, VideoVlm, VlmError};

#[cfg(feature = "scripted-model")]
mod folder;

#[cfg(feature = "scripted-model")]
pub use folder::{SCRIPT_NAME, is_in};

type Script = Box<dyn Fn(&ScriptedEpisode, &str) -> Result<LogProbs, VlmError> + Send>;

/// A prefix that was scored: its frame times in seconds and the instruction.
pub type ScoredPrefix = (Vec<f64>, String);

/// Scores a prefix by calling a script.
pub struct ScriptedVlm {
    info: ModelInfo,
    script: Script,
    delay: Duration,
    pub scored: Arc<Mutex<Vec<ScoredPrefix>>>,
}

/// What an episode has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptedEpisode {
    /// Of every frame, seconds since the first.
    times_s: Vec<f64>,
    /// Mean brightness of the first and of the newest frame, from 0 (black) to 1 (white).
    first: f64,
    newest: f64,
}

impl ScriptedVlm {
    /// The script is given (number of frames, instruction). `delay` is how long each [`VideoVlm::score`] sleeps, to
    /// stand in for inference.
    pub fn new(
        delay: Duration,
        script: impl Fn(usize, &str) -> Result<LogProbs, VlmError> + Send + 'static,
    ) -> Self {
        let script =
            move |episode: &ScriptedEpisode, instruction: &str| script(episode.times_s.len(), instruction);
        Self::named("scripted", delay, Box::new(script))
    }

    fn named(path: &str, delay: Duration, script: Script) -> Self {
        let info = ModelInfo {
            path: path.to_owned(),
            parameters: 0,
            max_pixels: 1 << 20,
            dtype: Dtype::F32,
            device: DeviceChoice::Cpu,
            chat_template: false,
            fingerprint: "scripted".into(),
        };
        Self { info, script, delay, scored: Arc::default() }
    }
}

impl VideoVlm for ScriptedVlm {
    type Episode = ScriptedEpisode;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn new_episode(&self) -> ScriptedEpisode {
        ScriptedEpisode { times_s: Vec::new(), first: 0.0, newest: 0.0 }
    }

    fn append(&self, episode: &mut ScriptedEpisode, rgb: &RgbImage, time_s: f64) -> Result<(), VlmError> {
        episode.newest = brightness(rgb);
        if episode.times_s.is_empty() {
            episode.first = episode.newest;
        }
        episode.times_s.push(time_s);
        Ok(())
    }

    fn begin_control(&self, episode: &mut ScriptedEpisode) -> Result<ScriptedEpisode, VlmError> {
        match episode.times_s[..] {
            [_] => Ok(episode.clone()),
            _ => Err(VlmError::NoFrames),
        }
    }

    fn append_first_again(&self, control: &mut ScriptedEpisode, time_s: f64) -> Result<(), VlmError> {
        control.newest = control.first;
        control.times_s.push(time_s);
        Ok(())
    }

    fn score(&self, episode: &mut ScriptedEpisode, instruction: &str) -> Result<LogProbs, VlmError> {
        self.instruction_check().check(instruction)?;
        if episode.times_s.is_empty() {
            return Err(VlmError::NoFrames);
        }
        std::thread::sleep(self.delay);
        if let Ok(mut scored) = self.scored.lock() {
            scored.push((episode.times_s.clone(), instruction.to_owned()));
        }
        (self.script)(episode, instruction)
    }

    fn instruction_check(&self) -> InstructionCheck {
        InstructionCheck::new(|instruction| {
            if instruction.trim().is_empty() { Err(VlmError::EmptyInstruction) } else { Ok(()) }
        })
    }
}

fn brightness(rgb: &RgbImage) -> f64 {
    let sum: u64 = rgb.as_raw().iter().map(|&value| u64::from(value)).sum();
    sum as f64 / (255.0 * rgb.as_raw().len().max(1) as f64)
}
