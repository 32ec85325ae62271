//! How an episode grows: frames into pairs, pairs into the cache, and fewer of them once there are too many.
//!
//! A pair goes through the language model together with what comes behind it, the next question or more pairs: the
//! weights are read once for all of them. A token's row depends on that row alone, so the score does not.
//!
//! An episode remembers at most `max_samples` frames. When one more is to be remembered, every second one is forgotten and
//! the cache is computed anew from the others; from then on only every second frame is remembered, and so on. The newest frame
//! is always seen: where it is not one to remember, it stands behind the cache for as long as it is the newest. What is
//! remembered depends on the number of frames alone, so live and offline scores stay the same.

use std::sync::Arc;

use ::image::RgbImage;

use super::super::{SizeError, Stage, VlmError};
use super::cache::{Fork, KvCache};
use super::config::FRAMES_PER_PAIR;
use super::episode::{EncodedPair, QwenEpisode, SeenFrame, View};
use super::error::inference;
use super::mrope::TokenChunk;
use super::vision::{PatchGrid, VisionFeatures};
use super::{Qwen3Vl, check_time, mean};

/// Tokens of waiting pairs that make a chunk worth computing before a question comes; products gain nothing from more.
const FULL_CHUNK: usize = 256;

/// What a question is asked with, behind the cached tokens.
pub(super) struct Tail<'a> {
    pub chunk: TokenChunk<'a>,
    /// How many of its tokens stay in the cache: those of the pairs that waited.
    pub stays: usize,
    /// The position of the token behind those.
    pub next_position: u32,
}

impl Qwen3Vl {
    pub(super) fn append_frame(
        &self,
        episode: &mut QwenEpisode,
        rgb: &RgbImage,
        time_s: f64,
    ) -> Result<(), VlmError> {
        check_time(time_s, episode.last_time_s)?;
        let resized = Some(Arc::new(self.resize(episode, rgb)?));
        self.take_in(episode, SeenFrame { resized, time_s })
    }

    pub(super) fn control_of(&self, episode: &mut QwenEpisode) -> Result<QwenEpisode, VlmError> {
        if episode.frames != 1 {
            return Err(VlmError::Inference("a control begins beside an episode's first frame".into()));
        }
        self.encode_behind(episode)?;
        let mut control = QwenEpisode::new(self.text.new_cache());
        control.still = episode.behind.as_ref().map(|pair| pair.features.clone());
        control.view = episode.view.clone();
        control.behind = episode.behind.clone();
        control.kept = vec![SeenFrame { resized: None, time_s: episode.last_time_s }];
        (control.frames, control.last_time_s) = (episode.frames, episode.last_time_s);
        Ok(control)
    }

    pub(super) fn repeat_first(&self, control: &mut QwenEpisode, time_s: f64) -> Result<(), VlmError> {
        check_time(time_s, control.last_time_s)?;
        if control.still.is_none() {
            return Err(VlmError::Inference("only a control repeats its first frame".into()));
        }
        self.take_in(control, SeenFrame { resized: None, time_s })
    }

    /// On an error the frame has not been added.
    fn take_in(&self, episode: &mut QwenEpisode, frame: SeenFrame) -> Result<(), VlmError> {
        let time_s = frame.time_s;
        let mut is_kept = episode.frames.is_multiple_of(episode.stride);
        if is_kept && episode.kept.len() >= self.max_samples {
            self.thin_out(episode)?;
            is_kept = episode.frames.is_multiple_of(episode.stride);
        }
        if is_kept {
            self.keep(episode, frame)?;
            episode.between = None;
        } else {
            episode.between = Some(frame);
        }
        episode.behind = None;
        episode.frames += 1;
        episode.last_time_s = time_s;
        Ok(())
    }

    /// Remembers a frame; a pair that it completes waits for the cache. On an error the episode is as it was.
    fn keep(&self, episode: &mut QwenEpisode, frame: SeenFrame) -> Result<(), VlmError> {
        if let Some(first) = episode.odd() {
            let pair = self.encoded(episode, [first, &frame])?;
            let grid = view(episode)?.grid;
            let mut chunk = self.chunk_of(&episode.cache, Some(grid), &episode.waiting)?;
            self.push_pair(&mut chunk, pair.time_s, &grid, &pair.features)?;
            self.check_length(episode.cache.len() + chunk.len())?;
            if chunk.len() < FULL_CHUNK {
                episode.waiting.push(pair);
            } else {
                self.timed(Stage::Language, || self.text.append(&chunk, &mut episode.cache))
                    .map_err(inference)?;
                episode.tokens.extend_from_slice(chunk.tokens());
                episode.waiting.clear();
            }
        }
        episode.kept.push(frame);
        Ok(())
    }

    /// Forgets every second frame and computes the cache anew from the others.
    fn thin_out(&self, episode: &mut QwenEpisode) -> Result<(), VlmError> {
        let mut thinned = QwenEpisode::new(self.text.new_cache());
        (thinned.view, thinned.still) = (episode.view.clone(), episode.still.clone());
        for frame in episode.kept.iter().step_by(2) {
            self.keep(&mut thinned, frame.clone())?;
        }
        (episode.cache, episode.tokens) = (thinned.cache, thinned.tokens);
        (episode.kept, episode.waiting) = (thinned.kept, thinned.waiting);
        episode.behind = None;
        episode.stride *= 2;
        Ok(())
    }

    /// Encodes what a question sees behind the cache, unless that has been done.
    pub(super) fn encode_behind(&self, episode: &mut QwenEpisode) -> Result<(), VlmError> {
        if episode.behind.is_none()
            && let Some(pair) = episode.pair_behind()
        {
            episode.behind = Some(self.encoded(episode, pair)?);
        }
        Ok(())
    }

    fn encoded(
        &self,
        episode: &QwenEpisode,
        [first, second]: [&SeenFrame; FRAMES_PER_PAIR],
    ) -> Result<EncodedPair, VlmError> {
        let features = match (&episode.still, &first.resized, &second.resized) {
            (Some(still), ..) => still.clone(),
            (None, Some(first), Some(second)) => self.encode(episode, [first, second])?,
            _ => return Err(VlmError::Inference("a frame has been forgotten".into())),
        };
        Ok(EncodedPair { time_s: mean(first.time_s, second.time_s), features })
    }

    pub(super) fn encode(
        &self,
        episode: &QwenEpisode,
        pair: [&RgbImage; FRAMES_PER_PAIR],
    ) -> Result<VisionFeatures, VlmError> {
        let view = view(episode)?;
        let pixels = self.processor.pixels(pair, &view.grid)?;
        let patches = self.timed(Stage::Process, || self.vision.patches(&pixels)).map_err(inference)?;
        self.timed(Stage::Vision, || self.vision.encode(&patches, &view.tables)).map_err(inference)
    }

    /// The frame at the episode's size; the first frame fixes that size.
    pub(super) fn resize(&self, episode: &mut QwenEpisode, rgb: &RgbImage) -> Result<RgbImage, VlmError> {
        let frame_size = rgb.dimensions();
        if episode.view.is_none() {
            let grid = self.processor.grid(frame_size.0, frame_size.1)?;
            let tables = self.vision.grid_tables(&grid).map_err(inference)?;
            episode.view = Some(View { frame_size, grid, tables });
        }
        let view = view(episode)?;
        if view.frame_size != frame_size {
            let (width, height) = view.frame_size;
            let source = SizeError::Changed { width, height };
            return Err(VlmError::FrameSize { width: frame_size.0, height: frame_size.1, source });
        }
        self.timed(Stage::Process, || self.processor.resize(rgb, &view.grid))
    }

    /// What goes behind the cached tokens to answer a question: the pairs that wait for the cache, the pair behind them, if
    /// there is one, and the question.
    pub(super) fn tail<'a>(&self, episode: &'a QwenEpisode, question: &[u32]) -> Result<Tail<'a>, VlmError> {
        let QwenEpisode { cache, waiting, behind, .. } = episode;
        self.tail_of(cache, episode.grid(), waiting, behind.as_ref(), question)
    }

    /// What `look` sees behind a question, and the cache with the question in it for as long as the guard lives. Pairs that
    /// waited stay in the cache. On an error the episode is as it was.
    pub(super) fn ask<'a, T>(
        &self,
        episode: &'a mut QwenEpisode,
        question: &[u32],
        look: impl FnOnce(&TokenChunk, &mut KvCache) -> candle_core::Result<T>,
    ) -> Result<(T, Fork<'a>), VlmError> {
        self.encode_behind(episode)?;
        let grid = episode.grid();
        let QwenEpisode { cache, tokens, waiting, behind, .. } = episode;
        let tail = self.tail_of(cache, grid, waiting, behind.as_ref(), question)?;
        let mut fork = cache.fork();
        let seen = self.timed(Stage::Language, || look(&tail.chunk, fork.cache())).map_err(inference)?;
        fork.keep(tail.stays, tail.next_position);
        tokens.extend_from_slice(&tail.chunk.tokens()[..tail.stays]);
        waiting.clear();
        Ok((seen, fork))
    }

    fn tail_of<'a>(
        &self,
        cache: &KvCache,
        grid: Option<PatchGrid>,
        waiting: &'a [EncodedPair],
        behind: Option<&'a EncodedPair>,
        question: &[u32],
    ) -> Result<Tail<'a>, VlmError> {
        let mut chunk = self.chunk_of(cache, grid, waiting)?;
        // The opening stands in the chunk of an empty cache, and stays only with a pair behind it.
        let (stays, next_position) = match waiting {
            [] => (0, cache.next_position()),
            _ => (chunk.len(), chunk.next_position()),
        };
        if let (Some(pair), Some(grid)) = (behind, grid) {
            self.push_pair(&mut chunk, pair.time_s, &grid, &pair.features)?;
        }
        chunk.push_text(question);
        self.check_length(cache.len() + chunk.len())?;
        Ok(Tail { chunk, stays, next_position })
    }

    /// Pairs behind the cached tokens, the prompt's opening before the first.
    fn chunk_of<'a>(
        &self,
        cache: &KvCache,
        grid: Option<PatchGrid>,
        pairs: &'a [EncodedPair],
    ) -> Result<TokenChunk<'a>, VlmError> {
        let mut chunk = TokenChunk::starting_at(cache.next_position());
        if cache.is_empty() {
            chunk.push_text(&self.prompt.opening()?);
        }
        if let Some(grid) = grid {
            for pair in pairs {
                self.push_pair(&mut chunk, pair.time_s, &grid, &pair.features)?;
            }
        }
        Ok(chunk)
    }

    pub(super) fn push_pair<'a>(
        &self,
        chunk: &mut TokenChunk<'a>,
        seconds: f64,
        grid: &PatchGrid,
        features: &'a VisionFeatures,
    ) -> Result<(), VlmError> {
        chunk.push_text(&self.prompt.before_visual(seconds)?);
        chunk.push_visual(self.prompt.video_pad(), grid, features);
        chunk.push_text(&self.prompt.behind_visual());
        Ok(())
    }

    pub(super) fn check_length(&self, tokens: usize) -> Result<(), VlmError> {
        if tokens > self.max_tokens {
            return Err(VlmError::EpisodeTooLong { tokens, limit: self.max_tokens });
        }
        Ok(())
    }
}

fn view(episode: &QwenEpisode) -> Result<&View, VlmError> {
    episode.view.as_ref().ok_or(VlmError::NoFrames)
}
