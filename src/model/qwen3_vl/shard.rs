//! The weight files of a model folder: what they hold, and their tensors piece by piece. Those of the safetensors format are opened
//! here, those of the GGUF format in `gguf.rs`; `weight_files.rs` knows which of the two a folder has.
//!
//! Files are read, not mapped: mapped pages would count as this program's memory beside the converted weights.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;

use super::contents;
use super::error::LoadError;
use super::folder::ModelFolder;
use crate::files;

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// Bytes that one thread reads at once.
const AT_ONCE: usize = 4 << 20;
/// No header of the format may be longer.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open weight file.
pub(super) struct Shard {
    name: String,
    file: File,
    header: Vec<u8>,
    /// By Hugging Face's names.
    tensors: BTreeMap<String, StoredTensor>,
}

/// A tensor in its file.
pub(super) struct StoredTensor {
    /// Outputs first.
    pub shape: Vec<usize>,
    /// One, or several of the same size that take turns.
    pub parts: Vec<Part>,
    /// Numbers of one part before it is the next one's turn.
    pub run: usize,
}

/// A stretch of a file with a tensor's numbers.
pub(super) struct Part {
    /// The format's name of their type: `BF16`, `Q8_0`, ….
    pub stored_as: String,
    /// How they are read; `None`: not at all.
    pub numbers: Option<GgmlDType>,
    /// Where they lie in the file.
    pub bytes: Range<u64>,
}

impl StoredTensor {
    /// A tensor that lies in one place.
    pub fn of(shape: Vec<usize>, part: Part) -> Self {
        Self { shape, parts: vec![part], run: 1 }
    }

    /// As a header of safetensors has it, whose tensors begin at `start`.
    fn safetensor(info: &TensorInfo, start: usize) -> Self {
        let numbers = match info.dtype {
            Dtype::F32 => Some(GgmlDType::F32),
            Dtype::BF16 => Some(GgmlDType::BF16),
            Dtype::F16 => Some(GgmlDType::F16),
            _ => None,
        };
        let (begin, end) = info.data_offsets;
        let bytes = (start + begin) as u64..(start + end) as u64;
        Self::of(info.shape.clone(), Part { stored_as: info.dtype.to_string(), numbers, bytes })
    }

    /// How many.
    pub fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Part {
    /// Bytes.
    pub fn size(&self) -> usize {
        (self.bytes.end - self.bytes.start) as usize
    }
}

impl Shard {
    /// Whether a folder has safetensors files, or says which.
    pub fn has_safetensors(folder: &ModelFolder) -> bool {
        folder.has(SINGLE_FILE) || folder.has(INDEX_FILE)
    }

    /// The safetensors files of a folder.
    ///
    /// # Errors
    /// As [`weight_files`], and a file that is missing, no safetensors file, or truncated.
    pub fn safetensors(folder: &ModelFolder) -> Result<Vec<Self>, LoadError> {
        weight_files(folder)?.into_iter().map(|name| Self::open(folder, name)).collect()
    }

    fn open(folder: &ModelFolder, name: String) -> Result<Self, LoadError> {
        if !folder.has(&name) {
            return Err(LoadError::MissingFile { file: name });
        }
        let read = |source| LoadError::Read { file: name.clone(), source };
        let damaged = |reason: &str| LoadError::Weights { file: name.clone(), reason: reason.to_owned() };
        let mut file = files::open(&folder.file(&name)).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let mut length = [0; 8];
        if size < length.len() as u64 {
            return Err(damaged("it has no header"));
        }
        file.read_exact(&mut length).map_err(read)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER || length > size - 8 {
            return Err(damaged("its header is longer than the file"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(read)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(&format!("its header: {error}")))?;
        let (found, expected) = (size - 8 - length, metadata.data_len() as u64);
        if found != expected {
            return Err(damaged(&format!("{found} bytes of weights, but its header declares {expected}")));
        }
        let start = 8 + header.len();
        let tensors = metadata.tensors().into_iter();
        let tensors = tensors.map(|(name, info)| (name, StoredTensor::safetensor(info, start))).collect();
        Ok(Self::new(name, file, header, tensors))
    }

    /// `header` is what tells one directory of tensors from another.
    pub fn new(name: String, file: File, header: Vec<u8>, tensors: BTreeMap<String, StoredTensor>) -> Self {
        Self { name, file, header, tensors }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The header's bytes, or what they say of the tensors.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// By name.
    pub fn tensors(&self) -> &BTreeMap<String, StoredTensor> {
        &self.tensors
    }

    /// Some bytes of a tensor's part, counted from its first.
    ///
    /// # Errors
    /// The file's own, or a range outside the part.
    pub fn read(&self, part: &Part, bytes: Range<usize>) -> Result<Vec<u8>, LoadError> {
        let mut read = vec![0; bytes.len()];
        self.read_into(part, bytes.start, &mut read)?;
        Ok(read)
    }

    /// As many bytes of a tensor's part as there is room for, from the `first` on, on all cores.
    ///
    /// # Errors
    /// As [`Shard::read`].
    pub fn read_into(&self, part: &Part, first: usize, bytes: &mut [u8]) -> Result<(), LoadError> {
        let place = part.bytes.start + first as u64;
        let fits = first.checked_add(bytes.len()).is_some_and(|end| end <= part.size());
        let read = |(index, bytes): (usize, &mut [u8])| {
            self.file.read_exact_at(bytes, place + (index * AT_ONCE) as u64)
        };
        let outcome =
            if fits { bytes.par_chunks_mut(AT_ONCE).enumerate().try_for_each(read) } else { Err(outside()) };
        outcome.map_err(|source| LoadError::Read { file: self.name.clone(), source })
    }
}

fn outside() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, "a range outside its tensor")
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

/// The safetensors files that a folder needs: `model.safetensors`, or the shards that its index names.
///
/// # Errors
/// Neither the one nor the other, or an index that names no file of the folder.
pub fn weight_files(folder: &ModelFolder) -> Result<Vec<String>, LoadError> {
    if folder.has(SINGLE_FILE) {
        return Ok(vec![SINGLE_FILE.to_owned()]);
    }
    let Some(index) = folder.read_json_if_present::<ShardIndex>(INDEX_FILE)? else {
        let file = format!("{SINGLE_FILE} (or {INDEX_FILE})");
        return Err(LoadError::NoWeights { file, instead: contents::instead_of_weights(folder) });
    };
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() {
        return Err(LoadError::field(INDEX_FILE, "weight_map", "empty", "it must name the weight files"));
    }
    if let Some(outside) = shards.iter().find(|shard| shard.contains(['/', '\\'])) {
        return Err(LoadError::field(
            INDEX_FILE,
            "weight_map",
            outside,
            "weight files lie in the model folder",
        ));
    }
    Ok(shards.into_iter().collect())
}
