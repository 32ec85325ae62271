//! Files that are whole or absent: the one way in which this program puts a file in its place.
//!
//! A file is written beside its place and moved there once it is on the disk. Whoever reads sees the old file or the new
//! one, also after a power cut. It is locked while it is written, so that [`sweep`] can tell what a killed program has
//! left behind from what another program is still writing.

mod lock;
mod untrusted;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

pub use lock::{Lock, lock};
pub use untrusted::{NestingError, check_nesting, is_hidden, open, read_text, read_yaml};

/// What the name of an unfinished file begins with.
const UNFINISHED: &str = ".tmp-topreward-";
/// Earlier versions wrote `.tmp-<process>-<count>`.
const UNFINISHED_BEFORE: &str = ".tmp-";
/// Where the file system has no locks, an unfinished file that was not changed for so long is taken to be abandoned.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);

/// Writes a file that is whole or absent. A link at its place is replaced, not followed. A pipe or a device
/// (`/dev/stdout`) is written to as it is.
///
/// # Errors
/// What the file system refuses. The old file is then as it was.
pub fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fs::write(file, bytes);
    }
    let mut unfinished = Unfinished::beside(file)?;
    unfinished.write_all(bytes)?;
    unfinished.finish()
}

/// A file that is being written. Dropped before [`Unfinished::finish`], it is removed.
#[derive(Debug)]
pub struct Unfinished {
    file: NamedTempFile,
    place: PathBuf,
}

impl Unfinished {
    /// Begins the file that is to stand at `place`.
    ///
    /// # Errors
    /// A folder that is not there or cannot be written to.
    pub fn beside(place: &Path) -> io::Result<Self> {
        let mut names = tempfile::Builder::new();
        names.prefix(UNFINISHED);
        loop {
            // Not by `tempfile_in`, which would let nobody else read the file.
            let file = names.make_in(folder_of(place), |path| {
                File::options().read(true).write(true).create_new(true).open(path)
            })?;
            // A sweep may have come between these two lines: then it has the lock, or has removed the file.
            let locked = lock(file.as_file());
            if !matches!(locked, Lock::Busy) && file.as_file().metadata()?.nlink() > 0 {
                return Ok(Self { file, place: place.to_owned() });
            }
        }
    }

    /// Where it is now, for another program to write to.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// What the file system refuses. The unfinished file is removed, and what was at the place is as it was.
    pub fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.place).map_err(|failed| failed.error)?;
        sync_folder(folder_of(&self.place))
    }
}

/// Waits until the names in a folder are on the disk.
///
/// # Errors
/// What the file system refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes the unfinished files of programs that were killed, in this folder and not below it.
///
/// # Errors
/// A folder that cannot be read, or a file that cannot be removed.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_unfinished(&entry.file_name().to_string_lossy()) {
            continue;
        }
        match remove_if_abandoned(&entry.path()) {
            // Its program has finished it, or another one has swept.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let abandoned = match lock(&file) {
        Lock::Held => true,
        Lock::Busy => false,
        Lock::Unsupported(_) => file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > GIVEN_UP),
    };
    if abandoned { fs::remove_file(path) } else { Ok(()) }
}

/// Whether a file of this name was begun by this program and not finished.
pub fn is_unfinished(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let before = || name.strip_prefix(UNFINISHED_BEFORE)?.split_once('-');
    name.starts_with(UNFINISHED) || before().is_some_and(|(process, count)| number(process) && number(count))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
