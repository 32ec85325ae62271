//! What computes between the matrix products, and where: our own kernels on the processor, candle's operations elsewhere.

use std::ops::Range;

use candle_core::{D, Device, Result, Tensor};

use super::super::DeviceChoice;
use super::config::Activation;
use super::error::LoadError;
use super::{attention, ops};

/// Which operations a model is computed with. All tensors are f32 and on [`Kernels::device`]; what an operation takes by
/// value it may write to.
#[derive(Clone)]
pub(super) struct Kernels {
    device: Device,
    plain: bool,
}

impl Kernels {
    /// With `plain` candle's operations on the processor too.
    ///
    /// # Errors
    /// A device that this program was not built for, or that is not there.
    pub fn open(choice: DeviceChoice, plain: bool) -> std::result::Result<Self, LoadError> {
        let device = match choice {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Cuda => Device::new_cuda(0),
            DeviceChoice::Metal => Device::new_metal(0),
        };
        let device = device.map_err(|source| {
            let built = cfg!(feature = "cuda") && choice == DeviceChoice::Cuda
                || cfg!(feature = "metal") && choice == DeviceChoice::Metal;
            if built {
                LoadError::Device { device: choice, source }
            } else {
                LoadError::NotBuiltFor { device: choice }
            }
        })?;
        Ok(Self { plain: plain || !device.is_cpu(), device })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether matrices are packed for products of our own.
    pub fn packs(&self) -> bool {
        !self.plain
    }

    /// `x + y`, both of one shape.
    pub fn add(&self, x: Tensor, y: &Tensor) -> Result<Tensor> {
        if self.plain {
            return x + y;
        }
        ops::add_in_place(&x, y)?;
        Ok(x)
    }

    /// Adds `y` to the rows of `x` from `first` on, in place.
    pub fn add_to_rows(&self, x: &Tensor, first: usize, y: &Tensor) -> Result<()> {
        let rows = x.narrow(0, first, y.dim(0)?)?;
        if self.plain {
            return x.slice_set(&(rows + y)?, 0, first);
        }
        ops::add_in_place(&rows, y)
    }

    /// `silu(gate) · up`.
    pub fn swiglu(&self, gate: Tensor, up: &Tensor) -> Result<Tensor> {
        if self.plain {
            return gate.silu()? * up;
        }
        ops::swiglu_in_place(&gate, up)?;
        Ok(gate)
    }

    pub fn activate(&self, activation: Activation, x: Tensor) -> Result<Tensor> {
        match (activation, self.plain) {
            (Activation::GeluTanh, true) => return x.gelu(),
            (Activation::GeluErf, true) => return x.gelu_erf(),
            (Activation::GeluTanh, false) => ops::gelu_tanh_in_place(&x)?,
            (Activation::GeluErf, false) => ops::gelu_erf_in_place(&x)?,
        }
        Ok(x)
    }

    /// The heads that stand side by side in some columns of `x`, (rows, width): (heads, rows, head_dim).
    pub fn heads(&self, x: &Tensor, columns: Range<usize>, head_dim: usize) -> Result<Tensor> {
        if self.plain {
            let (rows, heads) = (x.dim(0)?, columns.len() / head_dim);
            let part = x.narrow(1, columns.start, columns.len())?;
            return part.reshape((rows, heads, head_dim))?.transpose(0, 1)?.contiguous();
        }
        ops::heads(x, columns, head_dim)
    }

    /// See [`attention::attention`].
    pub fn attention(&self, query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
        if self.plain {
            return plain_attention(query, keys, values, causal);
        }
        attention::attention(query, keys, values, causal)
    }
}

/// [`attention::attention`] by candle's own operations: one product for all heads that share keys, and a mask.
pub(super) fn plain_attention(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    causal: bool,
) -> Result<Tensor> {
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

    #[test]
    fn a_device_that_the_program_was_not_built_for_is_named() {
        for device in [DeviceChoice::Cuda, DeviceChoice::Metal] {
            if cfg!(any(feature = "cuda", feature = "metal")) {
                continue;
            }
            let error = Kernels::open(device, false).err().unwrap().to_string();
            assert!(error.contains(&format!("--features {device}")), "{error}");
        }
    }

    /// The same numbers from both kinds of kernels.
    #[test]
    fn plain_operations_equal_our_own() {
        let [own, plain] = [false, true].map(|plain| Kernels::open(DeviceChoice::Cpu, plain).unwrap());
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
