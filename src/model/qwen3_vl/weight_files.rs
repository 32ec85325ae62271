//! Which files of a model folder hold its weights.

use super::error::LoadError;
use super::folder::ModelFolder;
use super::gguf;
use super::shard::Shard;

impl Shard {
    /// All weight files of a folder: the safetensors files, or where there are none its GGUF files.
    ///
    /// # Errors
    /// As [`Shard::safetensors`] and [`gguf::shards`].
    pub fn all(folder: &ModelFolder) -> Result<Vec<Self>, LoadError> {
        if !Self::has_safetensors(folder) {
            let files = folder.ending_in(".gguf")?;
            if !files.is_empty() {
                return gguf::shards(folder, files);
            }
        }
        Self::safetensors(folder)
    }
}
