//! Labels that policies are trained on: from the scored prefixes of episodes to progress, and weights, of every recorded
//! frame, in files that LeRobot reads.

mod frames;
mod progress_file;
mod progress_writer;
mod weights;

use crate::offline::columns::ColumnsError as Columns;

pub use crate::offline::columns::ColumnsError;
pub use frames::{Anchor, Normalisation, anchors, frame_progress};
pub use progress_file::{PROGRESS_NAME, ProgressFile};
pub use progress_writer::{EpisodeLabels, ProgressWriter};
pub use weights::{Baseline, Increments, WEIGHTS_NAME, WeightSettings, Weights};

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error(transparent)]
    Columns(#[from] Columns),
    #[error("the reward of every prefix is NaN")]
    NoReward,
    #[error("a score is of frame {frame}, but the episode has {frames} frames")]
    Beyond { frame: usize, frames: usize },
    #[error("the scores are not in the order of their frames: {after} follows {before}")]
    Unordered { before: usize, after: usize },
    #[error("episode {episode} has {labels} labels for {frames} frames")]
    Length { episode: u64, labels: usize, frames: usize },
    #[error("episode {0} is there twice")]
    Twice(u64),
    #[error(
        "two frames have the number {index} in the whole dataset (column \"index\"), of the episodes {} and {}: labels are \
         looked up by it; number the frames anew",
        .episodes[0], .episodes[1]
    )]
    SameNumber { index: i64, episodes: [u64; 2] },
    #[error("{file}: episode {episode} has no frame {frame}, or has it twice: label the whole episode")]
    Frames { file: String, episode: i64, frame: usize },
    #[error("{file}: frame {frame} of episode {episode} has a progress of NaN: label it again")]
    NoNumber { file: String, episode: i64, frame: usize },
    #[error("{0} has no rows: there is nothing to weigh")]
    NoRows(String),
    #[error("{name} must be {wanted}, not {value}")]
    Setting { name: &'static str, wanted: &'static str, value: f64 },
}
