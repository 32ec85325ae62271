//! The compiled kernels.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaFunction, CudaModule};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::{DType, Error, Result, bail};

static KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// Head sizes of the attention on matrix units, which others are padded to.
pub const WIDTHS: [usize; 5] = [16, 32, 64, 80, 128];
/// Warps of a block of it: 16 query rows each.
pub const WARPS: [usize; 2] = [4, 8];
/// Keys of one of its tiles.
const KEYS: usize = 64;

/// All kernels, by the type that they work in.
pub struct Functions {
    f32: OfType,
    bf16: OfType,
    f16: OfType,
    pub add: CudaFunction,
    pub sum_of_exponentials: CudaFunction,
}

/// The kernels of one type.
pub struct OfType {
    pub rms_norm: CudaFunction,
    pub layer_norm: CudaFunction,
    pub gelu_tanh: CudaFunction,
    pub gelu_erf: CudaFunction,
    pub swiglu: CudaFunction,
    pub embed: CudaFunction,
    pub round: CudaFunction,
    pub prepare_heads: CudaFunction,
    pub attend_simply: CudaFunction,
    pub join: CudaFunction,
    /// Attention on matrix units, by width and warps; for 16-bit types.
    tiles: HashMap<(usize, usize), CudaFunction>,
}

impl Functions {
    pub fn load(context: &Arc<CudaContext>) -> Result<Self> {
        let module = context.load_module(Ptx::from_binary(KERNELS.to_vec())).map_err(Error::wrap)?;
        Ok(Self {
            f32: OfType::load(&module, "f32")?,
            bf16: OfType::load(&module, "bf16")?,
            f16: OfType::load(&module, "f16")?,
            add: function(&module, "add_f32")?,
            sum_of_exponentials: function(&module, "sum_of_exponentials_f32")?,
        })
    }

    pub fn of(&self, dtype: DType) -> Result<&OfType> {
        match dtype {
            DType::F32 => Ok(&self.f32),
            DType::BF16 => Ok(&self.bf16),
            DType::F16 => Ok(&self.f16),
            other => bail!("no kernels for {other:?}"),
        }
    }
}

impl OfType {
    fn load(module: &Arc<CudaModule>, suffix: &str) -> Result<Self> {
        let of = |name: &str| function(module, &format!("{name}_{suffix}"));
        let mut tiles = HashMap::new();
        if suffix != "f32" {
            for (width, warps) in WIDTHS.into_iter().flat_map(|width| WARPS.map(|warps| (width, warps))) {
                let tile = function(module, &format!("attend_{suffix}_{width}_{warps}"))?;
                tile.set_attribute(
                    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    shared_memory(width) as i32,
                )
                .map_err(Error::wrap)?;
                tiles.insert((width, warps), tile);
            }
        }
        Ok(Self {
            rms_norm: of("rms_norm")?,
            layer_norm: of("layer_norm")?,
            gelu_tanh: of("gelu_tanh")?,
            gelu_erf: of("gelu_erf")?,
            swiglu: of("swiglu")?,
            embed: of("embed")?,
            round: of("round")?,
            prepare_heads: of("prepare_heads")?,
            attend_simply: of("attend_simply")?,
            join: of("join")?,
            tiles,
        })
    }

    /// Attention for heads of this size, with the bytes of shared memory that it needs.
    pub fn tiles(&self, head_dim: usize, warps: usize) -> Option<(&CudaFunction, usize)> {
        let width = WIDTHS.into_iter().find(|width| *width >= head_dim)?;
        Some((self.tiles.get(&(width, warps))?, shared_memory(width)))
    }
}

/// Two tiles each of keys and values, whose rows are a little longer than a head.
fn shared_memory(width: usize) -> usize {
    4 * KEYS * (width + 8) * 2
}

fn function(module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
    module.load_function(name).map_err(Error::wrap)
}
