//! What can go wrong on the way from an id to a folder.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Why a model could not be fetched; the text is one line for the person who named the model.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("HF_ENDPOINT is \"{endpoint}\", but must begin with http:// or https://")]
    Endpoint { endpoint: String },
    #[error("no place for downloaded models: set HF_HOME or HOME")]
    NoCache,
    #[error(
        "the hub is not asked (HF_HUB_OFFLINE), and of {id} the cache {} lacks {missing}: fetch it once without HF_HUB_OFFLINE",
        .cache.display()
    )]
    Offline { id: String, cache: PathBuf, missing: Missing },
    #[error("{endpoint} cannot be reached: {reason}")]
    Connection { endpoint: String, reason: String },
    #[error("{endpoint} is in trouble: it answers with status {status}")]
    Busy { endpoint: String, status: u16 },
    #[error("{endpoint} does not answer as a Hugging Face hub does: {reason}")]
    Answer { endpoint: String, reason: String },
    #[error("{endpoint} refuses {what} with status {status}")]
    Refused { endpoint: String, what: String, status: u16 },
    #[error(
        "{endpoint} has no model {id}, or not for everyone (a private one needs HF_TOKEN); there is no folder of that name either"
    )]
    NoSuchModel { endpoint: String, id: String },
    #[error("{endpoint} has the model {id}, but no revision \"{revision}\" of it")]
    NoSuchRevision { endpoint: String, id: String, revision: String },
    #[error(
        "{endpoint} does not give {id} to everyone: accept its licence at {endpoint}/{id} and set HF_TOKEN to a token of that account"
    )]
    Gated { endpoint: String, id: String },
    #[error("{endpoint} does not accept the token in HF_TOKEN (or the one that was saved at login)")]
    BadToken { endpoint: String },
    #[error("{id} has no {file} on the hub: it is not a checkpoint that this engine can load")]
    NotOnHub { id: String, file: String },
    #[error("{id} cannot be used: {reason}")]
    Unusable { id: String, reason: String },
    #[error(
        "the download of {file} stopped at {bytes} of {size} bytes: {reason}; that part is kept, start again to resume it"
    )]
    Cut { file: String, bytes: u64, size: u64, reason: String },
    #[error(
        "{file} came with the wrong size: {expected} bytes were expected, {found} found; it was not kept, start again to fetch it anew"
    )]
    Size { file: String, expected: u64, found: u64 },
    #[error(
        "{file} came damaged: the hash {expected} was expected, {found} found; it was removed, start again to fetch it anew"
    )]
    Hash { file: String, expected: String, found: String },
    #[error("the disk is full: {} needs {needed} bytes more; free some space or set HF_HOME to another disk", .path.display())]
    DiskFull { path: PathBuf, needed: u64 },
    #[error("{} cannot be written: {source}; set HF_HOME to a folder that can", .path.display())]
    Write { path: PathBuf, source: Error },
    #[error("the download was stopped; what has been downloaded is kept for the next start")]
    Cancelled,
}

/// What a snapshot in the cache lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("everything")]
    Everything,
    #[error("{}", .0.join(", "))]
    Files(Vec<String>),
}

impl HubError {
    pub(super) fn write(path: &Path) -> impl FnOnce(Error) -> Self {
        Self::writing(path, 0)
    }

    /// A failure to write a file that needs `needed` bytes more.
    pub(super) fn writing(path: &Path, needed: u64) -> impl FnOnce(Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path, needed },
            _ => Self::Write { path, source },
        }
    }

    /// Whether the same may go well a little later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Busy { .. })
    }
}
