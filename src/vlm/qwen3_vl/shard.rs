//! The weight files of a model folder: their headers, and their tensors piece by piece.
//!
//! Files are read, not mapped: mapped pages would count as this program's memory beside the converted weights.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;

use super::error::LoadError;
use super::folder::ModelFolder;

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// No header of the format may be longer.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open safetensors file.
pub(super) struct Shard {
    name: String,
    file: File,
    header: Vec<u8>,
    metadata: Metadata,
}

impl Shard {
    /// All weight files of a folder.
    ///
    /// # Errors
    /// As [`weight_files`], and a file that is missing, no safetensors file, or cut short.
    pub fn all(folder: &ModelFolder) -> Result<Vec<Self>, LoadError> {
        weight_files(folder)?.into_iter().map(|name| Self::open(folder, name)).collect()
    }

    fn open(folder: &ModelFolder, name: String) -> Result<Self, LoadError> {
        if !folder.has(&name) {
            return Err(LoadError::MissingFile { file: name });
        }
        let read = |source| LoadError::Read { file: name.clone(), source };
        let damaged = |reason: &str| LoadError::Weights { file: name.clone(), reason: reason.to_owned() };
        let mut file = File::open(folder.file(&name)).map_err(read)?;
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
            return Err(damaged(&format!("{found} bytes of weights where {expected} are announced")));
        }
        Ok(Self { name, file, header, metadata })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The header's bytes.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// By name.
    pub fn tensors(&self) -> BTreeMap<String, &TensorInfo> {
        self.metadata.tensors().into_iter().collect()
    }

    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// Some bytes of a tensor, counted from its first.
    ///
    /// # Errors
    /// The file's own, or a range outside the tensor.
    pub fn read(&self, tensor: &TensorInfo, bytes: Range<usize>) -> Result<Vec<u8>, LoadError> {
        let (begin, end) = tensor.data_offsets;
        let mut read = vec![0; bytes.len()];
        let inside = bytes.end <= end - begin;
        let place = 8 + self.header.len() + begin + bytes.start;
        let outcome = if inside { self.fill(place as u64, &mut read) } else { Err(outside()) };
        outcome.map_err(|source| LoadError::Read { file: self.name.clone(), source })?;
        Ok(read)
    }

    fn fill(&self, place: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(bytes)
    }
}

fn outside() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, "a range outside its tensor")
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

/// The weight files that a folder needs: `model.safetensors`, or the shards that its index names.
///
/// # Errors
/// Neither the one nor the other, or an index that names no file of the folder.
pub fn weight_files(folder: &ModelFolder) -> Result<Vec<String>, LoadError> {
    if folder.has(SINGLE_FILE) {
        return Ok(vec![SINGLE_FILE.to_owned()]);
    }
    let Some(index) = folder.read_json_if_present::<ShardIndex>(INDEX_FILE)? else {
        return Err(LoadError::MissingFile { file: format!("{SINGLE_FILE} (or {INDEX_FILE})") });
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
