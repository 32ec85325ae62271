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

use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype as StoredDtype, SafeTensors};

use super::super::Dtype;
use super::packed::{Numbers, Panels};

/// Changes with the layout of packed matrices.
const LAYOUT: &str = "topreward packed 1";
/// How the names of files begin that are being written.
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
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        let mut views = Vec::new();
        for (name, panels) in matrices {
            for (part, bytes) in panels.parts() {
                let view = TensorView::new(StoredDtype::U8, vec![bytes.len()], bytes);
                views.push((format!("{name}.{part}"), view.map_err(std::io::Error::other)?));
            }
        }
        safetensors::serialize_to_file(views, Some(self.identity.clone()), unfinished.path())
            .map_err(std::io::Error::other)?;
        // After a power cut a file must not have its place and no content.
        unfinished.as_file().sync_all()?;
        unfinished.persist(&self.path)?;
        Ok(())
    }
}

/// Removes what programs have left that were killed while they wrote: gigabytes, for a large model.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let left = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry.metadata().and_then(|of| of.modified()).ok().and_then(|then| then.elapsed().ok());
        if left && age.is_some_and(|age| age > GIVEN_UP) {
            // Next time, if not now.
            let _ = std::fs::remove_file(entry.path());
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
            File::create(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
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
}
