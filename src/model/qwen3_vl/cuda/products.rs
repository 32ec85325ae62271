//! Matrix products: cuBLAS for numbers, candle's kernels for blocks.

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cublas::result::gemm_ex;
use candle_core::cuda_backend::cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType,
};
use candle_core::{DType, Error, Result, Tensor, bail};

use super::super::layers::Linear;
use super::Cuda;

impl Cuda {
    /// `x · Wᵀ` without a bias, (rows, out), in this type.
    pub fn times(&self, linear: &Linear, x: &Tensor, dtype: DType) -> Result<Tensor> {
        match linear {
            Linear::Plain { weights, .. } => {
                let out = self.empty((x.dim(0)?, weights.dim(0)?), dtype)?;
                self.multiply(weights, x, &out, false)?;
                Ok(out)
            }
            // What comes out is of the type of what goes in.
            Linear::Quantised { weights, .. } => x.to_dtype(dtype)?.apply_op1_no_bwd(weights.as_ref()),
            Linear::Packed { .. } | Linear::Table(_) => bail!("this matrix is for the processor"),
        }
    }

    /// `hidden += x · Wᵀ` without a bias, hidden being f32; where that is not possible at once, what is to be added.
    pub fn accumulate(&self, linear: &Linear, x: &Tensor, hidden: &Tensor) -> Result<Option<Tensor>> {
        match linear {
            Linear::Plain { weights, .. } => {
                self.multiply(weights, x, hidden, true)?;
                Ok(None)
            }
            _ => Ok(Some(self.times(linear, x, DType::F32)?)),
        }
    }

    /// `out = x · weightsᵀ`, or `out +=` it: weights (out, in) and x (rows, in) of one type, out (rows, out) of that or f32.
    /// The sums are f32; of f32 numbers without shortened products.
    fn multiply(&self, weights: &Tensor, x: &Tensor, out: &Tensor, add: bool) -> Result<()> {
        let ((outputs, inputs), (rows, width)) = (weights.dims2()?, x.dims2()?);
        if width != inputs || out.dims() != [rows, outputs] || x.dtype() != weights.dtype() {
            bail!("{:?} {:?} times {:?} {:?}", x.dtype(), x.dims(), weights.dtype(), weights.dims());
        }
        if rows == 0 {
            return Ok(());
        }
        let (factor, kept) = (1f32, if add { 1f32 } else { 0f32 });
        let (weights_type, out_type) = (data_type(weights.dtype())?, data_type(out.dtype())?);
        self.stream.context().bind_to_thread().map_err(Error::wrap)?;
        // SAFETY: the sizes were compared with the tensors'. For the library, whose matrices go down columns, rows of ours are
        // columns: it computes outᵀ = weights · xᵀ.
        unsafe {
            gemm_ex(
                *self.blas.handle(),
                cublasOperation_t::CUBLAS_OP_T,
                cublasOperation_t::CUBLAS_OP_N,
                outputs as i32,
                rows as i32,
                inputs as i32,
                (&raw const factor).cast(),
                self.address(weights)? as *const c_void,
                weights_type,
                inputs as i32,
                self.address(x)? as *const c_void,
                weights_type,
                inputs as i32,
                (&raw const kept).cast(),
                self.address(out)? as *mut c_void,
                out_type,
                outputs as i32,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(Error::wrap)
    }
}

fn data_type(dtype: DType) -> Result<cudaDataType> {
    match dtype {
        DType::F32 => Ok(cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(cudaDataType::CUDA_R_16BF),
        DType::F16 => Ok(cudaDataType::CUDA_R_16F),
        other => bail!("no products of {other:?}"),
    }
}
