use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::run::{EpisodeError, Errors, RunFile};
use super::{EpisodeResult, ListedEpisode, ResultsError, SCHEMA, file_name};
use crate::files::{self, Lock};

const RUN: &str = "run.json";
const ERRORS: &str = "errors.json";
const EPISODES: &str = "episodes";

/// A folder of results. It belongs to one process at a time.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    run: RunFile,
    /// The lock ends with it, also when the process is killed.
    _lock: Option<File>,
}

impl Store {
    /// Begins a new folder; an empty one will do.
    ///
    /// # Errors
    /// The folder holds something, or cannot be written.
    pub fn create(folder: &Path, run: RunFile) -> Result<Self, ResultsError> {
        let lock = make(folder)?;
        if !entries(folder)?.is_empty() {
            return Err(ResultsError::Exists(folder.display().to_string()));
        }
        Self::begin(folder, run, lock)
    }

    /// Goes on with a folder of the same settings and input, or begins a new one. Beside the episodes that the folder
    /// knows there may be new ones, unless it is a shard's, whose episodes go by their places in the input.
    ///
    /// # Errors
    /// The folder holds something else, was made with other settings or from another input, or another process is
    /// writing into it.
    pub fn resume(folder: &Path, run: RunFile) -> Result<Self, ResultsError> {
        let lock = make(folder)?;
        if !folder.join(RUN).exists() {
            return match entries(folder)?.iter().all(|name| name == EPISODES || files::is_unfinished(name)) {
                true => Self::begin(folder, run, lock),
                false => Err(ResultsError::NoResults(folder.display().to_string())),
            };
        }
        let written = read::<RunFile>(&folder.join(RUN))?.listing_its_own();
        check(folder, &written, &run)?;
        let sharded = run.shard.is_some();
        (written.input.check(&run.input, !sharded))
            .map_err(|source| ResultsError::Input { folder: folder.display().to_string(), source })?;
        Self::begin(folder, run, lock)
    }

    /// Opens a folder to read it.
    ///
    /// # Errors
    /// No folder of results, of another schema, or one that is being written.
    pub fn open(folder: &Path) -> Result<Self, ResultsError> {
        let lock = lock(folder)?;
        if !folder.join(RUN).exists() {
            return Err(ResultsError::NoResults(folder.display().to_string()));
        }
        let run = read::<RunFile>(&folder.join(RUN))?.listing_its_own();
        Ok(Self { folder: folder.to_owned(), run, _lock: lock })
    }

    fn begin(folder: &Path, run: RunFile, lock: Option<File>) -> Result<Self, ResultsError> {
        let store = Self { folder: folder.to_owned(), run, _lock: lock };
        let episodes = store.episodes();
        fs::create_dir_all(&episodes).map_err(ResultsError::write(&episodes))?;
        for folder in [folder, &episodes] {
            files::sweep(folder).map_err(ResultsError::write(folder))?;
        }
        store.put(folder, RUN, &store.run, true)?;
        Ok(store)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn run(&self) -> &RunFile {
        &self.run
    }

    fn episodes(&self) -> PathBuf {
        self.folder.join(EPISODES)
    }

    /// The result of the episode at a position, if it has been written; a file that is damaged or of another episode
    /// counts as none.
    pub fn result(&self, position: usize) -> Option<EpisodeResult> {
        let ListedEpisode { name, index, .. } = self.run.input.at(position)?;
        let file = self.episodes().join(file_name(name));
        if !file.exists() {
            return None;
        }
        match read::<EpisodeResult>(&file) {
            Ok(result) if result.name == *name && result.index == *index => Some(result),
            Ok(_) => None,
            Err(error) => {
                log::warn!("{error}");
                None
            }
        }
    }

    /// All results, one after the other, in order of their indices.
    pub fn results(&self) -> impl Iterator<Item = EpisodeResult> {
        let input = &self.run.input;
        let mut order: Vec<(u64, usize)> =
            input.episodes.iter().map(|episode| episode.index).zip(input.positions()).collect();
        order.sort_unstable();
        order.into_iter().filter_map(|(_, position)| self.result(position))
    }

    /// Takes over the result of an episode that another folder has: as a second link to the same file, which costs
    /// neither time nor space, or as a copy where the file system has no links or the folders are on two of them. Links
    /// are on the disk after [`Store::sync`].
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn take(&self, from: &Self, position: usize) -> Result<(), ResultsError> {
        let Some(listed) = from.run.input.at(position) else { return Ok(()) };
        let name = file_name(&listed.name);
        let (there, here) = (from.episodes().join(&name), self.episodes().join(&name));
        let plain = there.symlink_metadata().is_ok_and(|found| found.is_file());
        if plain && fs::hard_link(&there, &here).is_ok() {
            return Ok(());
        }
        let bytes = fs::read(&there)
            .map_err(|source| ResultsError::Read { file: there.display().to_string(), source })?;
        files::write(&here, &bytes).map_err(ResultsError::write(&here))
    }

    /// # Errors
    /// What the file system refuses.
    pub(super) fn sync(&self) -> Result<(), ResultsError> {
        let episodes = self.episodes();
        files::sync_folder(&episodes).map_err(ResultsError::write(&episodes))
    }

    /// Writes the result of an episode.
    ///
    /// # Errors
    /// The file cannot be written; a result that was there is as it was.
    pub fn put_result(&self, result: &EpisodeResult) -> Result<(), ResultsError> {
        self.put(&self.episodes(), &file_name(&result.name), result, false)
    }

    /// # Errors
    /// A file that cannot be read. A folder whose run was ended before its first error has none.
    pub fn errors(&self) -> Result<Vec<EpisodeError>, ResultsError> {
        let file = self.folder.join(ERRORS);
        if file.exists() { Ok(read::<Errors>(&file)?.errors) } else { Ok(Vec::new()) }
    }

    /// Replaces the errors, in order of the episodes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put_errors(&self, errors: &[EpisodeError]) -> Result<(), ResultsError> {
        let mut errors = errors.to_vec();
        errors.sort();
        self.put(&self.folder, ERRORS, &Errors { schema: SCHEMA, errors }, true)
    }

    fn put(
        &self,
        folder: &Path,
        name: &str,
        value: &impl Serialize,
        for_people: bool,
    ) -> Result<(), ResultsError> {
        let text = if for_people { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
        let file = folder.join(name);
        let mut bytes =
            text.map_err(|source| ResultsError::Format { file: file.display().to_string(), source })?;
        bytes.push(b'\n');
        files::write(&file, &bytes).map_err(ResultsError::write(&file))
    }
}

/// # Errors
/// Settings or a shard that differ.
pub fn check(folder: &Path, written: &RunFile, wanted: &RunFile) -> Result<(), ResultsError> {
    let folder = folder.display().to_string();
    let mut differences = (written.settings.differences(&wanted.settings))
        .map_err(|source| ResultsError::Format { file: folder.clone(), source })?;
    if written.shard != wanted.shard {
        let shown = |run: &RunFile| run.shard.map_or_else(|| "none".to_owned(), |shard| shard.to_string());
        differences.push(super::SettingDifference {
            name: "shard".to_owned(),
            written: shown(written),
            wanted: shown(wanted),
        });
    }
    if differences.is_empty() { Ok(()) } else { Err(ResultsError::Settings { folder, differences }) }
}

fn make(folder: &Path) -> Result<Option<File>, ResultsError> {
    fs::create_dir_all(folder).map_err(ResultsError::write(folder))?;
    lock(folder)
}

fn entries(folder: &Path) -> Result<Vec<String>, ResultsError> {
    let failed = |source| ResultsError::Read { file: folder.display().to_string(), source };
    let names = fs::read_dir(folder).map_err(failed)?;
    names.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Locks a folder against other processes, where its file system has locks.
fn lock(folder: &Path) -> Result<Option<File>, ResultsError> {
    let shown = || folder.display().to_string();
    let opened = File::open(folder).map_err(|source| ResultsError::Read { file: shown(), source })?;
    match files::lock(&opened) {
        Lock::Held => Ok(Some(opened)),
        Lock::Busy => Err(ResultsError::Busy(shown())),
        Lock::Unsupported(error) => {
            log::info!("{} cannot be locked: {error}", shown());
            Ok(None)
        }
    }
}

/// What is read first of a file, whatever else is in it.
#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    schema: Option<u64>,
}

/// Reads a file of this schema.
fn read<T: DeserializeOwned>(file: &Path) -> Result<T, ResultsError> {
    let shown = || file.display().to_string();
    let bytes = fs::read(file).map_err(|source| ResultsError::Read { file: shown(), source })?;
    let format = |source| ResultsError::Format { file: shown(), source };
    let Schema { schema } = serde_json::from_slice(&bytes).map_err(format)?;
    match schema {
        Some(found) if found != u64::from(SCHEMA) => Err(ResultsError::Schema { file: shown(), found }),
        _ => serde_json::from_slice(&bytes).map_err(format),
    }
}

#[cfg(test)]
mod tests;
