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
    pub(super) pending: Option<PendingFrame>,
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

/// An odd last frame: it enters the cache only together with its partner.
#[derive(Clone)]
pub(super) struct PendingFrame {
    /// `None` in a control, whose pairs are all encoded.
    pub resized: Option<Arc<RgbImage>>,
    pub time_s: f64,
    /// The frame paired with itself, kept so that scoring twice does not encode it twice.
    pub doubled: Option<VisionFeatures>,
}

impl QwenEpisode {
    pub(super) fn new(cache: KvCache) -> Self {
        Self {
            cache,
            tokens: Vec::new(),
            view: None,
            pending: None,
            still: None,
            frames: 0,
            last_time_s: 0.0,
        }
    }

    /// Number of frames appended.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Number of tokens in the cache; an odd last frame is not among them yet.
    pub fn cached_tokens(&self) -> usize {
        self.cache.len()
    }

    /// The patch grid of the episode's frames; `None` before the first.
    pub fn grid(&self) -> Option<PatchGrid> {
        self.view.as_ref().map(|view| view.grid)
    }
}
