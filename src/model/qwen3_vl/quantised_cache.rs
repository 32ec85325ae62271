//! Quantised weights on disk: a large model is quantised once, and mapped from then on.
//!
//! A safetensors file of packed matrices (`packed/panels.rs` has their layout), bound to the model's fingerprint, with a
//! checksum of all of them: a disk that lost a page, or a copy that went wrong, must not change a score. It may be deleted
//! at any time. What cannot be read is as good as absent, what cannot be written is not kept: both are told in the log and
//! stop nothing.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::HumanBytes;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype as StoredDtype, SafeTensorError, SafeTensors};
use twox_hash::XxHash3_64;

use super::super::Dtype;
use super::packed::{Numbers, Panels};
use crate::files::{self, Unfinished};

/// Changes with the layout of packed matrices.
const LAYOUT: &str = "topreward packed 1";
/// Where the checksum stands in the file's metadata.
const CHECKSUM: &str = "xxh3";
/// Bytes that one thread hashes at once.
const AT_ONCE: usize = 4 << 20;
/// Bytes of a safetensors file that give the length of its header.
const HEADER_LENGTH: usize = 8;

/// Why the weights on disk are not used, or none are kept.
#[derive(Debug, thiserror::Error)]
enum CacheError {
    #[error("it holds the weights of another model or version")]
    Other,
    #[error("it is damaged: its bytes do not have the checksum that was written with them")]
    Checksum,
    #[error(
        "the quantised weights take {}, more than half of the {} that are free on this disk (free some space, or set \
         XDG_CACHE_HOME to a folder on another disk)",
        HumanBytes(*.bytes),
        HumanBytes(*.free)
    )]
    Room { bytes: u64, free: u64 },
    #[error(transparent)]
    Format(#[from] SafeTensorError),
    #[error(transparent)]
    Header(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the quantised weights of one model are kept.
pub(super) struct QuantisedWeights {
    path: PathBuf,
    identity: HashMap<String, String>,
}

/// A file of quantised weights.
pub(super) struct QuantisedFile {
    map: Arc<Mmap>,
    /// Of the first byte behind the header.
    start: usize,
    metadata: Metadata,
}

impl QuantisedWeights {
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
    pub fn open(&self) -> Option<QuantisedFile> {
        let file = File::open(&self.path).ok()?;
        match self.read(&file) {
            Ok(quantised) => Some(quantised),
            Err(reason) => {
                log::warn!("{}: {reason}; the weights are quantised anew", self.path.display());
                None
            }
        }
    }

    fn read(&self, file: &File) -> Result<QuantisedFile, CacheError> {
        // SAFETY: files come to this place by renaming and are never changed; only another program that shortens one
        // could break the mapping, which every reader of mapped weights accepts.
        let map = unsafe { Mmap::map(file) }?;
        let (header, metadata) = SafeTensors::read_metadata(&map)?;
        let start = header + HEADER_LENGTH;
        let mut found = metadata.metadata().clone().unwrap_or_default();
        let expected = found.remove(CHECKSUM);
        if found != self.identity {
            return Err(CacheError::Other);
        }
        let parts = metadata.offset_keys().into_iter().filter_map(|name| {
            let (begin, end) = metadata.info(&name)?.data_offsets;
            map.get(start + begin..start + end)
        });
        if expected != Some(checksum(parts)) {
            return Err(CacheError::Checksum);
        }
        Ok(QuantisedFile { map: Arc::new(map), start, metadata })
    }

    /// Keeps these matrices for the next time.
    pub fn keep(&self, matrices: &[(String, Arc<Panels>)]) {
        match self.write(matrices) {
            Ok(()) => log::info!("the quantised weights are kept in {}", self.path.display()),
            Err(error) => log::warn!("{}: {error}; the weights will be quantised again", self.path.display()),
        }
    }

    fn write(&self, matrices: &[(String, Arc<Panels>)]) -> Result<(), CacheError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        // Gigabytes, for a large model.
        files::sweep(folder)?;
        let mut parts: Vec<(String, &[u8])> = Vec::new();
        for (name, panels) in matrices {
            parts.extend(panels.parts().into_iter().map(|(part, bytes)| (format!("{name}.{part}"), bytes)));
        }
        parts.sort();
        let bytes = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let disk = rustix::fs::statvfs(folder).map_err(io::Error::from)?;
        check_room(disk.f_bavail.saturating_mul(disk.f_frsize), bytes)?;
        let mut unfinished = Unfinished::beside(&self.path)?;
        self.write_parts(&parts, &mut unfinished)?;
        Ok(unfinished.finish()?)
    }

    /// The safetensors file. The library's own writer makes a temporary file of its own that no sweep would know.
    fn write_parts(&self, parts: &[(String, &[u8])], file: &mut impl Write) -> Result<(), CacheError> {
        let mut end = 0;
        let mut place = |(name, bytes): &(String, &[u8])| {
            let begin = end;
            end += bytes.len();
            let shape = vec![bytes.len()];
            (name.clone(), TensorInfo { dtype: StoredDtype::U8, shape, data_offsets: (begin, end) })
        };
        let places = parts.iter().map(&mut place).collect();
        let mut about = self.identity.clone();
        about.insert(CHECKSUM.to_owned(), checksum(parts.iter().map(|(_, bytes)| *bytes)));
        let mut header = serde_json::to_vec(&Metadata::new(Some(about), places)?)?;
        // What follows begins at a multiple of eight bytes.
        header.resize(header.len().next_multiple_of(HEADER_LENGTH), b' ');
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, bytes) in parts {
            file.write_all(bytes)?;
        }
        Ok(file.flush()?)
    }
}

/// XXH3, in hexadecimal, over those of each part's pieces: on all cores, as fast as memory is read. Against damage, not against
/// people.
fn checksum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut all = XxHash3_64::with_seed(0);
    for part in parts {
        let pieces: Vec<u64> = part.par_chunks(AT_ONCE).map(XxHash3_64::oneshot).collect();
        all.write(&(part.len() as u64).to_le_bytes());
        pieces.iter().for_each(|piece| all.write(&piece.to_le_bytes()));
    }
    format!("{:016x}", all.finish())
}

/// Whether so many bytes may be written to a disk with `free` bytes: half of them, as whoever records the robot may be
/// writing to the same disk.
fn check_room(free: u64, bytes: u64) -> Result<(), CacheError> {
    if bytes <= free / 2 { Ok(()) } else { Err(CacheError::Room { bytes, free }) }
}

impl QuantisedFile {
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
    use super::*;

    #[test]
    fn what_a_killed_program_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let [left, other] = [".tmp-topreward-a", "somebody-elses"].map(|name| folder.path().join(name));
        for file in [&left, &other] {
            std::fs::write(file, "half of it").unwrap();
        }
        let quantised = QuantisedWeights::new(folder.path(), "0123456789abcdef0", Dtype::Q8);
        quantised.keep(&[]);
        assert_eq!([left, other].map(|path| path.exists()), [false, true]);
        assert!(quantised.open().is_some());
    }

    #[test]
    fn the_file_is_the_one_that_the_library_writes() {
        let quantised = QuantisedWeights::new(Path::new("."), "0123456789abcdef0", Dtype::Q8);
        let quantised = QuantisedWeights { identity: HashMap::new(), ..quantised };
        let parts: [(String, &[u8]); 3] =
            [("a".to_owned(), &[1, 2, 3]), ("b.scales".to_owned(), &[]), ("b.weights".to_owned(), &[4])];
        let mut ours = Vec::new();
        quantised.write_parts(&parts, &mut ours).unwrap();
        let view = |(name, bytes): &(String, &'static [u8])| {
            let view = safetensors::tensor::TensorView::new(StoredDtype::U8, vec![bytes.len()], bytes);
            (name.clone(), view.unwrap())
        };
        let views = parts.iter().map(view);
        let mut about = quantised.identity;
        about.insert(CHECKSUM.to_owned(), checksum(parts.iter().map(|(_, bytes)| *bytes)));
        assert_eq!(ours, safetensors::serialize(views, Some(about)).unwrap());
    }

    #[test]
    fn the_checksum_sees_every_bit_and_which_part_it_is_of() {
        // XXH3 of nothing, as its specification lists it.
        assert_eq!(XxHash3_64::oneshot(b""), 0x2D06_8005_38D3_94C2);
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 31) as u8).collect();
        let of = |parts: &[&[u8]]| checksum(parts.iter().copied());
        let whole = of(&[&bytes]);
        for place in [0, 1, 4095, 50_000, 99_999] {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_ne!(of(&[&other]), whole, "{place}");
        }
        assert_ne!(of(&[&bytes[..10], &bytes[10..]]), whole);
        assert_ne!(of(&[&bytes[..99_999]]), whole);
    }

    #[test]
    fn half_of_the_disk_is_left_to_others() {
        check_room(10 << 30, 5 << 30).unwrap();
        for free in [(10 << 30) - 2, 5 << 30, 0] {
            let reason = check_room(free, 5 << 30).unwrap_err().to_string();
            assert!(reason.contains("take 5.00 GiB") && reason.contains("XDG_CACHE_HOME"), "{reason}");
        }
    }
}
