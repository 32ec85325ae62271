//! The vision tower: one pair of frames in, visual tokens and DeepStack features out.
//!
//! Source: transformers 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`, `Qwen3VLVisionModel`. Its attention never
//! leaves a temporal pair, so a pair is encoded once and for all when it arrives.

use candle_core::{Result, Tensor};

use super::config::{Activation, CHANNELS, FRAMES_PER_PAIR, VisionConfig};
use super::error::LoadError;
use super::kernels::Kernels;
use super::layers::{Linear, Norm, RotaryTable, inverse_frequencies};
use super::pixels::Pixels;
use super::weights::Section;

pub use super::pixels::PatchGrid;

/// What depends on the grid alone: interpolated positions (patches, hidden) and rotary angles.
#[derive(Clone)]
pub struct GridTables {
    positions: Tensor,
    rotary: RotaryTable,
}

/// A pair of frames as the language model takes it.
#[derive(Clone)]
pub struct VisionFeatures {
    /// (visual tokens, text hidden): stand at the `<|video_pad|>` rows.
    pub embeddings: Tensor,
    /// One (visual tokens, text hidden) per tapped block: added behind the first text layers.
    pub deepstack: Vec<Tensor>,
}

pub struct VisionTower {
    patch_embedding: Linear,
    /// (side², hidden)
    position_table: Tensor,
    table_side: usize,
    blocks: Vec<Block>,
    merger: Merger,
    /// (block index, merger) in the order of the text layers that take the features.
    deepstack: Vec<(usize, Merger)>,
    inverse_frequencies: Vec<f32>,
    kernels: Kernels,
}

impl VisionTower {
    /// `text_hidden` is the width of the language model, which the mergers write.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape than `config` says.
    pub fn load(
        weights: &Section,
        config: &VisionConfig,
        text_hidden: usize,
    ) -> std::result::Result<Self, LoadError> {
        let hidden = config.hidden_size;
        let side = config.patch_size;
        let projection = weights.at("patch_embed.proj");
        // A convolution whose stride is its kernel is a product with the flattened patch.
        let kernel = [hidden, CHANNELS, FRAMES_PER_PAIR, side, side];
        let patch_embedding = Linear::of_shape(&projection, &kernel, true)?;
        let table_side = config.position_table_side;
        let mut deepstack = Vec::new();
        for (index, &block) in config.deepstack_layers.iter().enumerate() {
            let section = weights.at("deepstack_merger_list").at(index);
            deepstack.push((block, Merger::load(&section, config, text_hidden, NormOrder::AfterMerge)?));
        }
        Ok(Self {
            patch_embedding,
            position_table: weights.at("pos_embed").get("weight", (table_side * table_side, hidden))?,
            table_side,
            blocks: (0..config.depth)
                .map(|index| Block::load(&weights.at("blocks").at(index), config))
                .collect::<std::result::Result<_, _>>()?,
            merger: Merger::load(&weights.at("merger"), config, text_hidden, NormOrder::BeforeMerge)?,
            deepstack,
            inverse_frequencies: inverse_frequencies(config.rope_theta, hidden / config.heads / 2),
            kernels: weights.kernels().clone(),
        })
    }

    /// The tables of one frame size, made once per episode.
    ///
    /// # Errors
    /// Only when memory cannot be had.
    pub fn grid_tables(&self, grid: &PatchGrid) -> Result<GridTables> {
        let mut angles = Vec::with_capacity(grid.patches() * 2 * self.inverse_frequencies.len());
        for (row, column) in grid.merge_block_order() {
            for coordinate in [row, column] {
                angles.extend(self.inverse_frequencies.iter().map(|frequency| coordinate as f32 * frequency));
            }
        }
        Ok(GridTables {
            positions: self.interpolate_positions(grid)?,
            rotary: RotaryTable::from_angles(&angles, grid.patches(), self.kernels.device())?,
        })
    }

    /// The learned position table, stretched over the grid bilinearly with its corners on the grid's corners.
    fn interpolate_positions(&self, grid: &PatchGrid) -> Result<Tensor> {
        let (rows, columns) = (stretch(self.table_side, grid.rows), stretch(self.table_side, grid.columns));
        let count = grid.patches();
        let mut corners: [(Vec<u32>, Vec<f32>); 4] = Default::default();
        for (row, column) in grid.merge_block_order() {
            let (y, x) = (&rows[row], &columns[column]);
            let cells = [
                (y.low, x.low, (1.0 - y.fraction) * (1.0 - x.fraction)),
                (y.low, x.high, (1.0 - y.fraction) * x.fraction),
                (y.high, x.low, y.fraction * (1.0 - x.fraction)),
                (y.high, x.high, y.fraction * x.fraction),
            ];
            for ((indices, weights), (table_row, table_column, weight)) in corners.iter_mut().zip(cells) {
                indices.push((table_row * self.table_side + table_column) as u32);
                weights.push(weight);
            }
        }
        let [first, others @ ..] = corners.map(|(indices, weights)| -> Result<Tensor> {
            let device = self.kernels.device();
            let rows = self.position_table.index_select(&Tensor::from_vec(indices, count, device)?, 0)?;
            rows.broadcast_mul(&Tensor::from_vec(weights, (count, 1), device)?)
        });
        others.into_iter().try_fold(first?, |sum, other| sum + other?)
    }

    /// What [`VisionTower::encode`] takes, cut where it is encoded.
    pub(super) fn patches(&self, pixels: &Pixels) -> Result<Tensor> {
        self.kernels.patches(pixels)
    }

    /// Encodes one pair: `patches` is (patches, channels · 2 · patch²) in merge-block order, normalised.
    ///
    /// # Errors
    /// Only when `patches` or `tables` are of another grid, or memory cannot be had.
    pub fn encode(&self, patches: &Tensor, tables: &GridTables) -> Result<VisionFeatures> {
        let kernels = &self.kernels;
        let mut hidden = kernels.embed_patches(&self.patch_embedding, patches, &tables.positions)?;
        let mut deepstack: Vec<Option<Tensor>> = vec![None; self.deepstack.len()];
        let mut normed = match self.blocks.first() {
            Some(block) => Some(kernels.norm(&block.attention_norm, &hidden)?),
            None => None,
        };
        for (index, block) in self.blocks.iter().enumerate() {
            let next = self.blocks.get(index + 1).map(|block| &block.attention_norm);
            if let Some(this) = normed.take() {
                (hidden, normed) = block.forward(hidden, &this, &tables.rotary, next, kernels)?;
            }
            for (slot, (tapped, merger)) in deepstack.iter_mut().zip(&self.deepstack) {
                if *tapped == index {
                    *slot = Some(merger.forward(&hidden, kernels)?);
                }
            }
        }
        Ok(VisionFeatures {
            embeddings: self.merger.forward(&hidden, kernels)?,
            deepstack: deepstack.into_iter().flatten().collect(),
        })
    }
}

/// Where one grid coordinate falls in the position table.
struct TablePlace {
    low: usize,
    high: usize,
    fraction: f32,
}

fn stretch(table_side: usize, grid_side: usize) -> Vec<TablePlace> {
    let last = table_side - 1;
    let step = if grid_side > 1 { last as f32 / (grid_side - 1) as f32 } else { 0.0 };
    (0..grid_side)
        .map(|index| {
            // Counted from the nearer end, so that the far corner is met exactly.
            let from_end = grid_side - 1 - index;
            let place =
                if index <= from_end { index as f32 * step } else { last as f32 - from_end as f32 * step };
            let low = (place as usize).min(last);
            TablePlace { low, high: (low + 1).min(last), fraction: place - low as f32 }
        })
        .collect()
}

struct Block {
    attention_norm: Norm,
    query_key_value: Linear,
    projection: Linear,
    mlp_norm: Norm,
    up: Linear,
    down: Linear,
    activation: Activation,
    heads: usize,
}

impl Block {
    fn load(weights: &Section, config: &VisionConfig) -> std::result::Result<Self, LoadError> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            attention_norm: Norm::mean_and_variance(&weights.at("norm1"), hidden)?,
            query_key_value: Linear::load(&weights.at("attn.qkv"), hidden, 3 * hidden, true)?,
            projection: Linear::load(&weights.at("attn.proj"), hidden, hidden, true)?,
            mlp_norm: Norm::mean_and_variance(&weights.at("norm2"), hidden)?,
            up: Linear::load(&weights.at("mlp.linear_fc1"), hidden, wide, true)?,
            down: Linear::load(&weights.at("mlp.linear_fc2"), wide, hidden, true)?,
            activation: config.activation,
            heads: config.heads,
        })
    }

    /// `normed` is `hidden` behind this block's first norm; so is what comes back behind the next block's, if there is one.
    fn forward(
        &self,
        hidden: Tensor,
        normed: &Tensor,
        rotary: &RotaryTable,
        next: Option<&Norm>,
        kernels: &Kernels,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let attended = kernels.attend_patches(&self.query_key_value, self.heads, normed, rotary)?;
        let (hidden, normed) =
            kernels.add_product_and_norm(hidden, &self.projection, &attended, &self.mlp_norm)?;
        let wide = kernels.activated(&self.up, self.activation, &normed)?;
        match next {
            Some(norm) => {
                let (hidden, normed) = kernels.add_product_and_norm(hidden, &self.down, &wide, norm)?;
                Ok((hidden, Some(normed)))
            }
            None => Ok((kernels.add_product(hidden, &self.down, &wide)?, None)),
        }
    }
}

/// Whether a merger normalises single patches or whole merge blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NormOrder {
    BeforeMerge,
    AfterMerge,
}

/// Joins a merge block's patches into one visual token.
struct Merger {
    norm: Norm,
    order: NormOrder,
    merged_width: usize,
    up: Linear,
    down: Linear,
}

impl Merger {
    fn load(
        weights: &Section,
        config: &VisionConfig,
        text_hidden: usize,
        order: NormOrder,
    ) -> std::result::Result<Self, LoadError> {
        let merged_width = config.hidden_size * config.merge_size * config.merge_size;
        let norm_width = if order == NormOrder::AfterMerge { merged_width } else { config.hidden_size };
        Ok(Self {
            norm: Norm::mean_and_variance(&weights.at("norm"), norm_width)?,
            order,
            merged_width,
            up: Linear::load(&weights.at("linear_fc1"), merged_width, merged_width, true)?,
            down: Linear::load(&weights.at("linear_fc2"), merged_width, text_hidden, true)?,
        })
    }

    fn forward(&self, hidden: &Tensor, kernels: &Kernels) -> Result<Tensor> {
        let (patches, width) = hidden.dims2()?;
        let merged = (patches * width / self.merged_width, self.merged_width);
        let normed = match self.order {
            NormOrder::BeforeMerge => kernels.norm(&self.norm, hidden)?.reshape(merged)?,
            NormOrder::AfterMerge => kernels.norm(&self.norm, &hidden.reshape(merged)?)?,
        };
        let wide = kernels.activated(&self.up, Activation::GeluErf, &normed)?;
        kernels.product(&self.down, &wide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_table_is_stretched_corner_to_corner() {
        let places: Vec<_> = stretch(4, 7).iter().map(|p| (p.low, p.high, p.fraction)).collect();
        let expected =
            [(0, 1, 0.0), (0, 1, 0.5), (1, 2, 0.0), (1, 2, 0.5), (2, 3, 0.0), (2, 3, 0.5), (3, 3, 0.0)];
        assert_eq!(places, expected);
        assert_eq!(stretch(8, 1).iter().map(|p| (p.low, p.fraction)).collect::<Vec<_>>(), [(0, 0.0)]);
    }
}
