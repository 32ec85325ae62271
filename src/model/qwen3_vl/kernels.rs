//! What a model is computed with: the same operations on every device, each in its own way.
//!
//! `stepwise.rs` has them one after the other, on the processor by kernels of our own and elsewhere by candle's; `cuda` has
//! them for NVIDIA's cards, few and large.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use super::super::{DeviceChoice, Dtype, DtypeChoice};
use super::cache::{Growth, KvCache};
use super::config::Activation;
use super::error::LoadError;
use super::layers::{Linear, Norm, RotaryTable, Side, TextHeads};
use super::pixels::Pixels;
use super::weights::Stored;
use crate::reward::log_softmax_at;

mod stepwise;

use stepwise::Stepwise;
#[cfg(test)]
pub(super) use stepwise::plain_attention;

/// The operations of one device. Layers are written against these and nothing else; what an operation takes by value it
/// may write to. What is called hidden, and all that comes of [`Operations::product`], is f32; between them a device
/// computes in numbers of its own.
pub(super) trait Operations: Send + Sync {
    fn device(&self) -> &Device;

    /// How matrices are to be laid out.
    fn matrices(&self) -> Matrices;

    /// What weights are held as, for a model of so many parameters whose matrices are stored as `stored`.
    ///
    /// # Errors
    /// A choice that this device does not compute with.
    fn dtype(&self, choice: DtypeChoice, parameters: u64, stored: GgmlDType) -> Result<Dtype, LoadError>;

    /// What keys and values are kept as beside such weights, and by which share the room for them grows.
    fn cache(&self, weights: Dtype) -> (DType, Growth);

    /// `x · Wᵀ + b`: (rows, in) → (rows, out).
    fn product(&self, linear: &Linear, x: &Tensor) -> candle_core::Result<Tensor>;

    /// `hidden + x · Wᵀ + b`.
    fn add_product(&self, hidden: Tensor, linear: &Linear, x: &Tensor) -> candle_core::Result<Tensor>;

    fn norm(&self, norm: &Norm, x: &Tensor) -> candle_core::Result<Tensor>;

    /// [`Operations::add_product`], and the norm of it.
    fn add_product_and_norm(
        &self,
        hidden: Tensor,
        linear: &Linear,
        x: &Tensor,
        norm: &Norm,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let hidden = self.add_product(hidden, linear, x)?;
        let normed = self.norm(norm, &hidden)?;
        Ok((hidden, normed))
    }

    /// `activation(x · Wᵀ + b)`.
    fn activated(&self, linear: &Linear, activation: Activation, x: &Tensor) -> candle_core::Result<Tensor>;

    /// `silu(x · gateᵀ) · (x · upᵀ)`, `both` being the gate and up.
    fn gated(&self, both: &Side, x: &Tensor) -> candle_core::Result<Tensor>;

    /// The rows' keys and values go behind the cached ones of this layer; then those rows that are wanted look at all of
    /// them: (wanted rows, heads · head_dim), or nothing.
    fn attend(
        &self,
        heads: &TextHeads,
        normed: &Tensor,
        rotary: &RotaryTable,
        cache: (&mut KvCache, usize),
        wanted: Wanted,
    ) -> candle_core::Result<Option<Tensor>>;

    /// All patches look at all patches: (patches, hidden).
    fn attend_patches(
        &self,
        query_key_value: &Linear,
        heads: usize,
        normed: &Tensor,
        rotary: &RotaryTable,
    ) -> candle_core::Result<Tensor>;

    /// Rows of a table, (ids, width), on the device.
    fn embed(&self, table: &Linear, ids: &[u32]) -> candle_core::Result<Tensor>;

    /// See [`Pixels::cut`], on the device or on the way there.
    fn patches(&self, pixels: &Pixels) -> candle_core::Result<Tensor> {
        pixels.cut()
    }

    /// `patches · Wᵀ + b + positions`.
    fn embed_patches(
        &self,
        linear: &Linear,
        patches: &Tensor,
        positions: &Tensor,
    ) -> candle_core::Result<Tensor>;

    /// Adds `y` to the rows of `x` from `first` on, in place.
    fn add_to_rows(&self, x: &Tensor, first: usize, y: &Tensor) -> candle_core::Result<()>;

    /// `log softmax(logits)` at some tokens, in nats; `None` where that is NaN. `logits` is (1, vocabulary).
    fn log_probs(&self, logits: &Tensor, tokens: [u32; 2]) -> candle_core::Result<[Option<f64>; 2]> {
        let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        Ok(tokens.map(|token| log_softmax_at(&logits, token as usize)))
    }

    /// The linear map of these stretches of weights, one below the other; only where [`Matrices::Joined`] says so.
    ///
    /// # Errors
    /// A file that cannot be read, or no memory.
    fn load(&self, stored: &[Stored], bias: Option<Tensor>) -> Result<Linear, LoadError> {
        let _ = (stored, bias);
        Err(candle_core::Error::Msg("this device has matrices of its own making".to_owned()).into())
    }

    /// Told once all matrices are there.
    ///
    /// # Errors
    /// One of them did not arrive.
    fn loaded(&self) -> Result<(), LoadError> {
        Ok(())
    }

    /// Bytes that are free, where that is to be looked at before a model is loaded.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Whether the first step of a fresh model takes longer than the second, so that loading is to end with one.
    fn warms_up(&self) -> bool {
        false
    }
}

/// How the matrices of a device are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matrices {
    /// For products of our own on the processor.
    Packed,
    /// As candle has them.
    Plain,
    /// What is multiplied with the same rows stands in one matrix.
    Joined,
}

/// Which rows of a chunk are of use behind a layer's keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    LastRow,
    All,
}

/// The operations of the device that was chosen.
pub(super) type Kernels = Arc<dyn Operations>;

/// With `plain` candle's operations on the processor too.
///
/// # Errors
/// A device that this program was not built for, or that is not there.
pub(super) fn open(choice: DeviceChoice, plain: bool) -> Result<Kernels, LoadError> {
    match choice {
        DeviceChoice::Cpu => Ok(Arc::new(Stepwise::new(Device::Cpu, choice, plain))),
        DeviceChoice::Cuda => open_cuda(),
        DeviceChoice::Metal => {
            let device = Device::new_metal(0).map_err(|source| {
                if cfg!(feature = "metal") {
                    LoadError::Device { device: choice, reason: source.to_string() }
                } else {
                    LoadError::NotBuiltFor { device: choice }
                }
            })?;
            Ok(Arc::new(Stepwise::new(device, choice, true)))
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<Kernels, LoadError> {
    Ok(Arc::new(super::cuda::Cuda::open()?))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<Kernels, LoadError> {
    Err(LoadError::NotBuiltFor { device: DeviceChoice::Cuda })
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
            let error = open(device, false).err().unwrap().to_string();
            assert!(error.contains(&format!("--features {device}")), "{error}");
        }
    }
}
