//! A pair of frames cut into patches: which pixel stands where, and what its byte becomes.

use ::image::RgbImage;
use candle_core::{Device, Result, Tensor};

use super::config::{CHANNELS, FRAMES_PER_PAIR};

/// A frame's size in patches; both sides are multiples of the merge size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchGrid {
    pub rows: usize,
    pub columns: usize,
    /// Patches per side of one visual token.
    pub merge_size: usize,
}

impl PatchGrid {
    pub fn patches(&self) -> usize {
        self.rows * self.columns
    }

    /// Visual tokens as (rows, columns).
    pub fn token_grid(&self) -> (usize, usize) {
        (self.rows / self.merge_size, self.columns / self.merge_size)
    }

    /// Visual tokens of one pair of frames.
    pub fn tokens(&self) -> usize {
        let (rows, columns) = self.token_grid();
        rows * columns
    }

    /// (row, column) of every patch in the order of the model: one merge block after the other.
    pub fn merge_block_order(&self) -> impl Iterator<Item = (usize, usize)> {
        let merge = self.merge_size;
        let (block_rows, block_columns) = self.token_grid();
        (0..block_rows * block_columns * merge * merge).map(move |index| {
            let (block, inner) = (index / (merge * merge), index % (merge * merge));
            let row = block / block_columns * merge + inner / merge;
            (row, block % block_columns * merge + inner % merge)
        })
    }
}

/// Two frames of the grid's size, and how they are cut.
pub(super) struct Pixels<'a> {
    pub pair: [&'a RgbImage; FRAMES_PER_PAIR],
    pub grid: PatchGrid,
    /// Pixels of a patch's side.
    pub side: usize,
    /// The normalised value of every byte, for every channel.
    pub normalised: &'a [[f32; 256]; CHANNELS],
}

impl Pixels<'_> {
    /// How many numbers a patch has.
    pub fn numbers(&self) -> usize {
        CHANNELS * FRAMES_PER_PAIR * self.side * self.side
    }

    /// (patches, channels · 2 · patch²) in f32, on the processor: patches in merge-block order, each laid out as channel,
    /// frame, row, column.
    ///
    /// # Errors
    /// None with frames of the grid's size.
    pub fn cut(&self) -> Result<Tensor> {
        let (side, width) = (self.side, self.grid.columns * self.side);
        let mut values = Vec::with_capacity(self.grid.patches() * self.numbers());
        for (patch_row, patch_column) in self.grid.merge_block_order() {
            for (channel, normalised) in self.normalised.iter().enumerate() {
                for frame in self.pair {
                    for row in patch_row * side..(patch_row + 1) * side {
                        let start = (row * width + patch_column * side) * CHANNELS;
                        let pixels = &frame.as_raw()[start..start + side * CHANNELS];
                        let bytes = pixels.iter().skip(channel).step_by(CHANNELS);
                        values.extend(bytes.map(|&byte| normalised[usize::from(byte)]));
                    }
                }
            }
        }
        Tensor::from_vec(values, (self.grid.patches(), self.numbers()), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_blocks_come_one_after_the_other() {
        let grid = PatchGrid { rows: 2, columns: 4, merge_size: 2 };
        let order: Vec<_> = grid.merge_block_order().collect();
        assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
        assert_eq!((grid.tokens(), grid.token_grid(), grid.patches()), (2, (1, 2), 8));
    }
}
