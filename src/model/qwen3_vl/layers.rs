//! The building blocks both towers share.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Tensor, bail};

use super::error::LoadError;
use super::kernels::Matrices;
use super::packed::{PackedMatrix, Product};
use super::table::Table;
use super::weights::Section;

/// `y = x · Wᵀ + b`.
pub(super) enum Linear {
    Packed {
        matrix: PackedMatrix,
        bias: Option<Vec<f32>>,
    },
    /// `weights` is (out, in), of any type; `bias` is f32.
    Plain {
        weights: Tensor,
        bias: Option<Tensor>,
    },
    /// Blocks of llama.cpp's types, (out, in).
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "kernels for them are on a GPU"))]
    Quantised {
        weights: Arc<QTensor>,
        bias: Option<Tensor>,
    },
    /// Rows that are looked up alone.
    Table(Table),
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
        match section.kernels().matrices() {
            Matrices::Packed => {
                let bias = bias.map(|bias| bias.to_vec1()).transpose()?;
                Ok(Self::Packed { matrix: section.matrix(shape)?, bias })
            }
            Matrices::Plain => {
                let weights = section.get("weight", shape)?.flatten_from(1)?;
                Ok(Self::Plain { weights: weights.to_dtype(section.plain_dtype())?, bias })
            }
            Matrices::Joined => section.kernels().load(&[section.stored("weight", shape)?], bias),
        }
    }

    /// A table whose rows are looked up and never multiplied.
    pub fn table(section: &Section, rows: usize, width: usize) -> std::result::Result<Self, LoadError> {
        match section.kernels().matrices() {
            Matrices::Packed | Matrices::Plain => {
                Ok(Self::Plain { weights: section.get("weight", (rows, width))?, bias: None })
            }
            Matrices::Joined => Ok(Self::Table(section.stored("weight", &[rows, width])?.table()?)),
        }
    }

    /// (rows, in) → (rows, out), in f32.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Packed { matrix, bias } => x.apply_op1_no_bwd(&Product { matrix, bias: bias.as_deref() }),
            Self::Plain { weights, bias } => {
                let y = match weights.dtype() {
                    DType::F32 => x.matmul(&weights.t()?)?,
                    other => x.to_dtype(other)?.matmul(&weights.t()?)?.to_dtype(DType::F32)?,
                };
                if let Some(bias) = bias { y.broadcast_add(bias) } else { Ok(y) }
            }
            Self::Quantised { .. } | Self::Table(_) => {
                bail!("the processor multiplies with neither blocks nor tables")
            }
        }
    }

    /// Rows of the weights themselves, (ids, in), in f32: the embeddings where they are the head's.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        match self {
            Self::Packed { matrix, .. } => {
                let (values, width) = matrix.rows(ids)?;
                Tensor::from_vec(values, (ids.len(), width), &Device::Cpu)
            }
            Self::Plain { weights, .. } => {
                weights.index_select(&Tensor::new(ids, weights.device())?, 0)?.to_dtype(DType::F32)
            }
            Self::Quantised { weights, .. } => weights.embedding(&Tensor::new(ids, &weights.device())?),
            Self::Table(table) => {
                Tensor::from_vec(table.rows(ids)?, (ids.len(), table.width()), &Device::Cpu)
            }
        }
    }
}

/// Linear maps of the same rows, whose results stand side by side: one matrix each, or one for all.
pub(super) enum Side {
    Apart(Vec<Linear>),
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "kernels that take it apart are on a GPU"))]
    Joined(Linear),
}

impl Side {
    /// `parts` are sections with their outputs.
    pub fn load(
        parts: &[(Section, usize)],
        inputs: usize,
        bias: bool,
    ) -> std::result::Result<Self, LoadError> {
        let apart = || {
            let each = parts.iter().map(|(section, outputs)| Linear::load(section, inputs, *outputs, bias));
            Ok(Self::Apart(each.collect::<std::result::Result<_, LoadError>>()?))
        };
        let Some((first, _)) = parts.first() else { return apart() };
        if first.kernels().matrices() != Matrices::Joined {
            return apart();
        }
        let (mut stored, mut biases) = (Vec::new(), Vec::new());
        for (section, outputs) in parts {
            stored.push(section.stored("weight", &[*outputs, inputs])?);
            if bias {
                biases.push(section.get("bias", *outputs)?);
            }
        }
        if stored.iter().any(|one| one.held_as() != stored[0].held_as()) {
            return apart();
        }
        let bias = if bias { Some(Tensor::cat(&biases, 0)?) } else { None };
        Ok(Self::Joined(first.kernels().load(&stored, bias)?))
    }

    /// So many maps, each by itself.
    pub fn apart<const COUNT: usize>(&self) -> Result<&[Linear; COUNT]> {
        if let Self::Apart(each) = self
            && let Ok(each) = each.as_slice().try_into()
        {
            return Ok(each);
        }
        bail!("{COUNT} matrices are needed, each by itself")
    }
}

/// What a layer of the language model looks with.
pub(super) struct TextHeads {
    /// Of all heads of each.
    pub query_key_value: Side,
    pub query_norm: Norm,
    pub key_norm: Norm,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "elsewhere each has a matrix of its own"))]
    pub heads: usize,
    /// How many keys and values the heads share.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "as above"))]
    pub shared: usize,
    pub head_dim: usize,
}

/// A norm over the last dimension: of mean and variance where there is a bias, of the root mean square otherwise.
pub(super) struct Norm {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
    pub eps: f32,
}

impl Norm {
    /// Of every norm with a bias.
    const EPS: f32 = 1e-6;

    pub fn root_mean_square(
        section: &Section,
        size: usize,
        eps: f64,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self { weight: section.get("weight", size)?, bias: None, eps: eps as f32 })
    }

    pub fn mean_and_variance(section: &Section, size: usize) -> std::result::Result<Self, LoadError> {
        let bias = Some(section.get("bias", size)?);
        Ok(Self { weight: section.get("weight", size)?, bias, eps: Self::EPS })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => candle_nn::ops::layer_norm(x, &self.weight, bias, self.eps),
            None => candle_nn::ops::rms_norm(x, &self.weight, self.eps),
        }
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
