//! One file's way into the cache: part file, size, hash, place.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::HubError;
use super::digest::Hasher;
use super::failure::Failure;
use super::listing::RemoteFile;
use super::progress::{Activity, Watch};
use super::remote::{Patience, Remote, Requested};
use super::transfer::{self, Piece};

const READ_BYTES: usize = 1 << 20;
/// How much may wait for the disk: little enough that the last flush is short.
const UNSYNCED_BYTES: u64 = 64 << 20;

/// Brings a file to `blob`, from where an earlier start stopped.
///
/// # Errors
/// A download that stays cut (the part file is kept), a wrong size or hash (it is removed), a disk that takes no more.
pub fn bring(
    remote: &Remote,
    commit: &str,
    file: &RemoteFile,
    blob: &Path,
    watch: &mut Watch,
) -> Result<(), HubError> {
    let mut part = PartFile::open(blob.with_extension("part"), file, watch)?;
    let mut tries = remote.tries(Patience::Full);
    while part.bytes < file.size {
        let before = part.bytes;
        let Err(error) = stream(remote, commit, &mut part, watch) else { continue };
        if is_unsatisfiable(&error) && part.bytes > 0 {
            part.restart()?;
            continue;
        }
        if part.bytes > before {
            tries.renew();
        }
        tries.again_after(error, watch).map_err(|error| part.cut(error))?;
    }
    part.finish(blob)
}

/// Whether the server does not have the range of bytes that was asked for.
fn is_unsatisfiable(error: &HubError) -> bool {
    matches!(error, HubError::Refused { status: 416, .. })
}

/// One connection's worth of bytes.
fn stream(remote: &Remote, commit: &str, part: &mut PartFile, watch: &mut Watch) -> Result<(), HubError> {
    watch.now(Activity::Downloading, part.bytes)?;
    let name = part.file.name.clone();
    let failed = |failure| remote.error(failure, Requested::File(&name));
    let (agent, from) = (remote.agent(), part.bytes);
    let (url, authorization) = (remote.file_url(commit, &name), remote.authorization());
    let receiver = transfer::in_background(move |sender| {
        transfer::send_file(&agent, url, authorization, from, sender);
    })
    .map_err(failed)?;
    loop {
        match transfer::next(&receiver, remote.silence(Patience::Full), watch)? {
            Ok(Some(Piece::Start { from, total })) => {
                part.check_total(total)?;
                match from {
                    _ if from == part.bytes => {}
                    // The server knows no ranges.
                    0 => part.restart()?,
                    _ => return Err(failed(Failure::Answer(format!("its bytes begin at {from}")))),
                }
            }
            Ok(Some(Piece::Bytes(bytes))) => part.append(&bytes)?,
            Ok(None) if part.bytes == part.file.size => return Ok(()),
            Ok(None) => {
                return Err(failed(Failure::Connection("the connection was closed early".to_owned())));
            }
            Err(failure) => return Err(failed(failure)),
        }
        watch.at(Activity::Downloading, part.bytes)?;
    }
}

/// What has come of a file, with its hash so far. Not a file of [`crate::files`], which ends with its program: this one is
/// kept for the next start, which reads it again and goes on from its end.
struct PartFile<'a> {
    file: &'a RemoteFile,
    path: PathBuf,
    open: File,
    hasher: Hasher,
    bytes: u64,
    unsynced: u64,
}

impl<'a> PartFile<'a> {
    /// Reads what an earlier start has left.
    fn open(path: PathBuf, file: &'a RemoteFile, watch: &mut Watch) -> Result<Self, HubError> {
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).open(&path);
        let open = open.map_err(HubError::write(&path))?;
        let length = open.metadata().map_err(HubError::write(&path))?.len();
        let mut part =
            Self { file, path, open, hasher: file.digest.hasher(file.size), bytes: 0, unsynced: 0 };
        if length > file.size {
            part.restart()?;
        } else if length > 0 {
            part.read_again(watch)?;
        }
        Ok(part)
    }

    fn read_again(&mut self, watch: &mut Watch) -> Result<(), HubError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            watch.at(Activity::Checking, self.bytes)?;
            match self.open.read(&mut buffer).map_err(HubError::write(&self.path))? {
                0 => return Ok(()),
                count => {
                    self.hasher.update(&buffer[..count]);
                    self.bytes += count as u64;
                }
            }
        }
    }

    /// Forgets what has come.
    fn restart(&mut self) -> Result<(), HubError> {
        (self.open.set_len(0).and_then(|()| self.open.seek(SeekFrom::Start(0))))
            .map_err(HubError::write(&self.path))?;
        self.hasher = self.file.digest.hasher(self.file.size);
        self.bytes = 0;
        Ok(())
    }

    /// Compares the size that an answer announces.
    fn check_total(&self, total: Option<u64>) -> Result<(), HubError> {
        match total {
            Some(found) if found != self.file.size => Err(self.wrong_size(found)),
            _ => Ok(()),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let left = self.file.size - self.bytes;
        if bytes.len() as u64 > left {
            return Err(self.wrong_size(self.bytes + bytes.len() as u64));
        }
        self.open.write_all(bytes).map_err(HubError::writing(&self.path, left))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= UNSYNCED_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), HubError> {
        self.unsynced = 0;
        self.open.sync_data().map_err(HubError::writing(&self.path, self.file.size - self.bytes))
    }

    fn wrong_size(&self, found: u64) -> HubError {
        self.remove();
        HubError::Size { file: self.file.name.clone(), expected: self.file.size, found }
    }

    /// Puts the file in its place if it is what the hub has promised.
    fn finish(mut self, blob: &Path) -> Result<(), HubError> {
        let found = self.hasher.clone().finish();
        if found != self.file.digest.hex() {
            self.remove();
            let (file, expected) = (self.file.name.clone(), self.file.digest.hex().to_owned());
            return Err(HubError::Hash { file, expected, found });
        }
        // After a power cut the name must not stand for bytes that never reached the disk.
        self.sync()?;
        fs::rename(&self.path, blob).map_err(HubError::write(blob))
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }

    /// A connection that was given up, reported with how far it came.
    fn cut(&self, error: HubError) -> HubError {
        let reason = match error {
            HubError::Connection { reason, .. } => reason,
            other => return other,
        };
        HubError::Cut { file: self.file.name.clone(), bytes: self.bytes, size: self.file.size, reason }
    }
}
