//! The layers' operations by the card's kernels.

use std::sync::PoisonError;

use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Error, Result, Tensor, bail};

use super::super::super::{DeviceChoice, Dtype, DtypeChoice};
use super::super::cache::{Growth, KvCache};
use super::super::config::{Activation, CHANNELS};
use super::super::error::LoadError;
use super::super::kernels::{Matrices, Operations, Wanted};
use super::super::layers::{Linear, Norm, RotaryTable, Side, TextHeads};
use super::super::pixels::Pixels;
use super::super::weights::Stored;
use super::Cuda;
use super::attention::{Keys, Places, Room, Shape};
use super::launch::{Address, check_width};

/// Numbers of a row that one thread of the norms holds, and its most threads.
const HELD: usize = 8;
const MOST_THREADS: usize = 1024;
/// Blocks that share out the vocabulary.
const STRETCHES: usize = 64;
/// Threads that cut a patch.
const CUTTERS: u32 = 256;

/// `Pixels` of `pixels.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Frames {
    bytes: Address,
    out: Address,
    height: i32,
    width: i32,
    side: i32,
    merge: i32,
}

// SAFETY: numbers only, in the order and the sizes of the kernel's structure.
unsafe impl DeviceRepr for Frames {}

impl Cuda {
    /// What the rows are that a matrix is multiplied with.
    fn taken(&self, linear: &Linear) -> DType {
        match linear {
            Linear::Plain { weights, .. } => weights.dtype(),
            _ => self.sixteen_bits(),
        }
    }

    /// The results of all maps side by side without their biases, and those.
    fn beside(&self, side: &Side, x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        match side {
            Side::Joined(linear) => Ok((self.times(linear, x, x.dtype())?, bias(linear).cloned())),
            Side::Apart(each) => {
                let all =
                    each.iter().map(|linear| self.times(linear, x, x.dtype())).collect::<Result<Vec<_>>>()?;
                let biases: Vec<_> = each.iter().filter_map(bias).collect();
                let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
                Ok((Tensor::cat(&all, 1)?, bias))
            }
        }
    }

    /// `hidden += delta + bias` in place, each there or not; the norm of it, in this type.
    pub fn add_and_norm(
        &self,
        hidden: &Tensor,
        delta: Option<&Tensor>,
        bias: Option<&Tensor>,
        norm: &Norm,
        dtype: DType,
    ) -> Result<Tensor> {
        let (rows, width) = hidden.dims2()?;
        check_width(width)?;
        let threads = width.div_ceil(HELD).next_multiple_of(32);
        if threads > MOST_THREADS || rows == 0 || delta.is_some_and(|delta| delta.dtype() != DType::F32) {
            bail!("a norm over {rows} rows of {width} numbers");
        }
        let out = self.empty((rows, width), dtype)?;
        let functions = self.functions.of(out.dtype())?;
        let function = if norm.bias.is_some() { &functions.layer_norm } else { &functions.rms_norm };
        let (hidden, delta) = (self.address(hidden)?, self.address_of_some(delta)?);
        let (added, weight) = (self.address_of_some(bias)?, self.address(&norm.weight)?);
        let (offset, to) = (self.address_of_some(norm.bias.as_ref())?, self.address(&out)?);
        let columns = width as i32;
        let mut launch = self.stream.launch_builder(function);
        launch
            .arg(&hidden)
            .arg(&delta)
            .arg(&added)
            .arg(&weight)
            .arg(&offset)
            .arg(&to)
            .arg(&columns)
            .arg(&norm.eps);
        let config = LaunchConfig {
            grid_dim: (rows as u32, 1, 1),
            block_dim: (threads as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: all tensors are (rows, width) or (width), of the types that the kernel is named for.
        unsafe { launch.launch(config) }.map_err(Error::wrap)?;
        Ok(out)
    }

    /// `hidden += delta + bias` in place, each there or not.
    fn add_in_place(&self, hidden: &Tensor, delta: Option<&Tensor>, bias: Option<&Tensor>) -> Result<()> {
        if delta.is_none() && bias.is_none() {
            return Ok(());
        }
        if delta.is_some_and(|delta| delta.dtype() != DType::F32) {
            bail!("what is added to hidden rows is f32");
        }
        let addresses = [self.address(hidden)?, self.address_of_some(delta)?, self.address_of_some(bias)?];
        self.on_columns(&self.functions.add, &addresses, hidden.dims2()?)
    }

    /// Rows of a matrix on the card, in f32.
    fn look_up(&self, weights: &Tensor, ids: &[u32]) -> Result<Tensor> {
        let (rows, width) = weights.dims2()?;
        if let Some(outside) = ids.iter().find(|id| **id as usize >= rows) {
            bail!("token {outside} of a vocabulary of {rows}");
        }
        let (of, out) = (Tensor::new(ids, &self.device)?, self.empty((ids.len(), width), DType::F32)?);
        let addresses = [self.address(weights)?, self.address(&of)?, self.address(&out)?];
        self.on_columns(&self.functions.of(weights.dtype())?.embed, &addresses, (ids.len(), width))?;
        Ok(out)
    }

    /// `x`, rounded to what is computed with.
    fn rounded(&self, x: Tensor, dtype: DType) -> Result<Tensor> {
        if dtype == x.dtype() {
            return Ok(x);
        }
        let out = self.empty(x.shape(), dtype)?;
        let addresses = [self.address(&x)?, self.address(&out)?];
        self.on_columns(&self.functions.of(dtype)?.round, &addresses, x.dims2()?)?;
        Ok(out)
    }
}

/// Of the linear map, on the card.
fn bias(linear: &Linear) -> Option<&Tensor> {
    match linear {
        Linear::Plain { bias, .. } | Linear::Quantised { bias, .. } => bias.as_ref(),
        Linear::Packed { .. } | Linear::Table(_) => None,
    }
}

impl Operations for Cuda {
    fn device(&self) -> &Device {
        &self.device
    }

    fn matrices(&self) -> Matrices {
        Matrices::Joined
    }

    fn dtype(
        &self,
        choice: DtypeChoice,
        parameters: u64,
        stored: GgmlDType,
    ) -> std::result::Result<Dtype, LoadError> {
        let bits = 8 * stored.type_size() / stored.block_size();
        let dtype = match (choice, bits) {
            // Blocks are kept as they are stored.
            (DtypeChoice::Auto, 0..=5) => Dtype::Q4,
            (DtypeChoice::Auto, 6..=7) => Dtype::Q6,
            (DtypeChoice::Auto, 8..=9) => Dtype::Q8,
            (DtypeChoice::Auto, _) if self.has_bf16 => Dtype::Bf16,
            (DtypeChoice::Auto, _) => Dtype::F16,
            (choice, _) => choice.resolve(parameters),
        };
        if dtype == Dtype::Bf16 && !self.has_bf16 {
            let reason = "this card has no bf16: take model.dtype auto or f16".to_owned();
            return Err(LoadError::Device { device: DeviceChoice::Cuda, reason });
        }
        let between = match dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            _ => self.sixteen_bits(),
        };
        self.set_between(between);
        Ok(dtype)
    }

    fn cache(&self, _weights: Dtype) -> (DType, Growth) {
        (self.between(), Growth::Pages)
    }

    fn product(&self, linear: &Linear, x: &Tensor) -> Result<Tensor> {
        let out = self.times(linear, x, DType::F32)?;
        self.add_in_place(&out, None, bias(linear))?;
        Ok(out)
    }

    fn add_product(&self, hidden: Tensor, linear: &Linear, x: &Tensor) -> Result<Tensor> {
        let delta = self.accumulate(linear, x, &hidden)?;
        self.add_in_place(&hidden, delta.as_ref(), bias(linear))?;
        Ok(hidden)
    }

    fn norm(&self, norm: &Norm, x: &Tensor) -> Result<Tensor> {
        self.add_and_norm(x, None, None, norm, self.between())
    }

    fn add_product_and_norm(
        &self,
        hidden: Tensor,
        linear: &Linear,
        x: &Tensor,
        norm: &Norm,
    ) -> Result<(Tensor, Tensor)> {
        let delta = self.accumulate(linear, x, &hidden)?;
        let normed = self.add_and_norm(&hidden, delta.as_ref(), bias(linear), norm, self.between())?;
        Ok((hidden, normed))
    }

    fn activated(&self, linear: &Linear, activation: Activation, x: &Tensor) -> Result<Tensor> {
        let out = self.times(linear, x, x.dtype())?;
        let functions = self.functions.of(out.dtype())?;
        let function = match activation {
            Activation::GeluTanh => &functions.gelu_tanh,
            Activation::GeluErf => &functions.gelu_erf,
        };
        let addresses = [self.address(&out)?, self.address_of_some(bias(linear))?];
        self.on_columns(function, &addresses, out.dims2()?)?;
        Ok(out)
    }

    fn gated(&self, both: &Side, x: &Tensor) -> Result<Tensor> {
        let (both, _) = self.beside(both, x)?;
        let (rows, width) = (both.dim(0)?, both.dim(1)? / 2);
        let out = self.empty((rows, width), both.dtype())?;
        let addresses = [self.address(&both)?, self.address(&out)?];
        self.on_columns(&self.functions.of(both.dtype())?.swiglu, &addresses, (rows, width))?;
        Ok(out)
    }

    fn attend(
        &self,
        heads: &TextHeads,
        normed: &Tensor,
        rotary: &RotaryTable,
        (cache, layer): (&mut KvCache, usize),
        wanted: Wanted,
    ) -> Result<Option<Tensor>> {
        let rows = normed.dim(0)?;
        let (all, bias) = self.beside(&heads.query_key_value, normed)?;
        let committed = cache.len();
        let pages = cache.pages(rows, |page| self.address(page))?;
        let (shared, head_dim) = (heads.shared, heads.head_dim);
        let room = Room { pages, layer, dtype: cache.dtype(), shared, head_dim, committed };
        self.prepare_text(heads, &all, bias.as_ref(), rotary, &room)?;
        let first = match wanted {
            Wanted::Nothing => return Ok(None),
            Wanted::LastRow => rows - 1,
            Wanted::All => 0,
        };
        let width = all.dim(1)?;
        let shape = Shape {
            rows: rows - first,
            total: committed + rows,
            heads: heads.heads,
            shared: heads.shared,
            head_dim,
            causal: true,
        };
        let query =
            Places { first: self.address(&all.narrow(0, first, rows - first)?)?, row: width, head: head_dim };
        self.attention(&shape, query, self.keys(&room)?, all.dtype()).map(Some)
    }

    fn attend_patches(
        &self,
        query_key_value: &Linear,
        heads: usize,
        normed: &Tensor,
        rotary: &RotaryTable,
    ) -> Result<Tensor> {
        let all = self.times(query_key_value, normed, normed.dtype())?;
        self.prepare_patches(&all, heads, bias(query_key_value), rotary)?;
        let (rows, width) = all.dims2()?;
        let (hidden, head_dim) = (width / 3, width / 3 / heads);
        let of = |part: usize| -> Result<u64> {
            Ok(self.address(&all)? + (part * hidden * all.dtype().size_in_bytes()) as u64)
        };
        let shape = Shape { rows, total: rows, heads, shared: heads, head_dim, causal: false };
        let places = |first| Places { first, row: width, head: head_dim };
        let keys = Keys::beside_each_other(places(of(1)?), of(2)?);
        self.attention(&shape, places(of(0)?), keys, all.dtype())
    }

    fn embed(&self, table: &Linear, ids: &[u32]) -> Result<Tensor> {
        match table {
            Linear::Plain { weights, .. } => self.look_up(weights, ids),
            // Most tokens of a chunk are those that pictures stand in for: each is sent once.
            Linear::Table(table) => {
                let mut different = ids.to_vec();
                different.sort_unstable();
                different.dedup();
                let shape = (different.len(), table.width());
                let rows = Tensor::from_vec(table.rows(&different)?, shape, &self.device)?;
                let place = |id: &u32| different.binary_search(id).map_or(0, |place| place as u32);
                self.look_up(&rows, &ids.iter().map(place).collect::<Vec<_>>())
            }
            _ => table.rows(ids),
        }
    }

    /// The card is sent bytes, and what each of them becomes: a quarter of the numbers' size, and the processor cuts nothing.
    fn patches(&self, pixels: &Pixels) -> Result<Tensor> {
        let Pixels { pair, grid, side, normalised } = *pixels;
        let table = normalised.iter().flatten().flat_map(|value| value.to_ne_bytes());
        let frames = pair.iter().map(|frame| frame.as_raw().len()).sum::<usize>();
        let mut bytes: Vec<u8> = Vec::with_capacity(size_of_val(normalised) + frames);
        bytes.extend(table);
        pair.iter().for_each(|frame| bytes.extend_from_slice(frame.as_raw()));
        let count = bytes.len();
        let bytes = Tensor::from_vec(bytes, count, &self.device)?;
        let (height, width) = (grid.rows * side, grid.columns * side);
        if grid.patches() == 0 || count != size_of_val(normalised) + 2 * CHANNELS * height * width {
            bail!("{count} bytes of two frames of {width}x{height} pixels");
        }
        let out = self.empty((grid.patches(), pixels.numbers()), DType::F32)?;
        let argument = Frames {
            bytes: self.address(&bytes)?,
            out: self.address(&out)?,
            height: height as i32,
            width: width as i32,
            side: side as i32,
            merge: grid.merge_size as i32,
        };
        let config = LaunchConfig {
            grid_dim: (grid.patches() as u32, 1, 1),
            block_dim: (CUTTERS, 1, 1),
            shared_mem_bytes: 0,
        };
        self.launch(&self.functions.cut_patches, config, &argument)?;
        Ok(out)
    }

    fn embed_patches(&self, linear: &Linear, patches: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let patches = self.rounded(patches.to_device(&self.device)?, self.taken(linear))?;
        self.add_product(positions.copy()?, linear, &patches)
    }

    fn add_to_rows(&self, x: &Tensor, first: usize, y: &Tensor) -> Result<()> {
        self.add_in_place(&x.narrow(0, first, y.dim(0)?)?, Some(y), None)
    }

    fn log_probs(&self, logits: &Tensor, tokens: [u32; 2]) -> Result<[Option<f64>; 2]> {
        let count = logits.elem_count();
        if logits.dtype() != DType::F32 || tokens.iter().any(|token| *token as usize >= count) {
            bail!("tokens {tokens:?} of {count} logits in {:?}", logits.dtype());
        }
        let out = self.empty(2 * STRETCHES + tokens.len(), DType::F64)?;
        let (from, to) = (self.address(logits)?, self.address(&out)?);
        let (numbers, [one, other]) = (count as i32, tokens.map(|token| token as i32));
        let mut launch = self.stream.launch_builder(&self.functions.sum_of_exponentials);
        launch.arg(&from).arg(&numbers).arg(&to).arg(&one).arg(&other);
        let config =
            LaunchConfig { grid_dim: (STRETCHES as u32, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: there is room for two numbers of every block and for both logits, and both are there.
        unsafe { launch.launch(config) }.map_err(Error::wrap)?;
        let found: Vec<f64> = out.to_vec1()?;
        let (largest, rest) = found.split_at(STRETCHES);
        let (sums, chosen) = rest.split_at(STRETCHES);
        let most = largest.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = largest.iter().zip(sums).map(|(of, sum)| (of - most).exp() * sum).sum();
        let log_prob = |logit: f64| Some(logit - most - sum.ln()).filter(|number| number.is_finite());
        Ok([log_prob(chosen[0]), log_prob(chosen[1])])
    }

    fn load(&self, stored: &[Stored], bias: Option<Tensor>) -> std::result::Result<Linear, LoadError> {
        self.load_linear(stored, bias)
    }

    fn loaded(&self) -> std::result::Result<(), LoadError> {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.release().map_err(Error::wrap)?;
        self.give_back_memory().map_err(Error::wrap)?;
        Ok(())
    }

    fn free_memory(&self) -> Option<u64> {
        self.stream.context().mem_get_info().ok().map(|(free, _)| free as u64)
    }

    fn warms_up(&self) -> bool {
        true
    }
}
