//! Qwen3-VL on candle: an ordinary Hugging Face folder in, log-probabilities of growing prefixes out.
//!
//! Everything is computed in f32, on the processor by kernels of our own, elsewhere by candle's operations; weights may be
//! quantised ([`DtypeChoice`]). The prefix cache is exact, to the last bit in all that was measured on the processor: the frame
//! size is fixed for an episode, times are absolute, only complete pairs are committed, positions go on from the M-RoPE
//! position, and a token's row of every product depends on that row alone. An odd last frame, doubled, and the question run
//! on a fork of the cache that is cut back afterwards.
//!
//! Reference: transformers 4.57, `models/qwen3_vl/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::image::RgbImage;

use super::{
    DeviceChoice, DtypeChoice, InstructionCheck, LogProbs, ModelInfo, Stage, StageClock, VideoVlm, VlmError,
};

mod append;
mod attention;
pub mod cache;
pub mod config;
mod contents;
#[cfg(feature = "cuda")]
mod cuda;
mod episode;
mod error;
mod fingerprint;
mod folder;
mod generate;
mod gguf;
mod inventory;
mod kernels;
mod layers;
pub mod mrope;
mod need;
mod ops;
mod packed;
mod pixels;
pub mod processor;
pub mod prompt;
mod quantised_cache;
mod resize;
mod shard;
mod table;
mod tensor_names;
pub mod text;
mod tokenizer_shape;
pub mod vision;
mod weight_files;
mod weights;

pub use contents::refuse_adapter;
pub use episode::QwenEpisode;
pub use error::LoadError;
pub use fingerprint::fingerprint;
pub use folder::ModelFolder;
pub use generate::PromptPart;
pub use inventory::StoredWeights;
pub use shard::weight_files;
pub use weights::LoadProgress;

use cache::KvCache;
use config::{FRAMES_PER_PAIR, Qwen3VlConfig};
use error::inference;
use mrope::TokenChunk;
use need::Need;
use processor::Processor;
use prompt::Prompt;
use text::LanguageModel;
use vision::{VisionFeatures, VisionTower};
use weights::Weights;

/// How a model folder is to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// A Hugging Face folder: config.json, tokenizer.json, weights (safetensors or GGUF), and preprocessor settings if there
    /// are any.
    pub path: PathBuf,
    /// How the weights are held in memory.
    pub dtype: DtypeChoice,
    /// Where it is computed.
    pub device: DeviceChoice,
    /// On the processor too compute by candle's own operations, as on any other device: slow, and the yardstick for the
    /// kernels.
    pub plain_kernels: bool,
    /// Folder that keeps quantised weights for the next time; `None`: they are quantised each time.
    pub weight_cache: Option<PathBuf>,
    /// Whether the question stands inside the chat template; TOPReward's main setting is without.
    pub chat_template: bool,
    /// Upper bound for the pixels of one resized frame; `None` takes a 64th of the folder's budget for a video.
    pub max_pixels: Option<usize>,
    /// Frames of an episode that are remembered at most, 2 or more; `None`: all.
    pub max_samples: Option<usize>,
    /// Longest instruction, in tokens.
    pub max_instruction_tokens: usize,
}

impl LoadOptions {
    /// The defaults for a folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            dtype: DtypeChoice::Auto,
            device: DeviceChoice::Cpu,
            plain_kernels: false,
            weight_cache: None,
            chat_template: false,
            max_pixels: None,
            max_samples: None,
            max_instruction_tokens: 256,
        }
    }
}

/// Where quantised weights are kept unless something else is asked for: `topreward/weights` below the user's cache folder.
pub fn weight_cache() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("topreward/weights"))
}

/// A loaded Qwen3-VL. Immutable; episodes hold all state.
pub struct Qwen3Vl {
    info: ModelInfo,
    processor: Processor,
    prompt: Arc<Prompt>,
    vision: VisionTower,
    text: LanguageModel,
    max_tokens: usize,
    max_samples: usize,
    clock: Option<Arc<StageClock>>,
}

impl Qwen3Vl {
    /// Loads a model folder, the weights converted to f32 or what `options.dtype` says.
    ///
    /// # Errors
    /// [`VlmError::Load`] with the folder and the one thing that is wrong with it.
    pub fn load(options: &LoadOptions) -> Result<Self, VlmError> {
        Self::load_reporting(options, &|_| {})
    }

    /// As [`Qwen3Vl::load`]; `progress` gets the share of the weights that is loaded, after each tensor.
    ///
    /// # Errors
    /// As [`Qwen3Vl::load`].
    pub fn load_reporting(options: &LoadOptions, progress: LoadProgress<'_>) -> Result<Self, VlmError> {
        Self::load_parts(options, progress).map_err(|error| VlmError::Load {
            folder: options.path.display().to_string(),
            source: error.into(),
        })
    }

    fn load_parts(options: &LoadOptions, progress: LoadProgress<'_>) -> Result<Self, LoadError> {
        let folder = ModelFolder::open(Path::new(&options.path))?;
        contents::refuse_adapter(&folder)?;
        let config = Qwen3VlConfig::load(&folder)?;
        let prompt = Prompt::load(
            &folder,
            config.text.vocab_size,
            options.chat_template,
            options.max_instruction_tokens,
        )?;
        let processor = Processor::load(&folder, &config.vision, options.max_pixels)?;
        let kernels = kernels::open(options.device, options.plain_kernels)?;
        let dtype = |parameters, stored| {
            let dtype = kernels.dtype(options.dtype, parameters, stored)?;
            if let Some(free) = kernels.free_memory() {
                let (number, growth) = kernels.cache(dtype);
                let cache = (number.size_in_bytes(), growth);
                let (samples, pixels) = (options.max_samples, processor.max_pixels());
                Need::new(&config, parameters, samples, pixels, cache).check(dtype, free)?;
            }
            Ok(dtype)
        };
        let mut weights = Weights::open(&folder, &config, dtype, kernels.clone(), progress)?;
        let fingerprint = fingerprint::fingerprint(&folder)?;
        if let Some(kept) = &options.weight_cache {
            weights.use_quantised(kept, &fingerprint);
        }
        let vision = VisionTower::load(&weights.vision(), &config.vision, config.text.hidden_size)?;
        let text = LanguageModel::load(&weights, &config.text, weights.tied())?;
        let info = ModelInfo {
            path: options.path.display().to_string(),
            parameters: weights.parameters(),
            max_pixels: processor.max_pixels(),
            dtype: weights.dtype(),
            device: options.device,
            chat_template: options.chat_template,
            fingerprint,
        };
        weights.keep_quantised();
        kernels.loaded()?;
        let model = Self {
            info,
            processor,
            prompt: Arc::new(prompt),
            vision,
            text,
            max_tokens: config.text.max_tokens,
            max_samples: options.max_samples.map_or(usize::MAX, |most| most.max(FRAMES_PER_PAIR)),
            clock: None,
        };
        if kernels.warms_up() {
            model.warm_up().map_err(|error| LoadError::FirstStep { reason: error.to_string() })?;
        }
        Ok(model)
    }

    /// Steps of episodes that nobody sees: whatever a device makes ready at first use is ready then. Cameras see squares or
    /// wider; products of other sizes may be other kernels.
    fn warm_up(&self) -> Result<(), VlmError> {
        for (width, height) in [(480, 480), (640, 480), (1280, 720)] {
            let frame = RgbImage::new(width, height);
            let mut episode = self.new_episode();
            for step in 0..2 {
                for time_s in [2 * step, 2 * step + 1] {
                    self.append(&mut episode, &frame, f64::from(time_s))?;
                }
                self.score(&mut episode, "pick up the red cube and put it into the box")?;
            }
        }
        Ok(())
    }

    /// Measures from now on how long each stage takes. The scores stay the same.
    pub fn time_stages(&mut self, clock: Arc<StageClock>) {
        self.clock = Some(clock);
    }

    fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        match &self.clock {
            Some(clock) => clock.time(stage, work),
            None => work(),
        }
    }

    /// The image side of the model, for those who want to look at its steps one by one.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// The vision tower, for those who want to look at its steps one by one.
    pub fn vision(&self) -> &VisionTower {
        &self.vision
    }

    /// All token ids that [`VideoVlm::score`] would let the model see.
    ///
    /// # Errors
    /// As [`VideoVlm::score`].
    pub fn prompt_tokens(&self, episode: &mut QwenEpisode, instruction: &str) -> Result<Vec<u32>, VlmError> {
        let question = self.prompt.question(instruction)?;
        self.encode_behind(episode)?;
        let tail = self.tail(episode, &question)?;
        Ok([&episode.tokens, tail.chunk.tokens()].concat())
    }

    /// Scores frames with their times in one pass and without a cache: slower, and the yardstick for the cache.
    ///
    /// # Errors
    /// As [`VideoVlm::append`] and [`VideoVlm::score`].
    pub fn score_at_once(
        &self,
        frames: &[(&RgbImage, f64)],
        instruction: &str,
    ) -> Result<LogProbs, VlmError> {
        let question = self.prompt.question(instruction)?;
        let mut episode = self.new_episode();
        let mut pairs: Vec<(f64, VisionFeatures)> = Vec::new();
        for pair in frames.chunks(FRAMES_PER_PAIR) {
            let ((first, first_s), (second, second_s)) = (pair[0], pair[pair.len() - 1]);
            check_time(first_s, episode.last_time_s)?;
            check_time(second_s, first_s)?;
            episode.last_time_s = second_s;
            let resized = [self.resize(&mut episode, first)?, self.resize(&mut episode, second)?];
            let features = self.encode(&episode, resized.each_ref())?;
            pairs.push((mean(first_s, second_s), features));
        }
        let Some(grid) = episode.grid() else { return Err(VlmError::NoFrames) };
        let mut chunk = TokenChunk::starting_at(0);
        chunk.push_text(&self.prompt.opening()?);
        for (seconds, features) in &pairs {
            self.push_pair(&mut chunk, *seconds, &grid, features)?;
        }
        chunk.push_text(&question);
        self.check_length(chunk.len())?;
        let answers = self.prompt.answers();
        let both = self.text.last_log_probs(&chunk, &mut episode.cache, answers.into()).map_err(inference)?;
        log_probs(both)
    }

    fn score_frames(&self, episode: &mut QwenEpisode, question: &[u32]) -> Result<LogProbs, VlmError> {
        if episode.frames == 0 {
            return Err(VlmError::NoFrames);
        }
        let answers = self.prompt.answers();
        let look =
            |chunk: &TokenChunk, cache: &mut KvCache| self.text.last_log_probs(chunk, cache, answers.into());
        let (both, _question_in_cache) = self.ask(episode, question, look)?;
        log_probs(both)
    }
}

impl VideoVlm for Qwen3Vl {
    type Episode = QwenEpisode;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn new_episode(&self) -> QwenEpisode {
        QwenEpisode::new(self.text.new_cache())
    }

    fn append(&self, episode: &mut QwenEpisode, rgb: &RgbImage, time_s: f64) -> Result<(), VlmError> {
        on_worker(|| self.append_frame(episode, rgb, time_s))
    }

    fn begin_control(&self, episode: &mut QwenEpisode) -> Result<QwenEpisode, VlmError> {
        on_worker(|| self.control_of(episode))
    }

    fn append_first_again(&self, control: &mut QwenEpisode, time_s: f64) -> Result<(), VlmError> {
        on_worker(|| self.repeat_first(control, time_s))
    }

    fn score(&self, episode: &mut QwenEpisode, instruction: &str) -> Result<LogProbs, VlmError> {
        on_worker(|| self.score_frames(episode, &self.prompt.question(instruction)?))
    }

    fn instruction_check(&self) -> InstructionCheck {
        let prompt = self.prompt.clone();
        InstructionCheck::new(move |instruction| prompt.check_instruction(instruction))
    }
}

/// Of the two answers, in the order of [`Prompt::answers`].
fn log_probs([answer_true, answer_false]: [Option<f64>; 2]) -> Result<LogProbs, VlmError> {
    Ok(LogProbs {
        log_prob_true: answer_true.ok_or_else(no_numbers)?,
        log_prob_false: answer_false.ok_or_else(no_numbers)?,
    })
}

/// Runs on a thread of the worker pool: from outside, each of a step's many small parallel operations would have to
/// wait for a worker to wake up.
fn on_worker<T: Send>(step: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| step())
}

fn check_time(time_s: f64, last_time_s: f64) -> Result<(), VlmError> {
    if time_s.is_finite() && time_s >= last_time_s {
        return Ok(());
    }
    let reason = format!("a frame's time is {time_s} s, but frames have come up to {last_time_s} s");
    Err(VlmError::Inference(reason.into()))
}

fn no_numbers() -> VlmError {
    VlmError::Inference("the model's logits are not numbers: its weights may be damaged".into())
}

fn mean(first: f64, second: f64) -> f64 {
    (first + second) / 2.0
}
