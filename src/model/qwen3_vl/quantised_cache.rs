//! Rounded weights on disk: a large model is rounded once, and mapped from then on.
//!
//! A safetensors file of packed matrices (`packed/panels.rs` has their layout), bound to the model's fingerprint. It may be
//! deleted at any time. What cannot be read is as good as absent, what cannot be written is not kept: both are told in the
//! log and stop nothing.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanBytes;
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype as StoredDtype, SafeTensors};

use super::super::Dtype;
use super::packed::{Numbers, Panels};

/// Changes with the layout of packed matrices.
const LAYOUT: &str = "topreward packed 1";
/// How the names of folders begin in which a file is being written.
const UNFINISHED: &str = ".unfinished-";
/// After so long nobody is writing any more.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);

/// Where the rounded weights of one model are kept.
pub(super) struct RoundedWeights {
    path: PathBuf,
    identity: HashMap<String, String>,
}

/// A file of rounded weights.
pub(super) struct RoundedFile {
    map: Arc<Mmap>,
    /// Of the first byte behind the header.
    start: usize,
    metadata: Metadata,
}

impl RoundedWeights {
    pub fn new(folder: &Path, fingerprint: &str, dtype: Dtype) -> Self {
        let name = format!("{}-{dtype}.safetensors", fingerprint.get(..16).unwrap_or(fingerprint));
        let order = if cfg!(target_endian = "little") { "little" } else { "big" };
        let identity =
            [("layout", LAYOUT), ("fingerprint", fingerprint), ("dtype", dtype.as_str()), ("order", order)];
        Self {
            path: folder.join(name),
            identity: identity.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    /// The file, if there is a sound one.
    pub fn open(&self) -> Option<RoundedFile> {
        let file = File::open(&self.path).ok()?;
        match self.read(&file) {
            Ok(rounded) => Some(rounded),
            Err(reason) => {
                log::warn!("{}: {reason}; the weights are rounded anew", self.path.display());
                None
            }
        }
    }

    fn read(&self, file: &File) -> Result<RoundedFile, String> {
        // SAFETY: files come to this place by renaming and are never changed; only another program that shortens one
        // could break the mapping, which every reader of mapped weights accepts.
        let map = unsafe { Mmap::map(file) }.map_err(|error| error.to_string())?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|error| error.to_string())?;
        if metadata.metadata().as_ref() != Some(&self.identity) {
            return Err("it holds the weights of another model or version".to_owned());
        }
        Ok(RoundedFile { map: Arc::new(map), start: header + 8, metadata })
    }

    /// Keeps these matrices for the next time.
    pub fn keep(&self, matrices: &[(String, Arc<Panels>)]) {
        match self.write(matrices) {
            Ok(()) => log::info!("the rounded weights are kept in {}", self.path.display()),
            Err(error) => log::warn!("{}: {error}; the weights will be rounded again", self.path.display()),
        }
    }

    fn write(&self, matrices: &[(String, Arc<Panels>)]) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        sweep(folder);
        let mut views = Vec::new();
        for (name, panels) in matrices {
            for (part, bytes) in panels.parts() {
                let view = TensorView::new(StoredDtype::U8, vec![bytes.len()], bytes);
                views.push((format!("{name}.{part}"), view.map_err(std::io::Error::other)?));
            }
        }
        let bytes = views.iter().map(|(_, view)| view.data().len() as u64).sum();
        let disk = rustix::fs::statvfs(folder)?;
        check_room(disk.f_bavail.saturating_mul(disk.f_frsize), bytes).map_err(std::io::Error::other)?;
        // A folder of its own: the library has a temporary file beside the one that it is to write.
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(folder)?;
        let file = unfinished.path().join("weights");
        safetensors::serialize_to_file(views, Some(self.identity.clone()), &file)
            .map_err(std::io::Error::other)?;
        // After a power cut a file must not have its place and no content.
        File::open(&file)?.sync_all()?;
        std::fs::rename(&file, &self.path)
    }
}

/// Whether so many bytes may be written to a disk with `free` bytes: half of them, as whoever records the robot may be
/// writing to the same disk.
fn check_room(free: u64, bytes: u64) -> Result<(), String> {
    if bytes <= free / 2 {
        return Ok(());
    }
    Err(format!(
        "the rounded weights take {}, more than half of the {} that are free on this disk (free some space, or set \
         XDG_CACHE_HOME to a folder on another disk)",
        HumanBytes(bytes),
        HumanBytes(free)
    ))
}

/// Removes what programs have left that were killed while they wrote: gigabytes, for a large model.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let left = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry.metadata().and_then(|of| of.modified()).ok().and_then(|then| then.elapsed().ok());
        if left && age.is_some_and(|age| age > GIVEN_UP) {
            // Next time, if not now.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl RoundedFile {
    /// The matrix of this name; none if the file does not have it in this shape.
    pub fn matrix(&self, name: &str, dtype: Dtype, outputs: usize, inputs: usize) -> Option<Panels> {
        Panels::from_parts(dtype, outputs, inputs, |part| {
            let (begin, end) = self.metadata.info(&format!("{name}.{part}"))?.data_offsets;
            Some(Numbers::Mapped(self.map.clone(), self.start + begin..self.start + end))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_program_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join(".tmp123"), "half of it").unwrap();
            File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let (hour, days) = (Duration::from_secs(3600), 3 * GIVEN_UP);
        let (old, new) = (left(".unfinished-a", days), left(".unfinished-b", hour));
        let other = left("somebody-elses", days);
        let rounded = RoundedWeights::new(folder.path(), "0123456789abcdef0", Dtype::Q8);
        rounded.keep(&[]);
        assert_eq!([old, new, other].map(|path| path.exists()), [false, true, true]);
        assert!(rounded.open().is_some());
    }

    #[test]
    fn half_of_the_disk_is_left_to_others() {
        assert_eq!(check_room(10 << 30, 5 << 30), Ok(()));
        for free in [(10 << 30) - 2, 5 << 30, 0] {
            let reason = check_room(free, 5 << 30).unwrap_err();
            assert!(reason.contains("take 5.00 GiB") && reason.contains("XDG_CACHE_HOME"), "{reason}");
        }
    }
}
