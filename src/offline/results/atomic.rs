//! Files that are whole or absent.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ResultsError;

/// What the name of a file begins with that is not whole yet.
const UNFINISHED: &str = ".tmp-";

static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Writes `folder/name` as [`replace`] does.
///
/// # Errors
/// What the file system says; the old file is then as it was.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ResultsError> {
    let file = folder.join(name);
    replace(&file, bytes).map_err(|source| ResultsError::Write { file: file.display().to_string(), source })
}

/// Writes a file beside its place and moves it there when it is on the disk: whoever reads sees the old file or the new
/// one, also after a power cut. What is left by a process that is killed meanwhile is for [`clean`].
///
/// # Errors
/// What the file system says; the old file is then as it was.
pub fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let unfinished = folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
    let written = write_synced(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, file))
        .and_then(|()| File::open(folder)?.sync_all());
    written.inspect_err(|_| {
        // It may be gone; what failed before is what counts.
        let _ = fs::remove_file(&unfinished);
    })
}

fn write_synced(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes what a process that was killed has left unfinished.
///
/// # Errors
/// A folder or file that cannot be read or removed.
pub fn clean(folder: &Path) -> Result<(), ResultsError> {
    let failed = |source| ResultsError::Write { file: folder.display().to_string(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.json", b"one").unwrap();
        write(folder.path(), "a.json", b"two").unwrap();
        assert_eq!(fs::read(folder.path().join("a.json")).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_file_that_cannot_take_its_place_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a.json/full")).unwrap();
        let error = write(folder.path(), "a.json", b"one").unwrap_err().to_string();
        assert!(error.contains("a.json"), "{error}");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn what_was_left_unfinished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".tmp-7-0", "b.json", ".hidden"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        clean(folder.path()).unwrap();
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [".hidden", "b.json"]);
    }
}
