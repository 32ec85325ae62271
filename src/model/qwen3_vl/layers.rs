//! The building blocks both towers share.

use candle_core::{Device, Result, Tensor};

use super::error::LoadError;
use super::packed::{PackedMatrix, Product};
use super::weights::Section;

/// `y = x · Wᵀ + b`.
pub(super) enum Linear {
    Packed {
        matrix: PackedMatrix,
        bias: Option<Vec<f32>>,
    },
    /// `weights` is (out, in).
    Plain {
        weights: Tensor,
        bias: Option<Tensor>,
    },
}

impl Linear {
    pub fn load(
        section: &Section,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> std::result::Result<Self, LoadError> {
        Self::of_shape(section, &[outputs, inputs], bias)
    }

    /// Of a weight whose first dimension are the outputs and whose others together are the inputs.
    pub fn of_shape(section: &Section, shape: &[usize], bias: bool) -> std::result::Result<Self, LoadError> {
        let bias = if bias { Some(section.get("bias", shape[0])?) } else { None };
        if section.kernels().packs() {
            let bias = bias.map(|bias| bias.to_vec1()).transpose()?;
            return Ok(Self::Packed { matrix: section.matrix(shape)?, bias });
        }
        let weights = section.get("weight", shape)?.flatten_from(1)?;
        Ok(Self::Plain { weights, bias })
    }

    /// (rows, in) → (rows, out).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Packed { matrix, bias } => x.apply_op1_no_bwd(&Product { matrix, bias: bias.as_deref() }),
            Self::Plain { weights, bias: None } => x.matmul(&weights.t()?),
            Self::Plain { weights, bias: Some(bias) } => x.matmul(&weights.t()?)?.broadcast_add(bias),
        }
    }

    /// Rows of the weights themselves, (ids, in): the embeddings where they are the head's.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        match self {
            Self::Packed { matrix, .. } => {
                let (values, width) = matrix.rows(ids)?;
                Tensor::from_vec(values, (ids.len(), width), &Device::Cpu)
            }
            Self::Plain { weights, .. } => weights.index_select(&Tensor::new(ids, weights.device())?, 0),
        }
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
    pub fn from_angles(angles: &[f32], tokens: usize, device: &Device) -> Result<Self> {
        let shape = (tokens, angles.len() / tokens.max(1));
        let table = |function: fn(f32) -> f32| {
            Tensor::from_vec(angles.iter().map(|&a| function(a)).collect::<Vec<_>>(), shape, device)
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
