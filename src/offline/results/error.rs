use std::path::Path;

use super::run::SettingDifference;
use super::{InputDifference, SCHEMA};

/// Why a folder of results cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: std::io::Error },
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file} is not what this program writes there: {source}")]
    Format { file: String, source: serde_json::Error },
    #[error("{file} has schema {found}; this program reads schema {SCHEMA}")]
    Schema { file: String, found: u64 },
    #[error("{0} is there already: give another folder, or --resume to go on with a run in it")]
    Exists(String),
    #[error("{0} is not a folder of results (it has no run.json): give another folder")]
    NoResults(String),
    #[error("another process is writing into {0}: wait for it, or give another folder")]
    Busy(String),
    #[error("{folder} was scored with other settings: {}", join(.differences))]
    Settings { folder: String, differences: Vec<SettingDifference> },
    #[error("{folder} was scored from another input: {source}")]
    Input { folder: String, source: InputDifference },
    #[error("nothing to merge: give the folders of at least one run")]
    NothingToMerge,
    #[error(
        "{count} episodes are in more than one folder: {}; give each folder once, from runs with different --shard",
        first(.named, *.count)
    )]
    Overlap { count: usize, named: Vec<String> },
    #[error(
        "{count} episodes are in no folder: {}; finish their runs with --resume, or merge with --partial",
        first(.named, *.count)
    )]
    Missing { count: usize, named: Vec<String> },
}

impl ResultsError {
    /// What became of writing this file or folder.
    pub(super) fn write(file: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Write { file: file.display().to_string(), source }
    }
}

/// How many episodes an error names.
pub const NAMED: usize = 10;

/// The first names, and that there are more.
fn first(named: &[String], count: usize) -> String {
    let shown = named.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if count > NAMED { format!("{shown} and {} more", count - NAMED) } else { shown }
}

fn join(differences: &[SettingDifference]) -> String {
    differences.iter().map(SettingDifference::to_string).collect::<Vec<_>>().join("; ")
}
