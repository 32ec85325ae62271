//! One model's place in the cache that all Hugging Face programs share: blobs by hash, snapshots that link to them.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::listing::RemoteFile;
use super::progress::{Activity, Watch};
use super::{HubError, HubId};
use crate::model::qwen3_vl::{ModelFolder, weight_files};

const LOOK: Duration = Duration::from_millis(200);

pub struct ModelCache {
    repo: CacheRepo,
    id: HubId,
    reference: PathBuf,
}

/// Held while a file is brought; no other process brings the same file meanwhile.
pub struct Lock(#[expect(dead_code, reason = "the lock goes with the open file")] File);

impl ModelCache {
    pub fn new(root: &Path, id: &HubId) -> Self {
        let repo = Repo::with_revision(id.repository().to_owned(), RepoType::Model, id.revision().to_owned());
        let reference = root.join(repo.folder_name()).join("refs").join(id.revision());
        Self { repo: Cache::new(root.to_owned()).repo(repo), id: id.clone(), reference }
    }

    /// The snapshot folder of a commit.
    pub fn folder(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The folder that the id meant when it was last fetched.
    ///
    /// # Errors
    /// What the engine would miss in it.
    pub fn snapshot(&self) -> Result<PathBuf, String> {
        let everything = || "everything".to_owned();
        let commit = if self.id.names_commit() {
            self.id.revision().to_owned()
        } else {
            fs::read_to_string(&self.reference).map_err(|_| everything())?.trim().to_owned()
        };
        if commit.is_empty() || commit.contains(['/', '.']) {
            return Err(everything());
        }
        let path = self.folder(&commit);
        let folder = ModelFolder::open(&path).map_err(|_| everything())?;
        let mut needed = vec!["config.json".to_owned(), "tokenizer.json".to_owned()];
        needed.extend(weight_files(&folder).unwrap_or_else(|_| vec!["the weights".to_owned()]));
        needed.retain(|name| !folder.has(name));
        if needed.is_empty() { Ok(path) } else { Err(needed.join(", ")) }
    }

    /// Whether the snapshot has this file whole.
    pub fn holds(&self, commit: &str, file: &RemoteFile) -> bool {
        has_size(&self.folder(commit).join(&file.name), file.size)
    }

    /// Whether a blob with this content is there, perhaps of another snapshot.
    pub fn holds_blob(&self, file: &RemoteFile) -> bool {
        has_size(&self.blob(file), file.size)
    }

    pub fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.repo.blob_path(file.digest.hex())
    }

    /// Waits until no other process brings this file; programs with the crate hf-hub use the same lock.
    pub fn lock(&self, file: &RemoteFile, watch: &mut Watch) -> Result<Lock, HubError> {
        let blob = self.blob(file);
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(HubError::write(folder))?;
        }
        let path = blob.with_extension("lock");
        let lock = File::create(&path).map_err(HubError::write(&path))?;
        loop {
            // SAFETY: flock only reads the descriptor, which `lock` keeps open.
            if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return Ok(Lock(lock));
            }
            match std::io::Error::last_os_error() {
                error if error.kind() == ErrorKind::WouldBlock => {
                    watch.at(Activity::WaitingForOther, 0)?;
                    watch.sleep(LOOK)?;
                }
                error if error.kind() == ErrorKind::Interrupted => {}
                // Some network file systems have no locks; the hash still guards the file.
                error => {
                    log::info!("{} cannot be locked: {error}", path.display());
                    return Ok(Lock(lock));
                }
            }
        }
    }

    /// Shows a blob under its name in the snapshot.
    pub fn link(&self, commit: &str, file: &RemoteFile) -> Result<(), HubError> {
        let folder = self.folder(commit);
        fs::create_dir_all(&folder).map_err(HubError::write(&folder))?;
        let pointer = folder.join(&file.name);
        match fs::remove_file(&pointer) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(HubError::write(&pointer)(error));
            }
            _ => {}
        }
        let target = Path::new("../../blobs").join(file.digest.hex());
        if std::os::unix::fs::symlink(target, &pointer).is_ok() {
            return Ok(());
        }
        // A file system without links, a memory stick's for one: the snapshot has the file itself.
        fs::rename(self.blob(file), &pointer).map_err(HubError::write(&pointer))
    }

    /// Writes down which commit the revision means. Without that, only an offline start would miss it.
    pub fn remember(&self, commit: &str) {
        let known = fs::read_to_string(&self.reference).is_ok_and(|known| known.trim() == commit);
        if known || self.id.names_commit() {
            return;
        }
        if let Err(error) = self.repo.create_ref(commit) {
            log::warn!("{} cannot be written: {error}", self.reference.display());
        }
    }
}

fn has_size(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}
