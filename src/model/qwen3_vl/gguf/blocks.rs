//! Blocks of quantised numbers, by candle's arithmetic.

use std::borrow::Cow;

use candle_core::Result;
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;

/// Blocks that are worked on together: few enough to stay in a core's cache.
const AT_ONCE: usize = 64;

/// The numbers of whole blocks, in f32, on all cores.
///
/// # Errors
/// None with the types that are read here; candle's own.
pub fn dequantised(dtype: GgmlDType, bytes: &[u8]) -> Result<Vec<f32>> {
    let (size, numbers) = (dtype.type_size(), dtype.block_size());
    let blocks = bytes.len() / size;
    let mut values = vec![0.0; blocks * numbers];
    values
        .par_chunks_mut(AT_ONCE * numbers)
        .zip(bytes[..blocks * size].par_chunks(AT_ONCE * size))
        .try_for_each(|(values, bytes)| some(dtype, bytes, values))?;
    Ok(values)
}

fn some(dtype: GgmlDType, bytes: &[u8], values: &mut [f32]) -> Result<()> {
    // candle panics on blocks that begin where no 16-bit number may; all blocks have an even size.
    let mut aligned = vec![0u16; bytes.len().div_ceil(2)];
    let aligned = &mut bytemuck::cast_slice_mut(&mut aligned)[..bytes.len()];
    aligned.copy_from_slice(bytes);
    let blocks = dtype.from_data(Cow::Borrowed(aligned));
    values.copy_from_slice(blocks.dequantize(values.len())?.as_slice::<f32>()?);
    Ok(())
}
