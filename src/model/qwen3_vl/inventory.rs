//! What lies in weight files, by their headers alone.

use std::collections::BTreeMap;

use super::config::Qwen3VlConfig;
use super::contents;
use super::error::LoadError;
use super::folder::ModelFolder;
use super::shard::Shard;
use super::tensor_names;

/// The tensors of a model folder, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredWeights {
    pub tensors: usize,
    /// Numbers stored of each type, by the format's name of it: `BF16`, `F32`, ….
    pub by_type: BTreeMap<String, u64>,
}

impl StoredWeights {
    /// # Errors
    /// A file that is missing, or holds no weights.
    pub fn read(folder: &ModelFolder) -> Result<Self, LoadError> {
        let mut stored = Self::default();
        for shard in Shard::all(folder)? {
            for tensor in shard.tensors().values() {
                let each = (tensor.numbers() / tensor.parts.len()) as u64;
                for part in &tensor.parts {
                    *stored.by_type.entry(part.stored_as.clone()).or_default() += each;
                }
                stored.tensors += 1;
            }
        }
        Ok(stored)
    }

    /// Whether a model with this config.json can be made of the folder's weights: what [`super::Qwen3Vl::load`] would
    /// refuse of their names.
    ///
    /// # Errors
    /// An adapter, weights that are missing, or tensors that would be left out.
    pub fn check(folder: &ModelFolder, config: &Qwen3VlConfig) -> Result<(), LoadError> {
        contents::refuse_adapter(folder)?;
        tensor_names::check(&Shard::all(folder)?, config)?;
        Ok(())
    }

    pub fn parameters(&self) -> u64 {
        self.by_type.values().sum()
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
            folder(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 34]].concat());
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
