//! What one episode has shown so far.

use std::sync::Arc;

use ::image::RgbImage;

use super::cache::KvCache;
use super::vision::{GridTables, PatchGrid, VisionFeatures};

/// The frames of one episode as the model remembers them. Belongs to the caller; the model stays immutable.
pub struct QwenEpisode {
    pub(super) cache: KvCache,
    /// The ids of the tokens in the cache.
    pub(super) tokens: Vec<u32>,
    pub(super) view: Option<View>,
    /// Every `stride`-th frame. Complete pairs are in the cache or wait for it, an odd last one does neither.
    pub(super) kept: Vec<SeenFrame>,
    /// Complete pairs that go into the cache with the next question, or once they are enough for a chunk.
    pub(super) waiting: Vec<EncodedPair>,
    pub(super) stride: usize,
    /// The newest frame, where it is none of those that are kept.
    pub(super) between: Option<SeenFrame>,
    /// What stands behind the cache when a question is asked, encoded; `None` until it is needed.
    pub(super) behind: Option<EncodedPair>,
    /// A control's first frame paired with itself, which is every pair that it sees.
    pub(super) still: Option<VisionFeatures>,
    pub(super) frames: usize,
    pub(super) last_time_s: f64,
}

/// The episode's one frame size, and what follows from it.
#[derive(Clone)]
pub(super) struct View {
    /// (width, height) of the frames as they come, in pixels.
    pub frame_size: (u32, u32),
    pub grid: PatchGrid,
    pub tables: GridTables,
}

#[derive(Clone)]
pub(super) struct SeenFrame {
    /// `None` in a control, whose pairs are all encoded.
    pub resized: Option<Arc<RgbImage>>,
    pub time_s: f64,
}

/// A pair of frames as the language model takes it.
#[derive(Clone)]
pub(super) struct EncodedPair {
    /// The mean of its frames' times, seconds.
    pub time_s: f64,
    pub features: VisionFeatures,
}

impl QwenEpisode {
    pub(super) fn new(cache: KvCache) -> Self {
        Self {
            cache,
            tokens: Vec::new(),
            view: None,
            kept: Vec::new(),
            waiting: Vec::new(),
            stride: 1,
            between: None,
            behind: None,
            still: None,
            frames: 0,
            last_time_s: 0.0,
        }
    }

    /// Number of frames appended.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Every so many frames are remembered, the newest one besides: more than 1 once there were more than
    /// [`super::LoadOptions::max_samples`].
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Number of tokens in the cache; those of an odd last frame and of pairs behind the last question need not be among
    /// them yet.
    pub fn cached_tokens(&self) -> usize {
        self.cache.len()
    }

    /// Bytes that one of them takes.
    pub fn bytes_per_token(&self) -> usize {
        self.cache.bytes_per_token()
    }

    /// The patch grid of the episode's frames; `None` before the first.
    pub fn grid(&self) -> Option<PatchGrid> {
        self.view.as_ref().map(|view| view.grid)
    }

    /// The kept frame that waits for its partner.
    pub(super) fn odd(&self) -> Option<&SeenFrame> {
        if self.kept.len().is_multiple_of(2) { None } else { self.kept.last() }
    }

    /// The frames that a question sees behind the cache, as a pair: an odd one and a newer one, or one of them doubled.
    pub(super) fn pair_behind(&self) -> Option<[&SeenFrame; 2]> {
        let (first, last) = (self.odd().or(self.between.as_ref())?, self.between.as_ref().or(self.odd())?);
        Some([first, last])
    }
}
