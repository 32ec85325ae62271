//! The language model: chunks of tokens in, a longer cache or one row of logits out.
//!
//! Source: transformers 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`, `Qwen3VLTextModel`.

use candle_core::{DType, Result, Tensor};

use super::cache::{Growth, KvCache};
use super::config::TextConfig;
use super::error::LoadError;
use super::kernels::{Kernels, Wanted};
use super::layers::{Linear, Norm, Side, TextHeads};
use super::mrope::{MultimodalRope, TokenChunk};
use super::weights::{Section, Weights};

pub struct LanguageModel {
    /// (vocabulary, hidden); `None` where they are the head's.
    embeddings: Option<Linear>,
    layers: Vec<DecoderLayer>,
    norm: Norm,
    head: Linear,
    rope: MultimodalRope,
    config: TextConfig,
    /// What keys and values are kept as, and how the room for them grows.
    kept: (DType, Growth),
    kernels: Kernels,
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
            (Some(Linear::table(&embeddings, vocabulary, hidden)?), head)
        };
        Ok(Self {
            embeddings,
            layers: (0..config.layers)
                .map(|index| DecoderLayer::load(&section.at("layers").at(index), config))
                .collect::<std::result::Result<_, _>>()?,
            norm: Norm::root_mean_square(&section.at("norm"), hidden, config.rms_norm_eps)?,
            head,
            rope: MultimodalRope::new(config.rope_theta, config.head_dim, config.mrope_section),
            config: config.clone(),
            kept: weights.kernels().cache(weights.dtype()),
            kernels: weights.kernels().clone(),
        })
    }

    pub fn new_cache(&self) -> KvCache {
        let (heads, head_dim) = (self.config.key_value_heads, self.config.head_dim);
        KvCache::new(self.layers.len(), heads, head_dim, self.kept, self.kernels.device())
    }

    /// Adds a chunk to the cache. On an error the cache is as it was.
    ///
    /// # Errors
    /// A token outside the vocabulary, or no memory.
    pub fn append(&self, chunk: &TokenChunk, cache: &mut KvCache) -> Result<()> {
        self.forward(chunk, cache, Wanted::Nothing).map(|_| ())
    }

    /// Adds a chunk to the cache and returns the logits behind its last token, one per vocabulary entry.
    ///
    /// # Errors
    /// An empty chunk, a token outside the vocabulary, or no memory.
    pub fn last_logits(&self, chunk: &TokenChunk, cache: &mut KvCache) -> Result<Vec<f32>> {
        self.last_row(chunk, cache)?.flatten_all()?.to_vec1()
    }

    /// Adds a chunk to the cache and returns the log-probabilities of two tokens behind its last; `None` where that is no
    /// number.
    ///
    /// # Errors
    /// As [`LanguageModel::last_logits`].
    pub fn last_log_probs(
        &self,
        chunk: &TokenChunk,
        cache: &mut KvCache,
        tokens: [u32; 2],
    ) -> Result<[Option<f64>; 2]> {
        self.kernels.log_probs(&self.last_row(chunk, cache)?, tokens)
    }

    /// (1, vocabulary)
    fn last_row(&self, chunk: &TokenChunk, cache: &mut KvCache) -> Result<Tensor> {
        let last = self.forward(chunk, cache, Wanted::LastRow)?;
        self.kernels.product(&self.head, &self.kernels.norm(&self.norm, &last)?)
    }

    /// The last row behind all layers, where it is wanted.
    fn forward(&self, chunk: &TokenChunk, cache: &mut KvCache, wanted: Wanted) -> Result<Tensor> {
        let kernels = &self.kernels;
        let mut hidden = self.embed(chunk)?;
        let rotary = self.rope.table(chunk.positions(), kernels.device())?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = kernels.norm(&layer.attention_norm, &hidden)?;
            let is_last = index + 1 == self.layers.len();
            // Behind the last layer's keys and values only the row that answers is of use.
            let wanted = if is_last { wanted } else { Wanted::All };
            let Some(attended) =
                kernels.attend(&layer.heads, &normed, &rotary, (&mut *cache, index), wanted)?
            else {
                break;
            };
            if is_last {
                hidden = last_row(&hidden)?;
            }
            let (sum, normed) =
                kernels.add_product_and_norm(hidden, &layer.output, &attended, &layer.mlp_norm)?;
            hidden = kernels.add_product(sum, &layer.down, &kernels.gated(&layer.gate_and_up, &normed)?)?;
            if !is_last {
                self.add_deepstack(&hidden, chunk, index)?;
            }
        }
        cache.advance(chunk.len(), chunk.next_position());
        Ok(hidden)
    }

    /// (tokens, hidden), the visual rows taken from the vision tower.
    fn embed(&self, chunk: &TokenChunk) -> Result<Tensor> {
        let table = self.embeddings.as_ref().unwrap_or(&self.head);
        let hidden = self.kernels.embed(table, chunk.tokens())?;
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
    attention_norm: Norm,
    heads: TextHeads,
    output: Linear,
    mlp_norm: Norm,
    gate_and_up: Side,
    down: Linear,
}

impl DecoderLayer {
    fn load(weights: &Section, config: &TextConfig) -> std::result::Result<Self, LoadError> {
        let (hidden, wide, head_dim) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (query_width, key_width) = (config.heads * head_dim, config.key_value_heads * head_dim);
        let (bias, eps) = (config.attention_bias, config.rms_norm_eps);
        let (attention, mlp) = (weights.at("self_attn"), weights.at("mlp"));
        let query_key_value = [("q_proj", query_width), ("k_proj", key_width), ("v_proj", key_width)];
        let query_key_value = query_key_value.map(|(name, width)| (attention.at(name), width));
        let gate_and_up = [(mlp.at("gate_proj"), wide), (mlp.at("up_proj"), wide)];
        Ok(Self {
            attention_norm: Norm::root_mean_square(&weights.at("input_layernorm"), hidden, eps)?,
            heads: TextHeads {
                query_key_value: Side::load(&query_key_value, hidden, bias)?,
                query_norm: Norm::root_mean_square(&attention.at("q_norm"), head_dim, eps)?,
                key_norm: Norm::root_mean_square(&attention.at("k_norm"), head_dim, eps)?,
                heads: config.heads,
                shared: config.key_value_heads,
                head_dim,
            },
            output: Linear::load(&attention.at("o_proj"), query_width, hidden, bias)?,
            mlp_norm: Norm::root_mean_square(&weights.at("post_attention_layernorm"), hidden, eps)?,
            gate_and_up: Side::load(&gate_and_up, hidden, false)?,
            down: Linear::load(&mlp.at("down_proj"), wide, hidden, false)?,
        })
    }
}
