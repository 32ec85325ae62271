//! The tensors of a checkpoint, by Hugging Face's names, converted to f32 as they are taken.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use candle_core::safetensors::{Load, MmapedSafetensors};
use candle_core::{DType, Device, Shape, Tensor};
use serde::Deserialize;

use super::error::LoadError;
use super::folder::ModelFolder;

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// Where the language model's tensors live, newest naming first.
const TEXT_PREFIXES: [&str; 4] = ["model.language_model", "language_model.model", "model", "language_model"];
const VISION_PREFIXES: [&str; 2] = ["model.visual", "visual"];
const HEAD_NAMES: [&str; 3] = ["lm_head", "language_model.lm_head", "model.lm_head"];

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

/// Told how much of a checkpoint is loaded, from 0 to 1.
pub type LoadProgress<'a> = &'a dyn Fn(f64);

/// The open weight files of one checkpoint.
pub struct Weights<'a> {
    files: MmapedSafetensors,
    names: BTreeSet<String>,
    /// In all files.
    stored: usize,
    parameters: Cell<usize>,
    progress: LoadProgress<'a>,
}

impl<'a> Weights<'a> {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// A file that is missing or cut short, or an index that names no file.
    pub fn open(folder: &ModelFolder, progress: LoadProgress<'a>) -> Result<Self, LoadError> {
        let shards = weight_files(folder)?;
        for shard in &shards {
            check_shard(folder, shard)?;
        }
        let paths: Vec<_> = shards.iter().map(|shard| folder.file(shard)).collect();
        // SAFETY: the mapping is read-only and dropped at the end of loading; only a file that another program
        // shortens in these seconds could break it, which every reader of mapped weights accepts.
        let files = unsafe { MmapedSafetensors::multi(&paths) }.map_err(LoadError::Tensor)?;
        let tensors = files.tensors();
        let stored = tensors.iter().map(|(_, view)| view.shape().iter().product::<usize>()).sum();
        let names = tensors.into_iter().map(|(name, _)| name).collect();
        Ok(Self { files, names, stored, parameters: Cell::new(0), progress })
    }

    /// Number of parameters taken so far.
    pub fn parameters(&self) -> usize {
        self.parameters.get()
    }

    pub fn text(&self) -> Section<'_> {
        self.section(&TEXT_PREFIXES, "embed_tokens.weight")
    }

    pub fn vision(&self) -> Section<'_> {
        self.section(&VISION_PREFIXES, "patch_embed.proj.weight")
    }

    pub fn head(&self) -> Section<'_> {
        self.section(&HEAD_NAMES, "weight")
    }

    /// The first prefix under which `probe` exists; the newest when none does, so that the error names it.
    fn section(&self, prefixes: &[&str], probe: &str) -> Section<'_> {
        let known = prefixes.iter().find(|prefix| self.names.contains(&format!("{prefix}.{probe}")));
        Section { weights: self, prefix: known.unwrap_or(&prefixes[0]).to_string() }
    }

    fn take(&self, name: &str, shape: Shape) -> Result<Tensor, LoadError> {
        if !self.names.contains(name) {
            return Err(LoadError::MissingTensor { name: name.to_owned() });
        }
        let view = self.files.get(name)?;
        let stored = DType::try_from(view.dtype()).ok();
        if !matches!(stored, Some(DType::F32 | DType::BF16 | DType::F16)) {
            return Err(LoadError::Quantised { found: format!("{name} is {:?}", view.dtype()) });
        }
        if view.shape() != shape.dims() {
            return Err(LoadError::TensorShape {
                name: name.to_owned(),
                found: view.shape().to_vec(),
                expected: shape.dims().to_vec(),
            });
        }
        let tensor = view.load(&Device::Cpu)?.to_dtype(DType::F32)?;
        self.parameters.set(self.parameters.get() + shape.elem_count());
        (self.progress)(self.parameters.get() as f64 / self.stored.max(1) as f64);
        Ok(tensor)
    }
}

/// The tensors below one prefix.
pub struct Section<'a> {
    weights: &'a Weights<'a>,
    prefix: String,
}

impl Section<'_> {
    /// The tensors one level further down.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Section { weights: self.weights, prefix: format!("{}.{name}", self.prefix) }
    }

    /// One tensor, which must have this shape.
    pub fn get(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor, LoadError> {
        self.weights.take(&format!("{}.{name}", self.prefix), shape.into())
    }
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

/// Opens one shard alone, so that damage is reported with its file name.
fn check_shard(folder: &ModelFolder, shard: &str) -> Result<(), LoadError> {
    if !folder.has(shard) {
        return Err(LoadError::MissingFile { file: shard.to_owned() });
    }
    // SAFETY: as in `Weights::open`; the mapping is dropped at once.
    unsafe { MmapedSafetensors::new(folder.file(shard)) }
        .map(drop)
        .map_err(|error| LoadError::Weights { file: shard.to_owned(), reason: error.to_string() })
}
