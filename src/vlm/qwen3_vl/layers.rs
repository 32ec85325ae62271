//! The building blocks both towers share.

use candle_core::{D, Result, Tensor};

use super::error::LoadError;
use super::ops;
use super::weights::Section;

/// `y = x · Wᵀ + b`.
pub(super) struct Linear {
    /// (out, in) as stored: multiplying by the transposed view is faster for few rows than a transposed copy.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub fn load(
        section: &Section,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> std::result::Result<Self, LoadError> {
        let weight = section.get("weight", (outputs, inputs))?;
        let bias = if bias { Some(section.get("bias", outputs)?) } else { None };
        Ok(Self { weight, bias })
    }

    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// (rows, in) → (rows, out).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        if let Some(bias) = &self.bias {
            ops::add_bias_in_place(&y, bias)?;
        }
        Ok(y)
    }
}

/// Root-mean-square norm over the last dimension.
pub(super) struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    pub fn load(section: &Section, size: usize, eps: f64) -> std::result::Result<Self, LoadError> {
        Ok(Self { weight: section.get("weight", size)?, eps: eps as f32 })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(x, &self.weight, self.eps)
    }
}

/// Mean-and-variance norm over the last dimension.
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    const EPS: f32 = 1e-6;

    pub fn load(section: &Section, size: usize) -> std::result::Result<Self, LoadError> {
        Ok(Self { weight: section.get("weight", size)?, bias: section.get("bias", size)? })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(x, &self.weight, &self.bias, Self::EPS)
    }
}

/// Rotary angles as cosines and sines, (tokens, head_dim / 2) each.
#[derive(Clone)]
pub(super) struct RotaryTable {
    pub cos: Tensor,
    pub sin: Tensor,
}

impl RotaryTable {
    /// From the angles in radians, row by row.
    pub fn from_angles(angles: &[f32], tokens: usize) -> Result<Self> {
        let shape = (tokens, angles.len() / tokens.max(1));
        let table = |function: fn(f32) -> f32| {
            Tensor::from_vec(
                angles.iter().map(|&a| function(a)).collect::<Vec<_>>(),
                shape,
                &candle_core::Device::Cpu,
            )
        };
        Ok(Self { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }

    /// The table of the last token alone.
    pub fn last(&self) -> Result<Self> {
        let tokens = self.cos.dim(0)?;
        Ok(Self { cos: self.cos.narrow(0, tokens - 1, 1)?, sin: self.sin.narrow(0, tokens - 1, 1)? })
    }

    /// Rotates `x`, (heads, tokens, head_dim) and contiguous; the halves of a head are the pairs' parts.
    pub fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope(&x.unsqueeze(0)?, &self.cos, &self.sin)?.squeeze(0)
    }
}

/// Inverse frequencies `theta^(−2i / dim)` for `i < dim / 2`.
pub(super) fn inverse_frequencies(theta: f64, dim: usize) -> Vec<f32> {
    (0..dim / 2).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / dim as f32)).collect()
}

/// Most attention scores computed at once (64 MiB): longer episodes are attended to in blocks of query rows.
const SCORES_AT_ONCE: usize = 1 << 24;

/// Scaled dot-product attention in which `group` query heads share one key-value head, without copying keys.
///
/// `query` is (key-value heads · group, rows, head_dim) and contiguous, `keys` and `values` are
/// (key-value heads, total, head_dim).
/// With `causal` the query rows are the last of `total` tokens and see nothing behind themselves.
/// Returns (rows, heads · head_dim).
pub(super) fn attention(query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
    attention_in_blocks(query, keys, values, causal, SCORES_AT_ONCE)
}

fn attention_in_blocks(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    causal: bool,
    scores_at_once: usize,
) -> Result<Tensor> {
    let (heads, rows, _) = query.dims3()?;
    let total = keys.dim(1)?;
    let rows_at_once = (scores_at_once / (heads * total).max(1)).clamp(1, rows.max(1));
    if rows_at_once == rows {
        return attention_block(query, keys, values, causal);
    }
    let mut blocks = Vec::new();
    for start in (0..rows).step_by(rows_at_once) {
        let count = rows_at_once.min(rows - start);
        let seen = if causal { total - rows + start + count } else { total };
        let (keys, values) = (keys.narrow(1, 0, seen)?, values.narrow(1, 0, seen)?);
        blocks.push(attention_block(&query.narrow(1, start, count)?, &keys, &values, causal)?);
    }
    Tensor::cat(&blocks, 0)
}

fn attention_block(query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
    let (heads, rows, head_dim) = query.dims3()?;
    let key_value_heads = keys.dim(0)?;
    let group = heads / key_value_heads;
    // The query heads of one key-value head are stacked along the rows.
    let stacked = query.reshape((key_value_heads, group * rows, head_dim))?;
    let scores = stacked.matmul(&keys.t()?)?;
    let scale = 1.0 / (head_dim as f32).sqrt();
    ops::softmax_in_place(&scores, scale, causal.then_some(rows))?;
    let mixed = scores.matmul(values)?;
    mixed.reshape((heads, rows, head_dim))?.transpose(0, 1)?.flatten_from(D::Minus2)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn random(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn attention_in_blocks_equals_attention_at_once() {
        let (query, keys, values) = (random((4, 6, 8)), random((2, 9, 8)), random((2, 9, 8)));
        for causal in [true, false] {
            let whole = attention(&query, &keys, &values, causal).unwrap();
            // 4 heads · 9 keys · 4 rows: blocks of 4 and 2 rows.
            let parts = attention_in_blocks(&query, &keys, &values, causal, 4 * 9 * 4).unwrap();
            let difference = (whole - parts).unwrap().abs().unwrap();
            assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
        }
    }
}
