//! NVIDIA's cards: the layers' operations, few and large.
//!
//! Matrix products are cuBLAS'; between them stand kernels of our own (`cuda/kernels`), which add, normalise, rotate and
//! write to where the next one reads. Attention keeps its scores on the chip. What is called hidden stays f32 from the first
//! layer to the last, products add to it without rounding; everything else is in the weights' type, in bf16 for weights in
//! blocks. Those are multiplied by candle's kernels.
//!
//! candle-flash-attn would do for attention, but its build takes CUTLASS from the network and an hour of compiling.

use std::sync::{Arc, Mutex, OnceLock};

use candle_core::cuda_backend::cudarc::cublas::CudaBlas;
use candle_core::cuda_backend::cudarc::cublas::sys as cublas;
use candle_core::cuda_backend::cudarc::driver::sys::{CUdevice_attribute as Attribute, CUlimit as Limit};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaStream, result};
use candle_core::{DType, Device};

use super::super::DeviceChoice;
use super::error::LoadError;

mod attention;
mod functions;
mod launch;
mod loading;
mod operations;
mod products;
#[cfg(test)]
mod tests;

use functions::Functions;
use loading::Staging;

/// Bytes of a thread's stack, which the driver sets aside for every thread that a card can have at once; a kernel that needs
/// more is given more. The driver's own choice is four times that.
const STACK: usize = 256;
/// Cards from here on have matrix units for bf16.
const BF16_FROM: (i32, i32) = (8, 0);

/// One card, with the kernels loaded.
pub(super) struct Cuda {
    device: Device,
    /// On which everything runs, from whatever thread it comes.
    stream: Arc<CudaStream>,
    blas: Arc<CudaBlas>,
    functions: Functions,
    /// The next matrix on its way to the card.
    staging: Mutex<Staging>,
    /// What is computed with between the products, once the weights' type is known.
    between: OnceLock<DType>,
    /// Matrix units for 16-bit numbers, and bf16 at all.
    has_bf16: bool,
    multiprocessors: usize,
}

impl Cuda {
    /// The first card.
    ///
    /// # Errors
    /// No driver, one that is too old, no card, or a card that this program was not compiled for.
    pub fn open() -> Result<Self, LoadError> {
        let failed = |reason: String| LoadError::Device { device: DeviceChoice::Cuda, reason };
        let device =
            Device::new_cuda_with_stream(0).map_err(|error| failed(explained(&error.to_string())))?;
        Self::on(device).map_err(|error| failed(explained(&error.to_string())))
    }

    fn on(device: Device) -> candle_core::Result<Self> {
        let card = device.as_cuda_device()?;
        // SAFETY: everything runs on the one stream of this device, in the order in which it was asked for.
        unsafe { card.disable_event_tracking() };
        let (stream, blas) = (card.cuda_stream(), card.cublas_handle());
        let context = stream.context();
        keep_freed_memory(context).map_err(candle_core::Error::wrap)?;
        let _ = result::ctx::set_limit(Limit::CU_LIMIT_STACK_SIZE, STACK);
        // SAFETY: the handle lives as long as `blas`.
        unsafe {
            let exact = cublas::cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
            cublas::cublasSetMathMode(*blas.handle(), exact).result().map_err(candle_core::Error::wrap)?;
        }
        let attribute = |which| context.attribute(which).map_err(candle_core::Error::wrap);
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        Ok(Self {
            functions: Functions::load(
                context,
                attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)? as usize,
            )?,
            staging: Mutex::new(Staging::default()),
            between: OnceLock::new(),
            has_bf16: capability >= BF16_FROM,
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
            stream,
            blas,
            device,
        })
    }

    /// Freed memory goes back to the driver, once.
    fn give_back_memory(&self) -> Result<(), result::DriverError> {
        self.stream.synchronize()?;
        let context = self.stream.context();
        if !context.has_async_alloc() {
            return Ok(());
        }
        // SAFETY: the pool is the card's own, and lives as long as the program.
        unsafe { result::mem_pool::trim_to(result::device::get_default_mem_pool(context.cu_device())?, 0) }
    }

    fn between(&self) -> DType {
        *self.between.get_or_init(|| self.sixteen_bits())
    }

    /// Told once per model, before anything is computed.
    fn set_between(&self, dtype: DType) {
        let _ = self.between.set(dtype);
    }

    /// The card's numbers of two bytes.
    fn sixteen_bits(&self) -> DType {
        if self.has_bf16 { DType::BF16 } else { DType::F16 }
    }
}

/// Freed memory stays with this program instead of going back to the driver at every wait: taking it again is then as good as
/// free.
fn keep_freed_memory(context: &CudaContext) -> Result<(), result::DriverError> {
    use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut most = u64::MAX;
    // SAFETY: the attribute is a u64, which is read before the call returns.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        result::mem_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut most).cast())
    }
}

/// What the driver says, and what to do about it.
fn explained(text: &str) -> String {
    let known = [
        ("CUDA_ERROR_NO_DEVICE", "there is no NVIDIA card, or it is not visible (CUDA_VISIBLE_DEVICES)"),
        ("CUDA_ERROR_INSUFFICIENT_DRIVER", "the NVIDIA driver is older than this program's CUDA: update it"),
        ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "the NVIDIA driver was updated: restart the machine"),
        (
            "CUDA_ERROR_STUB_LIBRARY",
            "a stand-in for the NVIDIA driver's library was found before the real one",
        ),
        (
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "this program was compiled for a newer card: build it with CUDA_COMPUTE_CAP of yours",
        ),
        (
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            "the NVIDIA driver is older than the compiler of this program: update it",
        ),
        ("CUDA_ERROR_OUT_OF_MEMORY", "its memory is full: free what other programs hold"),
    ];
    let found = known.iter().find(|(name, _)| text.contains(name));
    found.map_or_else(|| text.lines().next().unwrap_or(text).to_owned(), |(_, meaning)| (*meaning).to_owned())
}
