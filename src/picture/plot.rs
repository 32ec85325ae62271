//! Pictures of offline results: the curve of an episode with its frames, a distribution, and the recording with the
//! live overlay drawn on it.
//!
//! A [`Drawing`] is an SVG; its PNG is that very SVG, drawn with the embedded fonts. The colours are those of Okabe and
//! Ito, and what they mean is shown by dashes and words as well.

pub(crate) mod axes;
mod drawing;
mod episode;
mod film;
mod histogram;
mod range;
mod sheet;
pub(crate) mod svg;
mod thumbnail;

pub use drawing::{Drawing, DrawingError, Format};
pub use episode::episode;
pub use film::{Encoder, Film, FilmError, check_name, film};
pub use histogram::{Distribution, histogram};
pub use thumbnail::Thumbnail;

use crate::reward::ScoredPrefix;

/// A scored episode. Nothing in it is refused: values that are not finite are left out, texts that are too long end in an
/// ellipsis.
#[derive(Debug, Clone, Copy)]
pub struct ScoredEpisode<'a> {
    pub instruction: &'a str,
    /// What scored it.
    pub model: &'a str,
    /// Of the rewards, where it is defined.
    pub voc: Option<f64>,
    /// Oldest first.
    pub prefixes: &'a [ScoredPrefix],
    /// The mean reward that counts as success, nats.
    pub threshold_nats: f64,
    /// When success would be called, seconds since the first frame.
    pub called_s: Option<f64>,
    /// When the task was done, where someone knows it, seconds since the first frame.
    pub completed_s: Option<f64>,
}
