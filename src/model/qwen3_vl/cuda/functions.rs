//! The compiled kernels.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute_enum as Attribute;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaFunction, CudaModule};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::{DType, Error, Result, bail};

static KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// Head sizes of the attention on matrix units, which others are padded to.
pub const WIDTHS: [usize; 5] = [16, 32, 64, 80, 128];
/// Warps of a block of it: 16 query rows each.
pub const WARPS: [usize; 2] = [4, 8];
/// Of its tall form: the head size that others are padded to, warps, and tiles of query rows of a warp.
pub const TALL_WIDTH: usize = 128;
pub const TALL_WARPS: usize = 4;
pub const TALL_HIGH: usize = 2;
/// Blocks of the tall form that a multiprocessor is to have room for.
const TALL_AT_ONCE: usize = 2;
/// Bytes of shared memory that a block takes beside its own.
const RESERVED: usize = 1024;
/// Keys of one of its tiles, and query rows.
const KEYS: usize = 64;
const ROWS: usize = 16;

/// All kernels, by the type that they work in.
pub struct Functions {
    f32: OfType,
    bf16: OfType,
    f16: OfType,
    pub add: CudaFunction,
    pub sum_of_exponentials: CudaFunction,
    pub cut_patches: CudaFunction,
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
    /// The same for many rows and keys; where two blocks of it have room.
    pub tall: Option<CudaFunction>,
}

impl Functions {
    /// `shared_memory` is that of a multiprocessor, bytes.
    pub fn load(context: &Arc<CudaContext>, shared_memory: usize) -> Result<Self> {
        let module = context.load_module(Ptx::from_binary(KERNELS.to_vec())).map_err(Error::wrap)?;
        let tall = shared_memory >= TALL_AT_ONCE * (tall_shared_memory() + RESERVED);
        Ok(Self {
            f32: OfType::load(&module, "f32", false)?,
            bf16: OfType::load(&module, "bf16", tall)?,
            f16: OfType::load(&module, "f16", tall)?,
            add: function(&module, "add_f32")?,
            sum_of_exponentials: function(&module, "sum_of_exponentials_f32")?,
            cut_patches: function(&module, "cut_patches_f32")?,
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
    fn load(module: &Arc<CudaModule>, suffix: &str, has_tall: bool) -> Result<Self> {
        let of = |name: &str| function(module, &format!("{name}_{suffix}"));
        let mut tiles = HashMap::new();
        if suffix != "f32" {
            for (width, warps) in WIDTHS.into_iter().flat_map(|width| WARPS.map(|warps| (width, warps))) {
                let tile = function(module, &format!("attend_{suffix}_{width}_{warps}"))?;
                tiles.insert((width, warps), with_shared_memory(tile, shared_memory(width))?);
            }
        }
        let tall = if has_tall { Some(tall(module, suffix)?) } else { None };
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
            tall,
        })
    }

    /// Attention for heads of this size by so many warps, with so many tiles of query rows each; and the bytes of shared memory
    /// that it needs.
    pub fn tiles(&self, head_dim: usize, warps: usize, high: usize) -> Option<(&CudaFunction, usize)> {
        if high == TALL_HIGH {
            return Some((self.tall.as_ref()?, tall_shared_memory()));
        }
        let width = WIDTHS.into_iter().find(|width| *width >= head_dim)?;
        Some((self.tiles.get(&(width, warps))?, shared_memory(width)))
    }
}

fn with_shared_memory(function: CudaFunction, bytes: usize) -> Result<CudaFunction> {
    let most = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(most, bytes as i32).map_err(Error::wrap)?;
    Ok(function)
}

/// Two blocks have room only where a multiprocessor gives all it has, in percent, to shared memory.
fn tall(module: &Arc<CudaModule>, suffix: &str) -> Result<CudaFunction> {
    let function = function(module, &format!("attend_tall_{suffix}"))?;
    let share = Attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
    function.set_attribute(share, 100).map_err(Error::wrap)?;
    with_shared_memory(function, tall_shared_memory())
}

/// Two tiles each of keys and values, whose rows are a little longer than a head.
fn shared_memory(width: usize) -> usize {
    4 * KEYS * (width + 8) * 2
}

/// And all queries.
fn tall_shared_memory() -> usize {
    shared_memory(TALL_WIDTH) + TALL_WARPS * TALL_HIGH * ROWS * (TALL_WIDTH + 8) * 2
}

fn function(module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
    module.load_function(name).map_err(Error::wrap)
}
