//! One operation after the other, in f32: our own kernels on the processor, candle's operations elsewhere.

use std::ops::Range;

use candle_core::quantized::GgmlDType;
use candle_core::{D, DType, Device, Result, Tensor};

use super::super::super::{DeviceChoice, Dtype, DtypeChoice};
use super::super::cache::{Growth, KvCache};
use super::super::config::Activation;
use super::super::error::LoadError;
use super::super::layers::{Linear, Norm, RotaryTable, Side, TextHeads};
use super::super::{attention, ops};
use super::{Matrices, Operations, Wanted};

pub struct Stepwise {
    device: Device,
    choice: DeviceChoice,
    /// By candle's operations alone, which are the yardstick for those of our own.
    plain: bool,
}

impl Stepwise {
    pub fn new(device: Device, choice: DeviceChoice, plain: bool) -> Self {
        Self { device, choice, plain }
    }

    /// `x + y`, both of one shape.
    fn add(&self, x: Tensor, y: &Tensor) -> Result<Tensor> {
        if self.plain {
            return x + y;
        }
        ops::add_in_place(&x, y)?;
        Ok(x)
    }

    /// The heads that stand side by side in some columns of `x`, (rows, width): (heads, rows, head_dim).
    fn heads(&self, x: &Tensor, columns: Range<usize>, head_dim: usize) -> Result<Tensor> {
        if self.plain {
            let (rows, heads) = (x.dim(0)?, columns.len() / head_dim);
            let part = x.narrow(1, columns.start, columns.len())?;
            return part.reshape((rows, heads, head_dim))?.transpose(0, 1)?.contiguous();
        }
        ops::heads(x, columns, head_dim)
    }

    fn projected(&self, linear: &Linear, normed: &Tensor, head_dim: usize) -> Result<Tensor> {
        let all = linear.forward(normed)?;
        self.heads(&all, 0..all.dim(1)?, head_dim)
    }

    /// See [`attention::attention`].
    fn attention(&self, query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
        if self.plain {
            return plain_attention(query, keys, values, causal);
        }
        attention::attention(query, keys, values, causal)
    }

    fn activate(&self, activation: Activation, x: Tensor) -> Result<Tensor> {
        match (activation, self.plain) {
            (Activation::GeluTanh, true) => return x.gelu(),
            (Activation::GeluErf, true) => return x.gelu_erf(),
            (Activation::GeluTanh, false) => ops::gelu_tanh_in_place(&x)?,
            (Activation::GeluErf, false) => ops::gelu_erf_in_place(&x)?,
        }
        Ok(x)
    }

    fn swiglu(&self, gate: Tensor, up: &Tensor) -> Result<Tensor> {
        if self.plain {
            return gate.silu()? * up;
        }
        ops::swiglu_in_place(&gate, up)?;
        Ok(gate)
    }
}

impl Operations for Stepwise {
    fn device(&self) -> &Device {
        &self.device
    }

    fn matrices(&self) -> Matrices {
        if self.plain { Matrices::Plain } else { Matrices::Packed }
    }

    /// Quantised weights need kernels that unfold them, 16-bit numbers operations that multiply them.
    fn dtype(
        &self,
        choice: DtypeChoice,
        parameters: u64,
        _stored: GgmlDType,
    ) -> std::result::Result<Dtype, LoadError> {
        let instead = if self.plain {
            "auto, f32, bf16 or f16"
        } else {
            "auto, f32, q8, q6 or q4 (bf16 and f16 are for GPUs)"
        };
        let wrong = |dtype| Err(LoadError::DtypeElsewhere { dtype, device: self.choice, instead });
        match (choice, self.plain) {
            (DtypeChoice::Auto, true) => Ok(Dtype::F32),
            (choice, plain) => match choice.resolve(parameters) {
                Dtype::F32 => Ok(Dtype::F32),
                halves @ (Dtype::Bf16 | Dtype::F16) if plain => Ok(halves),
                quantised @ (Dtype::Q8 | Dtype::Q6 | Dtype::Q4) if !plain => Ok(quantised),
                other => wrong(other),
            },
        }
    }

    /// Where weights are quantised already, the cache takes half the memory.
    fn cache(&self, weights: Dtype) -> (DType, Growth) {
        let dtype = match weights {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
            Dtype::F16 | Dtype::Q8 | Dtype::Q6 | Dtype::Q4 => DType::F16,
        };
        (dtype, Growth::Half)
    }

    fn product(&self, linear: &Linear, x: &Tensor) -> Result<Tensor> {
        linear.forward(x)
    }

    fn add_product(&self, hidden: Tensor, linear: &Linear, x: &Tensor) -> Result<Tensor> {
        self.add(hidden, &linear.forward(x)?)
    }

    fn norm(&self, norm: &Norm, x: &Tensor) -> Result<Tensor> {
        norm.forward(x)
    }

    fn activated(&self, linear: &Linear, activation: Activation, x: &Tensor) -> Result<Tensor> {
        self.activate(activation, linear.forward(x)?)
    }

    fn gated(&self, both: &Side, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = both.apart()?;
        self.swiglu(gate.forward(x)?, &up.forward(x)?)
    }

    fn attend(
        &self,
        heads: &TextHeads,
        normed: &Tensor,
        rotary: &RotaryTable,
        (cache, layer): (&mut KvCache, usize),
        wanted: Wanted,
    ) -> Result<Option<Tensor>> {
        let [query, key, value] = heads.query_key_value.apart()?;
        let keys =
            rotary.rotate(&heads.key_norm.forward(&self.projected(key, normed, heads.head_dim)?)?)?;
        let values = self.projected(value, normed, heads.head_dim)?;
        let (keys, values) = cache.write(layer, &keys, &values)?;
        let (normed, rotary) = match wanted {
            Wanted::Nothing => return Ok(None),
            Wanted::LastRow => (last_row(normed)?, rotary.last()?),
            Wanted::All => (normed.clone(), rotary.clone()),
        };
        let query = self.projected(query, &normed, heads.head_dim)?;
        let query = rotary.rotate(&heads.query_norm.forward(&query)?)?;
        let [keys, values] =
            [keys, values].map(|of| if self.plain { of.to_dtype(DType::F32) } else { Ok(of) });
        self.attention(&query, &keys?, &values?, true).map(Some)
    }

    fn attend_patches(
        &self,
        query_key_value: &Linear,
        heads: usize,
        normed: &Tensor,
        rotary: &RotaryTable,
    ) -> Result<Tensor> {
        let hidden = normed.dim(1)?;
        let all = query_key_value.forward(normed)?;
        let part = |index: usize| self.heads(&all, index * hidden..(index + 1) * hidden, hidden / heads);
        let (query, key) = (rotary.rotate(&part(0)?)?, rotary.rotate(&part(1)?)?);
        self.attention(&query, &key, &part(2)?, false)
    }

    fn embed(&self, table: &Linear, ids: &[u32]) -> Result<Tensor> {
        table.rows(ids)
    }

    fn embed_patches(&self, linear: &Linear, patches: &Tensor, positions: &Tensor) -> Result<Tensor> {
        self.add(linear.forward(&patches.to_device(&self.device)?)?, positions)
    }

    fn add_to_rows(&self, x: &Tensor, first: usize, y: &Tensor) -> Result<()> {
        let rows = x.narrow(0, first, y.dim(0)?)?;
        if self.plain {
            return x.slice_set(&(rows + y)?, 0, first);
        }
        ops::add_in_place(&rows, y)
    }
}

fn last_row(x: &Tensor) -> Result<Tensor> {
    let rows = x.dim(0)?;
    x.narrow(0, rows.saturating_sub(1), 1)
}

/// [`attention::attention`] by candle's own operations: one product for all heads that share keys, and a mask.
pub fn plain_attention(query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
    let ((heads, rows, head_dim), (shared, total, _)) = (query.dims3()?, keys.dims3()?);
    let (keys, values) = (keys.contiguous()?, values.contiguous()?);
    let grouped = query.reshape((shared, heads / shared * rows, head_dim))?;
    let scores = (grouped.matmul(&keys.t()?)? / (head_dim as f64).sqrt())?.reshape((heads, rows, total))?;
    let scores =
        if causal && rows > 1 { scores.broadcast_add(&mask(rows, total, query.device())?)? } else { scores };
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    let mixed = weights.reshape((shared, heads / shared * rows, total))?.matmul(&values)?;
    mixed.reshape((heads, rows, head_dim))?.transpose(0, 1)?.flatten_from(1)
}

/// (1, rows, total): 0 where the last `rows` of `total` tokens may look, −∞ behind themselves.
fn mask(rows: usize, total: usize, device: &Device) -> Result<Tensor> {
    let hidden = |at: usize| at % total > total - rows + at / total;
    let mask: Vec<f32> =
        (0..rows * total).map(|at| if hidden(at) { f32::NEG_INFINITY } else { 0.0 }).collect();
    Tensor::from_vec(mask, (1, rows, total), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers from both kinds of kernels.
    #[test]
    fn plain_operations_equal_our_own() {
        let [own, plain] = [false, true].map(|plain| Stepwise::new(Device::Cpu, DeviceChoice::Cpu, plain));
        let random = || Tensor::randn(0f32, 2.0, (5, 12), &Device::Cpu).unwrap();
        let (x, y, part) = (random(), random(), random().narrow(0, 0, 2).unwrap());
        let results = [&own, &plain].map(|kernels| {
            let copy = || x.copy().unwrap();
            let rows = copy();
            kernels.add_to_rows(&rows, 3, &part).unwrap();
            [
                rows,
                kernels.add(copy(), &y).unwrap(),
                kernels.swiglu(copy(), &y).unwrap(),
                kernels.activate(Activation::GeluTanh, copy()).unwrap(),
                kernels.activate(Activation::GeluErf, copy()).unwrap(),
            ]
        });
        let [own_heads, plain_heads] =
            [&own, &plain].map(|kernels| kernels.heads(&x, 2..10, 4).unwrap().to_vec3::<f32>().unwrap());
        assert_eq!(own_heads, plain_heads);
        assert_eq!((own_heads.len(), own_heads[1].len(), own_heads[1][0].len()), (2, 5, 4));
        assert!(own.heads(&x, 2..14, 4).is_err() && own.heads(&x, 2..9, 4).is_err());
        for (index, (own, plain)) in results[0].iter().zip(&results[1]).enumerate() {
            let off: f32 = (own - plain).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(off < 2e-6, "operation {index}: {off}");
        }
    }
}
