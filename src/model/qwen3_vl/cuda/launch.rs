//! Tensors as the kernels see them: an address, and what is behind it.

use candle_core::cuda_backend::CudaStorageSlice as Slice;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::{DType, Error, Result, Shape, Storage, Tensor, bail};

use super::Cuda;

/// Threads of a kernel that has one thread for four columns.
const THREADS: usize = 128;
/// Columns of a thread in such kernels.
pub const COLUMNS: usize = 4;

/// An address on the card.
pub type Address = u64;

impl Cuda {
    /// Not written yet.
    pub fn empty(&self, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        // SAFETY: whoever asks for it has a kernel write all of it before anyone reads.
        unsafe { Tensor::empty(shape, dtype, &self.device) }
    }

    /// Of the first number of a contiguous tensor.
    pub fn address(&self, tensor: &Tensor) -> Result<Address> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("a tensor is not on the card") };
        if !layout.is_contiguous() {
            bail!("a kernel needs a contiguous tensor, not {layout:?}");
        }
        let stream = &self.stream;
        let first = match &storage.slice {
            Slice::F32(of) => of.device_ptr(stream).0,
            Slice::BF16(of) => of.device_ptr(stream).0,
            Slice::F16(of) => of.device_ptr(stream).0,
            Slice::U32(of) => of.device_ptr(stream).0,
            Slice::F64(of) => of.device_ptr(stream).0,
            Slice::I64(of) => of.device_ptr(stream).0,
            Slice::U8(of) => of.device_ptr(stream).0,
            _ => bail!("no kernel takes {:?}", tensor.dtype()),
        };
        Ok(first + (layout.start_offset() * tensor.dtype().size_in_bytes()) as u64)
    }

    pub fn address_of_some(&self, tensor: Option<&Tensor>) -> Result<Address> {
        tensor.map_or(Ok(0), |tensor| self.address(tensor))
    }

    /// Runs a kernel whose only argument is a structure.
    pub fn launch<T: candle_core::cuda_backend::cudarc::driver::DeviceRepr>(
        &self,
        function: &CudaFunction,
        config: LaunchConfig,
        argument: &T,
    ) -> Result<()> {
        let mut launch = self.stream.launch_builder(function);
        launch.arg(argument);
        // SAFETY: the structure is laid out as the kernel's, and its addresses are of tensors that live until the launch;
        // what is freed behind it is taken again on the same stream only.
        unsafe { launch.launch(config) }.map_err(Error::wrap)?;
        Ok(())
    }

    /// Runs a kernel of one thread for four columns on (rows, width): three addresses at most, then the width.
    pub fn on_columns(
        &self,
        function: &CudaFunction,
        addresses: &[Address],
        (rows, width): (usize, usize),
    ) -> Result<()> {
        check_width(width)?;
        if rows == 0 {
            return Ok(());
        }
        let mut launch = self.stream.launch_builder(function);
        for address in addresses {
            launch.arg(address);
        }
        let columns = width as i32;
        launch.arg(&columns);
        let blocks = (width / COLUMNS).div_ceil(THREADS) as u32;
        let config = LaunchConfig {
            grid_dim: (rows as u32, blocks, 1),
            block_dim: (THREADS as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: as in `launch`; all tensors are (rows, width), or rows of that width.
        unsafe { launch.launch(config) }.map_err(Error::wrap)?;
        Ok(())
    }
}

/// Kernels read four numbers at once.
pub fn check_width(width: usize) -> Result<()> {
    if width == 0 || !width.is_multiple_of(COLUMNS) {
        bail!("rows of {width} numbers: a multiple of {COLUMNS} is needed on the card");
    }
    Ok(())
}
