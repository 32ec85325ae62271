//! What scoring has found, as files: a folder with one result for each episode, the settings that they were found with
//! and what could not be scored. Every file is whole or absent, whenever the program ends, and holds nothing that differs
//! between two runs: no clock, no latency.

mod episode;
mod error;
mod input;
mod merge;
mod names;
mod run;
mod shard;
mod store;
mod summary;

pub use episode::{EpisodeResult, PrefixResult, ScoredEpisode};
pub use error::ResultsError;
pub use input::{Input, InputDifference, ListedEpisode, Whole};
pub use merge::{Merged, merge};
pub use names::file_name;
pub use run::{EpisodeError, Errors, RunFile, RunSettings, SettingDifference};
pub use shard::{NoShard, Shard};
pub use store::Store;
pub use summary::{EpisodeSummary, RunSummary};

/// The layout of all these files; docs/outputs.md has every field.
pub const SCHEMA: u32 = 1;
