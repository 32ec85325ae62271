//! The tensors of a checkpoint, by Hugging Face's names, converted as they are taken.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Shape, Tensor};

use super::super::Dtype;
use super::error::LoadError;
use super::folder::ModelFolder;
use super::kernels::{Kernels, Matrices};
use super::packed::{PackedMatrix, Panels};
use super::quantised_cache::{RoundedFile, RoundedWeights};
use super::shard::{Part, Shard, StoredTensor};
use super::table::Table;

mod numbers;

pub(super) use numbers::Numbers;

/// Where the language model's tensors live, newest naming first.
const TEXT_PREFIXES: [&str; 4] = ["model.language_model", "language_model.model", "model", "language_model"];
const VISION_PREFIXES: [&str; 2] = ["model.visual", "visual"];
const HEAD_NAMES: [&str; 3] = ["lm_head", "language_model.lm_head", "model.lm_head"];
/// Numbers of a matrix that are converted at once: no large tensor is ever there twice.
const PIECE: usize = 1 << 22;

/// Told how much of a checkpoint is loaded, from 0 to 1.
pub type LoadProgress<'a> = &'a dyn Fn(f64);

/// The open weight files of one checkpoint.
pub struct Weights<'a> {
    shards: Vec<Shard>,
    /// Which shard has a tensor.
    places: HashMap<String, usize>,
    /// Numbers in all files.
    stored: u64,
    parameters: Cell<usize>,
    dtype: Dtype,
    kernels: Kernels,
    rounded: Rounded,
    progress: LoadProgress<'a>,
}

/// Whether rounded weights come from disk, or go there.
enum Rounded {
    No,
    Mapped(RoundedFile),
    /// Every matrix so far.
    Collected(RoundedWeights, RefCell<Vec<(String, Arc<Panels>)>>),
}

impl<'a> Weights<'a> {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names, or the GGUF files. `dtype` tells,
    /// from the number of parameters and what most of them are stored as, what matrices are held as.
    ///
    /// # Errors
    /// A file that is missing or cut short, an index that names no file, or GGUF files that are no whole model.
    pub(super) fn open(
        folder: &ModelFolder,
        dtype: impl FnOnce(u64, GgmlDType) -> Result<Dtype, LoadError>,
        kernels: Kernels,
        progress: LoadProgress<'a>,
    ) -> Result<Self, LoadError> {
        let shards = Shard::all(folder)?;
        let (mut places, mut stored) = (HashMap::new(), 0);
        let mut by_type: Vec<(GgmlDType, u64)> = Vec::new();
        for (index, shard) in shards.iter().enumerate() {
            for (name, tensor) in shard.tensors() {
                let numbers = tensor.numbers() as u64;
                stored += numbers;
                places.insert(name.clone(), index);
                let Some(of) = tensor.parts.first().and_then(|part| part.numbers) else { continue };
                match by_type.iter_mut().find(|(known, _)| *known == of) {
                    Some((_, count)) => *count += numbers,
                    None => by_type.push((of, numbers)),
                }
            }
        }
        let most = by_type.iter().max_by_key(|(_, count)| *count).map_or(GgmlDType::F32, |(of, _)| *of);
        Ok(Self {
            shards,
            places,
            stored,
            parameters: Cell::new(0),
            dtype: dtype(stored, most)?,
            kernels,
            rounded: Rounded::No,
            progress,
        })
    }

    /// Takes rounded weights from this folder, or has [`Weights::keep_rounded`] write them there.
    pub fn use_rounded(&mut self, folder: &Path, fingerprint: &str) {
        if self.kernels.matrices() == Matrices::Packed && self.dtype != Dtype::F32 {
            let place = RoundedWeights::new(folder, fingerprint, self.dtype);
            self.rounded = match place.open() {
                Some(file) => Rounded::Mapped(file),
                None => Rounded::Collected(place, RefCell::default()),
            };
        }
    }

    /// Once all matrices have been taken.
    pub fn keep_rounded(self) {
        if let Rounded::Collected(place, matrices) = self.rounded {
            place.keep(&matrices.into_inner());
        }
    }

    /// Number of parameters taken so far.
    pub fn parameters(&self) -> usize {
        self.parameters.get()
    }

    /// What matrices are held as.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// What computes with them, and where.
    pub(super) fn kernels(&self) -> &Kernels {
        &self.kernels
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
        let known = prefixes.iter().find(|prefix| self.places.contains_key(&format!("{prefix}.{probe}")));
        Section { weights: self, prefix: known.unwrap_or(&prefixes[0]).to_string() }
    }

    /// So many parameters more have been taken.
    fn count(&self, parameters: usize) {
        self.parameters.set(self.parameters.get() + parameters);
        (self.progress)(self.parameters.get() as f64 / self.stored.max(1) as f64);
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, LoadError> {
        let missing = || LoadError::MissingTensor { name: name.to_owned() };
        let shard = self.places.get(name).map(|&index| &self.shards[index]).ok_or_else(missing)?;
        let tensor = shard.tensors().get(name).ok_or_else(missing)?;
        if let Some(part) = tensor.parts.iter().find(|part| part.numbers.is_none()) {
            return Err(LoadError::Quantised { found: format!("{name} is {}", part.stored_as) });
        }
        if tensor.shape != shape {
            return Err(LoadError::TensorShape {
                name: name.to_owned(),
                found: tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        Ok(Stored { weights: self, shard, tensor })
    }
}

/// A tensor in its file.
pub(super) struct Stored<'a> {
    weights: &'a Weights<'a>,
    shard: &'a Shard,
    tensor: &'a StoredTensor,
}

/// What a matrix is held as on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldAs {
    Numbers(DType),
    /// Of llama.cpp.
    Blocks(GgmlDType),
}

impl HeldAs {
    /// What the matrices of a model are held as, where their shape allows it.
    fn wanted(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::Numbers(DType::F32),
            Dtype::Bf16 => Self::Numbers(DType::BF16),
            Dtype::F16 => Self::Numbers(DType::F16),
            Dtype::Q8 => Self::Blocks(GgmlDType::Q8_0),
            Dtype::Q6 => Self::Blocks(GgmlDType::Q6K),
            Dtype::Q4 => Self::Blocks(GgmlDType::Q4K),
        }
    }

    /// Blocks stay what they are stored as unless smaller ones are wanted. Rows that are not made of whole blocks are held in
    /// smaller ones, or as numbers.
    fn of(wanted: Self, stored: Option<GgmlDType>, inputs: usize) -> Self {
        let Self::Blocks(blocks) = wanted else { return wanted };
        let bits = |of: GgmlDType| 8 * of.type_size() / of.block_size();
        let whole = |of: &GgmlDType| inputs.is_multiple_of(of.block_size());
        let kept = stored.filter(|of| of.block_size() > 1 && bits(*of) <= bits(blocks));
        let held = kept.into_iter().chain([blocks, GgmlDType::Q8_0]).find(whole);
        held.map_or(Self::Numbers(DType::BF16), Self::Blocks)
    }
}

#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "other devices take their matrices as f32"))]
impl Stored<'_> {
    /// The first dimension.
    pub fn outputs(&self) -> usize {
        self.tensor.shape.first().copied().unwrap_or(1)
    }

    /// All other dimensions together.
    pub fn inputs(&self) -> usize {
        self.tensor.shape.iter().skip(1).product()
    }

    /// The bytes as they lie in the file, from the `first` on, where that is what they are to be held as. Tells whether so.
    pub fn copy(&self, held: HeldAs, first: usize, to: &mut [u8]) -> Result<bool, LoadError> {
        let [part] = self.tensor.parts.as_slice() else { return Ok(false) };
        let same = match (held, part.numbers) {
            (HeldAs::Numbers(DType::F32), Some(GgmlDType::F32))
            | (HeldAs::Numbers(DType::BF16), Some(GgmlDType::BF16))
            | (HeldAs::Numbers(DType::F16), Some(GgmlDType::F16)) => true,
            (HeldAs::Blocks(held), Some(stored)) => held == stored,
            _ => false,
        };
        if same {
            self.shard.read_into(part, first, to)?;
        }
        Ok(same)
    }

    /// Whole rows in f32, counted as taken.
    pub fn rows(&self, rows: Range<usize>) -> Result<Vec<f32>, LoadError> {
        self.numbers(rows.start * self.inputs(), rows.len() * self.inputs())
    }

    /// For threads of their own.
    pub fn in_file(&self) -> Numbers<'_> {
        Numbers { shard: self.shard, tensor: self.tensor }
    }

    /// Numbers that have been taken by [`Stored::copy`] or [`Stored::in_file`].
    pub fn count(&self, numbers: usize) {
        self.weights.count(numbers);
    }
}

impl Stored<'_> {
    /// All of it as it is stored, to look up rows in.
    pub fn table(&self) -> Result<Table, LoadError> {
        let (count, width) = (self.tensor.numbers(), self.tensor.shape.iter().skip(1).product());
        let [Part { numbers: Some(stored), .. }] = self.tensor.parts.as_slice() else {
            let bytes = self.all(count)?.into_iter().flat_map(f32::to_le_bytes).collect();
            return Ok(Table::new(bytes, GgmlDType::F32, width));
        };
        let bytes = self.shard.read(&self.tensor.parts[0], 0..self.tensor.parts[0].size())?;
        self.weights.count(count);
        Ok(Table::new(bytes, *stored, width))
    }

    /// What the matrix is to be held as.
    pub fn held_as(&self) -> HeldAs {
        let stored = match self.tensor.parts.as_slice() {
            [part] => part.numbers,
            _ => None,
        };
        HeldAs::of(HeldAs::wanted(self.weights.dtype), stored, self.tensor.shape.iter().skip(1).product())
    }

    /// All of the tensor's numbers, read in runs of whole rows.
    fn all(&self, count: usize) -> Result<Vec<f32>, LoadError> {
        let row = self.tensor.shape.iter().skip(1).product::<usize>().max(1);
        let at_once = (PIECE / row).max(1) * row;
        let mut numbers = Vec::with_capacity(count);
        for first in (0..count).step_by(at_once) {
            numbers.extend(self.numbers(first, at_once.min(count - first))?);
        }
        Ok(numbers)
    }

    /// Some of the tensor's numbers: whole rows, where it is made of blocks or parts.
    fn numbers(&self, first: usize, count: usize) -> Result<Vec<f32>, LoadError> {
        let numbers = self.in_file().some(first, count)?;
        self.weights.count(count);
        Ok(numbers)
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

    /// What computes with the tensors, and where.
    pub(super) fn kernels(&self) -> &Kernels {
        self.weights.kernels()
    }

    /// A tensor in its file, which must have this shape.
    pub(super) fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, LoadError> {
        self.weights.find(&format!("{}.{name}", self.prefix), shape)
    }

    /// What candle is to multiply with.
    pub(super) fn plain_dtype(&self) -> DType {
        match HeldAs::wanted(self.weights.dtype) {
            HeldAs::Numbers(dtype) => dtype,
            HeldAs::Blocks(_) => DType::F32,
        }
    }

    /// One tensor in f32, which must have this shape.
    pub fn get(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor, LoadError> {
        let shape = shape.into();
        let stored = self.weights.find(&format!("{}.{name}", self.prefix), shape.dims())?;
        let numbers = stored.all(shape.elem_count())?;
        Ok(Tensor::from_vec(numbers, shape, self.kernels().device())?)
    }

    /// The tensor `weight` packed for products. It must have this shape, the outputs first; all other dimensions
    /// together are the inputs.
    pub(super) fn matrix(&self, shape: &[usize]) -> Result<PackedMatrix, LoadError> {
        let name = format!("{}.weight", self.prefix);
        let stored = self.weights.find(&name, shape)?;
        let (outputs, inputs) = (shape[0], shape[1..].iter().product());
        if let Rounded::Mapped(file) = &self.weights.rounded
            && let Some(panels) = file.matrix(&name, self.weights.dtype, outputs, inputs)
        {
            self.weights.count(outputs * inputs);
            return Ok(PackedMatrix::new(outputs, inputs, panels));
        }
        let matrix = PackedMatrix::pack(self.weights.dtype, outputs, inputs, PIECE, |rows| {
            stored.numbers(rows.start * inputs, rows.len() * inputs)
        })?;
        if let Rounded::Collected(_, matrices) = &self.weights.rounded {
            matrices.borrow_mut().push((name, matrix.panels().clone()));
        }
        Ok(matrix)
    }
}
