//! The language model: chunks of tokens in, a longer cache or one row of logits out.
//!
//! Source: transformers 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`, `Qwen3VLTextModel`.

use candle_core::{DType, Result, Tensor};

use super::super::Dtype;
use super::cache::KvCache;
use super::config::TextConfig;
use super::error::LoadError;
use super::kernels::Kernels;
use super::layers::{Linear, RmsNorm, RotaryTable};
use super::mrope::{MultimodalRope, TokenChunk};
use super::weights::{Section, Weights};

pub struct LanguageModel {
    /// (vocabulary, hidden); `None` where they are the head's.
    embeddings: Option<Tensor>,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    head: Linear,
    rope: MultimodalRope,
    config: TextConfig,
    /// What keys and values are kept as.
    kept_as: DType,
    kernels: Kernels,
}

/// What is wanted of a chunk besides its keys and values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Nothing,
    LastRow,
}

impl LanguageModel {
    /// # Errors
    /// A tensor that is missing or has another shape than `config` says.
    pub fn load(weights: &Weights, config: &TextConfig, tied: bool) -> std::result::Result<Self, LoadError> {
        let section = weights.text();
        let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
        let embeddings = section.at("embed_tokens");
        let (embeddings, head) = if tied {
            (None, Linear::load(&embeddings, hidden, vocabulary, false)?)
        } else {
            let head = Linear::load(&weights.head(), hidden, vocabulary, false)?;
            (Some(embeddings.get("weight", (vocabulary, hidden))?), head)
        };
        Ok(Self {
            embeddings,
            layers: (0..config.layers)
                .map(|index| DecoderLayer::load(&section.at("layers").at(index), config))
                .collect::<std::result::Result<_, _>>()?,
            norm: RmsNorm::load(&section.at("norm"), hidden, config.rms_norm_eps)?,
            head,
            rope: MultimodalRope::new(config.rope_theta, config.head_dim, config.mrope_section),
            config: config.clone(),
            // Where weights are rounded already, the cache takes half the memory.
            kept_as: if weights.dtype() == Dtype::F32 { DType::F32 } else { DType::F16 },
            kernels: weights.kernels().clone(),
        })
    }

    pub fn new_cache(&self) -> KvCache {
        let (heads, head_dim) = (self.config.key_value_heads, self.config.head_dim);
        KvCache::new(self.layers.len(), heads, head_dim, self.kept_as, self.kernels.device())
    }

    /// Adds a chunk to the cache. On an error the cache is as it was.
    ///
    /// # Errors
    /// A token outside the vocabulary, or no memory.
    pub fn append(&self, chunk: &TokenChunk, cache: &mut KvCache) -> Result<()> {
        self.forward(chunk, cache, Output::Nothing).map(|_| ())
    }

    /// Adds a chunk to the cache and returns the logits behind its last token, one per vocabulary entry.
    ///
    /// # Errors
    /// An empty chunk, a token outside the vocabulary, or no memory.
    pub fn last_logits(&self, chunk: &TokenChunk, cache: &mut KvCache) -> Result<Vec<f32>> {
        let last = self.forward(chunk, cache, Output::LastRow)?;
        self.head.forward(&self.norm.forward(&last)?)?.squeeze(0)?.to_vec1()
    }

    fn forward(&self, chunk: &TokenChunk, cache: &mut KvCache, output: Output) -> Result<Tensor> {
        let mut hidden = self.embed(chunk)?;
        let mut rotary = self.rope.table(chunk.positions(), self.kernels.device())?;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut normed = layer.attention_norm.forward(&hidden)?;
            let (key, value) = layer.key_value(&normed, &rotary, &self.kernels)?;
            let (keys, values) = cache.write(index, &key, &value)?;
            let is_last = index + 1 == self.layers.len();
            if is_last {
                // Behind the last layer's keys and values only the row that answers is of use.
                if output == Output::Nothing {
                    break;
                }
                (hidden, normed, rotary) = (last_row(&hidden)?, last_row(&normed)?, rotary.last()?);
            }
            let query = layer.query(&normed, &rotary, &self.kernels)?;
            let attended = self.kernels.attention(&query, &keys, &values, true)?;
            hidden = self.kernels.add(hidden, &layer.output.forward(&attended)?)?;
            let mixed = layer.mlp(&layer.mlp_norm.forward(&hidden)?, &self.kernels)?;
            hidden = self.kernels.add(hidden, &mixed)?;
            if !is_last {
                self.add_deepstack(&hidden, chunk, index)?;
            }
        }
        cache.advance(chunk.len(), chunk.next_position());
        Ok(hidden)
    }

    /// (tokens, hidden), the visual rows taken from the vision tower.
    fn embed(&self, chunk: &TokenChunk) -> Result<Tensor> {
        let hidden = match &self.embeddings {
            Some(embeddings) => {
                embeddings.index_select(&Tensor::new(chunk.tokens(), self.kernels.device())?, 0)?
            }
            None => self.head.rows(chunk.tokens())?,
        };
        for span in chunk.visual() {
            hidden.slice_set(&span.features.embeddings, 0, span.start)?;
        }
        Ok(hidden)
    }

    /// Adds the features of the vision block that belongs to this text layer, at the visual rows.
    fn add_deepstack(&self, hidden: &Tensor, chunk: &TokenChunk, layer: usize) -> Result<()> {
        for span in chunk.visual() {
            if let Some(features) = span.features.deepstack.get(layer) {
                self.kernels.add_to_rows(hidden, span.start, features)?;
            }
        }
        Ok(())
    }
}

fn last_row(x: &Tensor) -> Result<Tensor> {
    let rows = x.dim(0)?;
    x.narrow(0, rows.saturating_sub(1), 1)
}

struct DecoderLayer {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    head_dim: usize,
}

impl DecoderLayer {
    fn load(weights: &Section, config: &TextConfig) -> std::result::Result<Self, LoadError> {
        let (hidden, wide, head_dim) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (query_width, key_width) = (config.heads * head_dim, config.key_value_heads * head_dim);
        let (bias, eps) = (config.attention_bias, config.rms_norm_eps);
        let (attention, mlp) = (weights.at("self_attn"), weights.at("mlp"));
        Ok(Self {
            attention_norm: RmsNorm::load(&weights.at("input_layernorm"), hidden, eps)?,
            query: Linear::load(&attention.at("q_proj"), hidden, query_width, bias)?,
            key: Linear::load(&attention.at("k_proj"), hidden, key_width, bias)?,
            value: Linear::load(&attention.at("v_proj"), hidden, key_width, bias)?,
            output: Linear::load(&attention.at("o_proj"), query_width, hidden, bias)?,
            query_norm: RmsNorm::load(&attention.at("q_norm"), head_dim, eps)?,
            key_norm: RmsNorm::load(&attention.at("k_norm"), head_dim, eps)?,
            mlp_norm: RmsNorm::load(&weights.at("post_attention_layernorm"), hidden, eps)?,
            gate: Linear::load(&mlp.at("gate_proj"), hidden, wide, false)?,
            up: Linear::load(&mlp.at("up_proj"), hidden, wide, false)?,
            down: Linear::load(&mlp.at("down_proj"), wide, hidden, false)?,
            head_dim,
        })
    }

    /// Rotated queries, (heads, tokens, head_dim).
    fn query(&self, normed: &Tensor, rotary: &RotaryTable, kernels: &Kernels) -> Result<Tensor> {
        rotary.rotate(&self.query_norm.forward(&self.heads(&self.query, normed, kernels)?)?)
    }

    /// Rotated keys and values, (key-value heads, tokens, head_dim) each.
    fn key_value(
        &self,
        normed: &Tensor,
        rotary: &RotaryTable,
        kernels: &Kernels,
    ) -> Result<(Tensor, Tensor)> {
        let key = self.key_norm.forward(&self.heads(&self.key, normed, kernels)?)?;
        Ok((rotary.rotate(&key)?, self.heads(&self.value, normed, kernels)?))
    }

    fn heads(&self, projection: &Linear, normed: &Tensor, kernels: &Kernels) -> Result<Tensor> {
        let all = projection.forward(normed)?;
        kernels.heads(&all, 0..all.dim(1)?, self.head_dim)
    }

    fn mlp(&self, normed: &Tensor, kernels: &Kernels) -> Result<Tensor> {
        let gated = kernels.swiglu(self.gate.forward(normed)?, &self.up.forward(normed)?)?;
        self.down.forward(&gated)
    }
}
