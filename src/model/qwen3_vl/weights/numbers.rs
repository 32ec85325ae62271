//! The numbers of a tensor, read from its file and converted to f32.

use std::ops::Range;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use rayon::prelude::*;

use super::super::error::LoadError;
use super::super::gguf::dequantised;
use super::super::ops::vectorised;
use super::super::shard::{Part, Shard, StoredTensor};

/// A tensor in its file, of which nobody keeps count.
pub struct Numbers<'a> {
    pub(super) shard: &'a Shard,
    pub(super) tensor: &'a StoredTensor,
}

impl Numbers<'_> {
    /// Some of them: whole rows, where the tensor is made of blocks or parts.
    ///
    /// # Errors
    /// The file's own, or a range outside the tensor.
    pub fn some(&self, first: usize, count: usize) -> Result<Vec<f32>, LoadError> {
        let parts = &self.tensor.parts;
        let share = first / parts.len()..(first + count) / parts.len();
        let read = parts.iter().map(|part| self.part(part, share.clone())).collect::<Result<Vec<_>, _>>()?;
        Ok(match <[_; 1]>::try_from(read) {
            Ok([whole]) => whole,
            Err(parts) => in_turn(&parts, self.tensor.run),
        })
    }

    /// Some of one part's numbers: whole blocks.
    fn part(&self, part: &Part, numbers: Range<usize>) -> Result<Vec<f32>, LoadError> {
        let dtype = part.numbers.unwrap_or(GgmlDType::F32);
        let (block, size) = (dtype.block_size(), dtype.type_size());
        let bytes = self.shard.read(part, numbers.start / block * size..numbers.end / block * size)?;
        Ok(match dtype {
            GgmlDType::F32 => converted(&bytes, f32::from_le_bytes),
            GgmlDType::BF16 => converted(&bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            GgmlDType::F16 => converted(&bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            blocks => dequantised(blocks, &bytes)?,
        })
    }
}

/// `run` numbers of each part in turn.
fn in_turn(parts: &[Vec<f32>], run: usize) -> Vec<f32> {
    let mut runs: Vec<_> = parts.iter().map(|part| part.chunks(run.max(1))).collect();
    let mut numbers = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    while let Some(round) = runs.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
        round.into_iter().for_each(|run| numbers.extend_from_slice(run));
    }
    numbers
}

/// Little-endian numbers of `SIZE` bytes, on all cores.
fn converted<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f32 + Sync) -> Vec<f32> {
    const AT_ONCE: usize = 1 << 15;
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    let mut converted = vec![0.0; numbers.len()];
    converted.par_chunks_mut(AT_ONCE).zip(numbers.par_chunks(AT_ONCE)).for_each(|(converted, numbers)| {
        vectorised(
            #[inline(always)]
            || converted.iter_mut().zip(numbers).for_each(|(to, from)| *to = number(*from)),
        );
    });
    converted
}
