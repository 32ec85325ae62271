//! What lies in weight files, by their headers alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read};

use serde::Deserialize;

use super::error::LoadError;
use super::folder::ModelFolder;
use super::weights::weight_files;

/// No header of the format may be longer.
const LONGEST_HEADER: u64 = 100_000_000;

/// The tensors of a model folder, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredWeights {
    pub tensors: usize,
    /// Numbers stored of each type, by the format's name of it: `BF16`, `F32`, ….
    pub by_type: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct StoredTensor {
    dtype: String,
    shape: Vec<u64>,
}

impl StoredWeights {
    /// # Errors
    /// A file that is missing, or is no safetensors file.
    pub fn read(folder: &ModelFolder) -> Result<Self, LoadError> {
        let mut stored = Self::default();
        for name in weight_files(folder)? {
            stored.add(folder, &name).map_err(|source| LoadError::Read { file: name, source })?;
        }
        Ok(stored)
    }

    pub fn parameters(&self) -> u64 {
        self.by_type.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn add(&mut self, folder: &ModelFolder, name: &str) -> std::io::Result<()> {
        let mut file = File::open(folder.file(name))?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(Error::new(ErrorKind::InvalidData, "no safetensors file"));
        }
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header)?;
        if header.len() as u64 != length {
            return Err(Error::new(ErrorKind::UnexpectedEof, "its header is cut short"));
        }
        let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header)?;
        for (tensor, entry) in entries {
            if tensor == "__metadata__" {
                continue;
            }
            let StoredTensor { dtype, shape } = serde_json::from_value(entry)?;
            let numbers = shape.iter().fold(1u64, |numbers, side| numbers.saturating_mul(*side));
            let count = self.by_type.entry(dtype).or_default();
            *count = count.saturating_add(numbers);
            self.tensors += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn folder(bytes: &[u8]) -> (tempfile::TempDir, ModelFolder) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let opened = ModelFolder::open(folder.path()).unwrap();
        (folder, opened)
    }

    #[test]
    fn numbers_are_counted_by_type() {
        let header = r#"{"__metadata__": {}, "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
            "b": {"dtype": "BF16", "shape": [], "data_offsets": [12, 14]},
            "c": {"dtype": "F32", "shape": [5], "data_offsets": [14, 34]}}"#;
        let (_folder, opened) =
            folder(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat());
        let stored = StoredWeights::read(&opened).unwrap();
        assert_eq!((stored.tensors, stored.parameters()), (3, 12));
        assert_eq!(stored.by_type, BTreeMap::from([("BF16".to_owned(), 7), ("F32".to_owned(), 5)]));
    }

    #[test]
    fn what_is_no_weight_file_is_named() {
        for bytes in [&b"short"[..], &[0xFF; 16], b"\x03\0\0\0\0\0\0\0{}"] {
            let (_folder, opened) = folder(bytes);
            assert!(StoredWeights::read(&opened).unwrap_err().to_string().contains("model.safetensors"));
        }
    }

    #[test]
    fn shards_are_summed() {
        let sharded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/untied");
        let stored = StoredWeights::read(&ModelFolder::open(&sharded).unwrap()).unwrap();
        assert!(stored.tensors > 50 && stored.parameters() > 10_000);
    }
}
