//! `config.json`, as transformers 4.57 and 5.x write it, checked and in this engine's terms.
//!
//! Source of the names and defaults: transformers 4.57, `models/qwen3_vl/configuration_qwen3_vl.py`.

use serde::Deserialize;
use serde_json::Value;

use super::error::LoadError;
use super::folder::ModelFolder;

const FILE: &str = "config.json";
/// No published model has a dimension near this; it keeps products of two of them from overflowing.
const LARGEST_DIMENSION: usize = 1 << 24;

/// The nonlinearity inside the vision blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    GeluTanh,
    GeluErf,
}

/// The language model's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub key_value_heads: usize,
    pub head_dim: usize,
    pub attention_bias: bool,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// How many rotary frequencies belong to time, height and width; their sum is `head_dim / 2`.
    pub mrope_section: [usize; 3],
    /// Most tokens an episode may have, the question included.
    pub max_tokens: usize,
}

/// The vision tower's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub heads: usize,
    pub activation: Activation,
    pub rope_theta: f64,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// `merge_size` × `merge_size` patches become one visual token.
    pub merge_size: usize,
    /// Side of the square table of learned positions.
    pub position_table_side: usize,
    /// After which blocks features are tapped for the first text layers.
    pub deepstack_layers: Vec<usize>,
}

/// A checked `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Qwen3VlConfig {
    pub text: TextConfig,
    pub vision: VisionConfig,
    /// The output head is the embedding table.
    pub tied_embeddings: bool,
}

/// Frames per temporal patch; the prompt's time stamps are defined for pairs only.
pub const FRAMES_PER_PAIR: usize = 2;
/// Red, green, blue.
pub const CHANNELS: usize = 3;

#[derive(Deserialize)]
struct RawConfig {
    text_config: RawText,
    vision_config: RawVision,
    tie_word_embeddings: Option<bool>,
}

#[derive(Deserialize)]
struct RawText {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    #[serde(default = "default_head_dim")]
    head_dim: usize,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default = "default_text_activation")]
    hidden_act: String,
    #[serde(default = "default_rms_norm_eps")]
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    tie_word_embeddings: Option<bool>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
}

/// `rope_scaling` of transformers 4 and `rope_parameters` of transformers 5.
#[derive(Deserialize, Clone, Default)]
struct RawRope {
    rope_type: Option<String>,
    /// An older name of `rope_type`; some files hold both.
    r#type: Option<String>,
    rope_theta: Option<f64>,
    mrope_section: Option<Vec<usize>>,
    mrope_interleaved: Option<bool>,
}

#[derive(Deserialize)]
struct RawVision {
    depth: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_heads: usize,
    #[serde(default = "default_vision_activation")]
    hidden_act: String,
    #[serde(default = "default_channels")]
    in_channels: usize,
    patch_size: usize,
    spatial_merge_size: usize,
    temporal_patch_size: usize,
    out_hidden_size: usize,
    num_position_embeddings: usize,
    deepstack_visual_indexes: Vec<usize>,
    rope_parameters: Option<RawRope>,
}

fn default_head_dim() -> usize {
    128
}

fn default_text_activation() -> String {
    "silu".to_owned()
}

fn default_rms_norm_eps() -> f64 {
    1e-6
}

fn default_vision_activation() -> String {
    "gelu_pytorch_tanh".to_owned()
}

fn default_channels() -> usize {
    CHANNELS
}

const DEFAULT_TEXT_ROPE_THETA: f64 = 5e6;
const DEFAULT_VISION_ROPE_THETA: f64 = 1e4;
const DEFAULT_MROPE_SECTION: [usize; 3] = [24, 20, 20];

impl Qwen3VlConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// A missing or malformed file, another architecture, quantised weights, or a value out of range.
    pub fn load(folder: &ModelFolder) -> Result<Self, LoadError> {
        let value: Value = folder.read_json(FILE)?;
        Self::from_value(value)
    }

    fn from_value(value: Value) -> Result<Self, LoadError> {
        let model_type = value.get("model_type").and_then(Value::as_str).unwrap_or("(none)");
        if model_type != "qwen3_vl" {
            return Err(LoadError::Architecture { found: model_type.to_owned() });
        }
        let nested_quantisation = value.get("text_config").and_then(|text| text.get("quantization_config"));
        let settings = value.get("quantization_config").or(nested_quantisation);
        if let Some(settings) = settings.filter(|settings| !settings.is_null()) {
            let method = settings.get("quant_method").and_then(Value::as_str);
            return Err(LoadError::Quantised { found: method.unwrap_or("quantization_config").to_owned() });
        }
        let raw: RawConfig = serde_json::from_value(value)
            .map_err(|source| LoadError::Json { file: FILE.to_owned(), source })?;
        let tied_embeddings =
            raw.tie_word_embeddings.or(raw.text_config.tie_word_embeddings).unwrap_or(false);
        if raw.vision_config.out_hidden_size != raw.text_config.hidden_size {
            return Err(invalid(
                "vision_config.out_hidden_size",
                raw.vision_config.out_hidden_size,
                format!("text_config.hidden_size is {}", raw.text_config.hidden_size),
            ));
        }
        Ok(Self { text: raw.text_config.check()?, vision: raw.vision_config.check()?, tied_embeddings })
    }
}

impl RawText {
    fn check(self) -> Result<TextConfig, LoadError> {
        dimensions(
            "text_config",
            &[
                ("vocab_size", self.vocab_size),
                ("hidden_size", self.hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("num_hidden_layers", self.num_hidden_layers),
                ("num_attention_heads", self.num_attention_heads),
                ("num_key_value_heads", self.num_key_value_heads),
                ("head_dim", self.head_dim),
                ("max_position_embeddings", self.max_position_embeddings),
            ],
        )?;
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(invalid(
                "text_config.num_key_value_heads",
                self.num_key_value_heads,
                format!("it must divide num_attention_heads, {}", self.num_attention_heads),
            ));
        }
        if self.hidden_act != "silu" {
            return Err(invalid("text_config.hidden_act", self.hidden_act, "only silu is supported"));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(invalid("text_config.rms_norm_eps", self.rms_norm_eps, "it must lie in (0, 1)"));
        }
        let rope = self.rope_parameters.clone().or(self.rope_scaling.clone()).unwrap_or_default();
        let rope_theta = rope.rope_theta.or(self.rope_theta).unwrap_or(DEFAULT_TEXT_ROPE_THETA);
        Ok(TextConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            attention_bias: self.attention_bias,
            rms_norm_eps: self.rms_norm_eps,
            rope_theta: positive_theta("text_config.rope_theta", rope_theta)?,
            mrope_section: rope.check_mrope(self.head_dim)?,
            max_tokens: self.max_position_embeddings,
        })
    }
}

impl RawRope {
    fn check_mrope(&self, head_dim: usize) -> Result<[usize; 3], LoadError> {
        match self.rope_type.as_deref().or(self.r#type.as_deref()) {
            None | Some("default" | "mrope") => {}
            Some(other) => {
                return Err(invalid(
                    "text_config rope_type",
                    other,
                    "only default rotary positions are supported",
                ));
            }
        }
        if self.mrope_interleaved == Some(false) {
            return Err(invalid("mrope_interleaved", false, "only the interleaved order is supported"));
        }
        let given = self.mrope_section.clone().unwrap_or(DEFAULT_MROPE_SECTION.to_vec());
        let section: Option<[usize; 3]> = given.clone().try_into().ok();
        let expected = || format!("it must be three numbers whose sum is half of head_dim, {head_dim} / 2");
        match section {
            // Bounded first, so that the sum cannot overflow.
            Some(three)
                if three.iter().all(|&part| part <= head_dim)
                    && three.iter().sum::<usize>() * 2 == head_dim =>
            {
                Ok(three)
            }
            _ => Err(invalid("mrope_section", format!("{given:?}"), expected())),
        }
    }
}

impl RawVision {
    fn check(self) -> Result<VisionConfig, LoadError> {
        dimensions(
            "vision_config",
            &[
                ("depth", self.depth),
                ("hidden_size", self.hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("num_heads", self.num_heads),
                ("patch_size", self.patch_size),
                ("spatial_merge_size", self.spatial_merge_size),
                ("num_position_embeddings", self.num_position_embeddings),
            ],
        )?;
        let fail = |field: &str, found: usize, expected: &str| {
            Err(invalid(&format!("vision_config.{field}"), found, expected))
        };
        if self.in_channels != CHANNELS {
            return fail("in_channels", self.in_channels, "frames have 3 channels");
        }
        if self.temporal_patch_size != FRAMES_PER_PAIR {
            return fail(
                "temporal_patch_size",
                self.temporal_patch_size,
                "only pairs of frames are supported",
            );
        }
        // Two axes of rotary positions, each with cosine-sine pairs: the head splits into four.
        if !self.hidden_size.is_multiple_of(4 * self.num_heads) {
            return fail("hidden_size", self.hidden_size, "it must be a multiple of 4 · num_heads");
        }
        if self.patch_size > 1024 || self.spatial_merge_size > 64 {
            return fail(
                "patch_size",
                self.patch_size,
                "no image model has patches above 1024 or merge blocks above 64 pixels",
            );
        }
        let position_table_side = self.num_position_embeddings.isqrt();
        if position_table_side * position_table_side != self.num_position_embeddings {
            return fail(
                "num_position_embeddings",
                self.num_position_embeddings,
                "it must be a square number",
            );
        }
        if let Some(&beyond) = self.deepstack_visual_indexes.iter().find(|&&layer| layer >= self.depth) {
            return fail(
                "deepstack_visual_indexes",
                beyond,
                &format!("there are only {} blocks", self.depth),
            );
        }
        let activation = match self.hidden_act.as_str() {
            "gelu_pytorch_tanh" => Activation::GeluTanh,
            "gelu" => Activation::GeluErf,
            _ => {
                let expected = "only gelu_pytorch_tanh and gelu are supported";
                return Err(invalid("vision_config.hidden_act", self.hidden_act, expected));
            }
        };
        let theta =
            self.rope_parameters.and_then(|rope| rope.rope_theta).unwrap_or(DEFAULT_VISION_ROPE_THETA);
        Ok(VisionConfig {
            depth: self.depth,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            heads: self.num_heads,
            activation,
            rope_theta: positive_theta("vision_config rope_theta", theta)?,
            patch_size: self.patch_size,
            merge_size: self.spatial_merge_size,
            position_table_side,
            deepstack_layers: self.deepstack_visual_indexes,
        })
    }
}

fn invalid(field: &str, found: impl std::fmt::Display, expected: impl Into<String>) -> LoadError {
    LoadError::field(FILE, field, found, expected)
}

fn dimensions(section: &str, fields: &[(&str, usize)]) -> Result<(), LoadError> {
    for &(name, value) in fields {
        if !(1..=LARGEST_DIMENSION).contains(&value) {
            let expected = format!("it must lie in 1..={LARGEST_DIMENSION}");
            return Err(invalid(&format!("{section}.{name}"), value, expected));
        }
    }
    Ok(())
}

fn positive_theta(field: &str, theta: f64) -> Result<f64, LoadError> {
    if theta.is_finite() && theta > 0.0 {
        Ok(theta)
    } else {
        Err(invalid(field, theta, "it must be positive"))
    }
}
