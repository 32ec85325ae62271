//! What a model is worth on labelled episodes: the measures of TOPReward (arXiv 2602.19313, evaluation) and those that
//! a robot needs, which resets itself on them. A data set is a manifest of episodes; each is scored as it happened,
//! as if nothing had, and under another instruction.

mod ablation;
mod manifest;
mod measures;
mod modes;
mod summary;

pub use ablation::{AblationRow, Judged, ablation};
pub use manifest::{LabelledEpisode, LineError, LineFault, MANIFEST_NAME, Manifest, ManifestError};
pub use measures::{CurveMeasures, Curves, EpisodeMeasures, judged_curve};
pub use modes::{ModeRow, Tracked, progress_modes};
pub use summary::{CurveSummary, Labelled, MeanOf, StaticSummary, Summary, overall_and_groups};
