//! The tensors of a checkpoint, by Hugging Face's names, converted as they are taken.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Shape, Tensor};

use super::super::Dtype;
use super::config::Qwen3VlConfig;
use super::error::LoadError;
use super::folder::ModelFolder;
use super::kernels::{Kernels, Matrices};
use super::packed::{PackedMatrix, Panels};
use super::quantised_cache::{QuantisedFile, QuantisedWeights};
use super::shard::{Part, Shard, StoredTensor};
use super::table::Table;
use super::tensor_names::{
    self, HEAD_NAMES, HEAD_PROBE, TEXT_PREFIXES, TEXT_PROBE, VISION_PREFIXES, VISION_PROBE,
};

mod numbers;

pub(super) use numbers::Numbers;

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
    /// Whether the head is the embedding table.
    tied: bool,
    parameters: Cell<usize>,
    dtype: Dtype,
    kernels: Kernels,
    quantised: Quantised,
    progress: LoadProgress<'a>,
}

/// Quantised weights come from disk, or go there.
enum Quantised {
    No,
    Mapped(QuantisedFile),
    /// Every matrix so far.
    Collected(QuantisedWeights, RefCell<Vec<(String, Arc<Panels>)>>),
}

impl<'a> Weights<'a> {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names, or the GGUF files. `dtype` tells,
    /// from the number of parameters and what most of them are stored as, what matrices are held as.
    ///
    /// # Errors
    /// What is missing, cut short, or would be left out.
    pub(super) fn open(
        folder: &ModelFolder,
        config: &Qwen3VlConfig,
        dtype: impl FnOnce(u64, GgmlDType) -> Result<Dtype, LoadError>,
        kernels: Kernels,
        progress: LoadProgress<'a>,
    ) -> Result<Self, LoadError> {
        let shards = Shard::all(folder)?;
        let tied = tensor_names::check(&shards, config)?;
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
            tied,
            parameters: Cell::new(0),
            dtype: dtype(stored, most)?,
            kernels,
            quantised: Quantised::No,
            progress,
        })
    }

    /// Takes quantised weights from this folder, or has [`Weights::keep_quantised`] write them there.
    pub fn use_quantised(&mut self, folder: &Path, fingerprint: &str) {
        if self.kernels.matrices() == Matrices::Packed && self.dtype != Dtype::F32 {
            let place = QuantisedWeights::new(folder, fingerprint, self.dtype);
            self.quantised = match place.open() {
                Some(file) => Quantised::Mapped(file),
                None => Quantised::Collected(place, RefCell::default()),
            };
        }
    }

    /// Once all matrices have been taken.
    pub fn keep_quantised(self) {
        if let Quantised::Collected(place, matrices) = self.quantised {
            place.keep(&matrices.into_inner());
        }
    }

    /// Number of parameters taken so far.
    pub fn parameters(&self) -> usize {
        self.parameters.get()
    }
    /// Whether the head is the embedding table.
    pub fn tied(&self) -> bool {
        self.tied
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
        self.section(&TEXT_PREFIXES, TEXT_PROBE)
    }

    pub fn vision(&self) -> Section<'_> {
        self.section(&VISION_PREFIXES, VISION_PROBE)
    }

    pub fn head(&self) -> Section<'_> {
        self.section(&HEAD_NAMES, HEAD_PROBE)
    }

    fn section(&self, prefixes: &[&'static str], probe: &str) -> Section<'_> {
        let prefix = tensor_names::prefix(prefixes, probe, |name| self.places.contains_key(name));
        Section { weights: self, prefix: prefix.to_owned() }
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
        if let Quantised::Mapped(file) = &self.weights.quantised
            && let Some(panels) = file.matrix(&name, self.weights.dtype, outputs, inputs)
        {
            self.weights.count(outputs * inputs);
            return Ok(PackedMatrix::new(outputs, inputs, panels));
        }
        let matrix = PackedMatrix::pack(self.weights.dtype, outputs, inputs, PIECE, |rows| {
            stored.numbers(rows.start * inputs, rows.len() * inputs)
        })?;
        if let Quantised::Collected(_, matrices) = &self.weights.quantised {
            matrices.borrow_mut().push((name, matrix.panels().clone()));
        }
        Ok(matrix)
    }
}
