//! Multimodal rotary positions: which (time, height, width) position every token has, and its angles.
//!
//! Source: transformers 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`, `get_rope_index` and
//! `Qwen3VLTextRotaryEmbedding.apply_interleaved_mrope`.

use candle_core::{Device, Result};

use super::layers::{RotaryTable, inverse_frequencies};
use super::vision::{PatchGrid, VisionFeatures};

/// A run of tokens that enter the language model together, with their positions.
///
/// Text advances the position by one per token. A visual span stays at one position in time, spreads over height
/// and width, and advances the position by its longer side only.
pub struct TokenChunk<'a> {
    tokens: Vec<u32>,
    positions: Vec<[u32; 3]>,
    next_position: u32,
    visual: Vec<VisualSpan<'a>>,
}

/// Where in a chunk a pair's features stand.
pub struct VisualSpan<'a> {
    pub start: usize,
    pub features: &'a VisionFeatures,
}

impl<'a> TokenChunk<'a> {
    /// An empty chunk whose first token will have this position.
    pub fn starting_at(next_position: u32) -> Self {
        Self { tokens: Vec::new(), positions: Vec::new(), next_position, visual: Vec::new() }
    }

    pub fn push_text(&mut self, tokens: &[u32]) {
        for &token in tokens {
            self.tokens.push(token);
            self.positions.push([self.next_position; 3]);
            self.next_position += 1;
        }
    }

    /// One pair's visual tokens, `pad` being their token id.
    pub fn push_visual(&mut self, pad: u32, grid: &PatchGrid, features: &'a VisionFeatures) {
        let (rows, columns) = grid.token_grid();
        let start = self.tokens.len();
        for row in 0..rows as u32 {
            for column in 0..columns as u32 {
                let time = self.next_position;
                self.tokens.push(pad);
                self.positions.push([time, time + row, time + column]);
            }
        }
        self.next_position += rows.max(columns) as u32;
        self.visual.push(VisualSpan { start, features });
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// (time, height, width) of every token.
    pub fn positions(&self) -> &[[u32; 3]] {
        &self.positions
    }

    pub fn visual(&self) -> &[VisualSpan<'a>] {
        &self.visual
    }

    /// The position of the token that would come next.
    pub fn next_position(&self) -> u32 {
        self.next_position
    }
}

/// Turns positions into rotary angles.
pub struct MultimodalRope {
    inverse_frequencies: Vec<f32>,
    /// For every frequency: 0 = time, 1 = height, 2 = width.
    axes: Vec<usize>,
}

impl MultimodalRope {
    pub fn new(theta: f64, head_dim: usize, section: [usize; 3]) -> Self {
        Self { inverse_frequencies: inverse_frequencies(theta, head_dim), axes: interleaved_axes(section) }
    }

    /// Cosines and sines of these positions, on this device.
    ///
    /// # Errors
    /// Only when memory cannot be had.
    pub(super) fn table(&self, positions: &[[u32; 3]], device: &Device) -> Result<RotaryTable> {
        let mut angles = Vec::with_capacity(positions.len() * self.axes.len());
        for position in positions {
            let of_axis = self.axes.iter().zip(&self.inverse_frequencies);
            angles.extend(of_axis.map(|(&axis, frequency)| position[axis] as f32 * frequency));
        }
        RotaryTable::from_angles(&angles, positions.len(), device)
    }
}

/// Time, height, width, time, height, width, … until an axis has all its frequencies; what remains is time's.
fn interleaved_axes(section: [usize; 3]) -> Vec<usize> {
    let frequencies = section.iter().sum();
    (0..frequencies)
        .map(|index| {
            let axis = index % 3;
            if index < 3 * section[axis] { axis } else { 0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn features() -> VisionFeatures {
        let embeddings = Tensor::zeros((6, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        VisionFeatures { embeddings, deepstack: Vec::new() }
    }

    #[test]
    fn qwens_section_gives_24_20_20() {
        let axes = interleaved_axes([24, 20, 20]);
        assert_eq!(axes.len(), 64);
        assert_eq!(axes[..6], [0, 1, 2, 0, 1, 2]);
        assert_eq!(axes[57..], [0, 1, 2, 0, 0, 0, 0]);
        for (axis, count) in [(0, 24), (1, 20), (2, 20)] {
            assert_eq!(axes.iter().filter(|&&a| a == axis).count(), count);
        }
    }

    #[test]
    fn uneven_sections_fall_back_to_time() {
        assert_eq!(interleaved_axes([4, 2, 2]), [0, 1, 2, 0, 1, 2, 0, 0]);
        assert_eq!(interleaved_axes([4, 3, 1]), [0, 1, 2, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn a_visual_span_advances_by_its_longer_side() {
        let features = features();
        let mut chunk = TokenChunk::starting_at(10);
        chunk.push_text(&[7, 8]);
        chunk.push_visual(99, &PatchGrid { rows: 4, columns: 6, merge_size: 2 }, &features);
        chunk.push_text(&[9]);
        assert_eq!(chunk.tokens(), [7, 8, 99, 99, 99, 99, 99, 99, 9]);
        let expected = [
            [10, 10, 10],
            [11, 11, 11],
            [12, 12, 12],
            [12, 12, 13],
            [12, 12, 14],
            [12, 13, 12],
            [12, 13, 13],
            [12, 13, 14],
            [15, 15, 15],
        ];
        assert_eq!(chunk.positions(), expected);
        assert_eq!((chunk.next_position(), chunk.visual()[0].start), (16, 2));
    }

    #[test]
    fn angles_take_each_axis_own_position() {
        let rope = MultimodalRope::new(10_000.0, 16, [4, 2, 2]);
        let table = rope.table(&[[3, 5, 7]], &Device::Cpu).unwrap();
        let cos: Vec<f32> = table.cos.flatten_all().unwrap().to_vec1().unwrap();
        let expected: Vec<f64> = [3.0, 5.0, 7.0, 3.0, 5.0, 7.0, 3.0, 3.0f64]
            .iter()
            .enumerate()
            .map(|(i, position)| (position * 10_000f64.powf(-(i as f64) / 8.0)).cos())
            .collect();
        for (got, expected) in cos.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-6, "{got} {expected}");
        }
    }
}
