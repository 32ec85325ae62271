//! Models by their Hugging Face id: brought once into the usual cache, then loaded like any other folder.
//!
//! The crate hf-hub knows the cache's layout and how the hub is asked for a model's files. The bytes are brought here:
//! that crate's download neither checks what came, nor can be stopped, nor notices a connection that has gone silent.
//!
//! What is in the cache is not brought again. A file is put in its place only when its size and hash are those that the
//! hub names; until then it is a part file, which the next start goes on with.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::model::qwen3_vl::ModelFolder;
use crate::model::qwen3_vl::config::Qwen3VlConfig;
use crate::model::qwen3_vl::{LoadError, weight_files};

mod cache;
mod digest;
mod download;
mod error;
mod failure;
mod listing;
mod progress;
mod remote;
mod request;
mod settings;
mod source;
mod transfer;

pub use error::{HubError, Missing};
pub use progress::{Activity, Progress};
pub use settings::{HubSettings, Retry, Token};
pub use source::{HubId, ModelSource, ResolveError, SourceError, resolve};

use cache::ModelCache;
use listing::{Listing, RemoteFile};
use progress::Watch;
use remote::{Patience, Remote};

/// Brings a model's files into the cache, as far as they are not there, and gives its snapshot folder.
///
/// `report` is called on this thread, about ten times a second while something goes on or is waited for; when it
/// breaks, this stops within a second and keeps what has come for the next start. When the hub does not give the list
/// of files and the cache holds the whole model, that is used, with a warning.
///
/// # Errors
/// [`HubError`], one line that says what is wrong and what to do.
pub fn fetch(
    id: &HubId,
    settings: &HubSettings,
    report: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<PathBuf, HubError> {
    let cache = ModelCache::new(&settings.cache, id);
    let cached = cache.snapshot();
    if settings.offline {
        return cached.map_err(|missing| HubError::Offline {
            id: id.to_string(),
            cache: settings.cache.clone(),
            missing,
        });
    }
    if let (Ok(folder), true) = (&cached, id.names_commit()) {
        return Ok(folder.clone());
    }
    let mut watch = Watch::new(report);
    let remote = Remote::new(id, settings);
    let patience = if cached.is_ok() { Patience::Short } else { Patience::Full };
    match (listing::ask(&remote, patience, &mut watch), cached) {
        (Ok(listing), _) => bring(&remote, &cache, &listing, &mut watch),
        (Err(HubError::Cancelled), _) => Err(HubError::Cancelled),
        (Err(error), Ok(folder)) => {
            log::warn!("{error}; going on with {}", folder.display());
            Ok(folder)
        }
        (Err(error), Err(_)) => Err(error),
    }
}

/// Small files first: they say whether the engine can use this model at all, before gigabytes are brought.
fn bring(
    remote: &Remote,
    cache: &ModelCache,
    listing: &Listing,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    let folder = cache.folder(&listing.commit);
    let small: Vec<&RemoteFile> = listing.small_files(remote.id())?;
    let weights = listing.weight_candidates(remote.id())?;
    watch.expect(small.iter().chain(&weights).map(|file| file.size).sum());
    if small.iter().chain(&weights).all(|file| cache.holds(&listing.commit, file)) {
        cache.remember(&listing.commit);
        return Ok(folder);
    }
    for file in &small {
        bring_file(remote, cache, &listing.commit, file, watch)?;
    }
    let unusable =
        |error: LoadError| HubError::Unusable { id: remote.id().to_string(), reason: error.to_string() };
    let opened = ModelFolder::open(&folder).map_err(unusable)?;
    Qwen3VlConfig::load(&opened).map_err(unusable)?;
    let weights = match listing.single_weight_file() {
        Some(file) => vec![file],
        None => listing.named(remote.id(), &weight_files(&opened).map_err(unusable)?)?,
    };
    watch.expect(small.iter().chain(&weights).map(|file| file.size).sum());
    for file in &weights {
        bring_file(remote, cache, &listing.commit, file, watch)?;
    }
    cache.remember(&listing.commit);
    log::info!("{} is commit {} in {}", remote.id(), listing.commit, folder.display());
    Ok(folder)
}

fn bring_file(
    remote: &Remote,
    cache: &ModelCache,
    commit: &str,
    file: &RemoteFile,
    watch: &mut Watch,
) -> Result<(), HubError> {
    watch.begin_file(&file.name, file.size);
    if !cache.holds(commit, file) {
        let _lock = cache.lock(file, watch)?;
        if !cache.holds_blob(file) {
            download::bring(remote, commit, file, &cache.blob(file), watch)?;
        }
        cache.link(commit, file)?;
    }
    watch.end_file();
    Ok(())
}
