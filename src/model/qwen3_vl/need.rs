//! What a model needs of a device's memory, computed before it is loaded.

use indicatif::HumanBytes;

use super::super::Dtype;
use super::cache::Growth;
use super::config::{FRAMES_PER_PAIR, Qwen3VlConfig};
use super::error::LoadError;

/// Tokens of a prompt's time stamps and of a long question.
const TEXT_PER_PAIR: usize = 12;
const QUESTION: usize = 512;
/// What the libraries of a device take for themselves.
const LIBRARIES: u64 = 256 << 20;
/// Rows of the language model's largest chunk, beside one pair.
const CHUNK: usize = 512;

/// What an episode of a model takes.
pub(super) struct Need {
    /// Numbers of the weights.
    pub parameters: u64,
    /// Frames that are remembered.
    pub samples: usize,
    /// Bytes of keys and values, at most.
    pub cache: u64,
    /// Bytes of everything that is computed on the way, at most.
    pub work: u64,
}

impl Need {
    /// `max_pixels` is the largest frame's, `number` the bytes of one key's number.
    pub fn new(
        config: &Qwen3VlConfig,
        parameters: u64,
        samples: Option<usize>,
        max_pixels: usize,
        (number, growth): (usize, Growth),
    ) -> Self {
        let (text, vision) = (&config.text, &config.vision);
        // Without a bound an episode is as long as its recording, which nobody knows yet.
        let samples = samples.unwrap_or(FRAMES_PER_PAIR).max(FRAMES_PER_PAIR);
        let patches = max_pixels / (vision.patch_size * vision.patch_size);
        let per_pair = patches / (vision.merge_size * vision.merge_size) + TEXT_PER_PAIR;
        let tokens = (samples.div_ceil(FRAMES_PER_PAIR).saturating_mul(per_pair) + QUESTION)
            .min(text.max_tokens + QUESTION);
        let per_token = 2 * text.layers * text.key_value_heads * text.head_dim * number;
        let of_patch = 2 * 4 * vision.hidden_size + 2 * 4 * vision.hidden_size + 4 * vision.intermediate_size;
        let heads = (text.heads + 2 * text.key_value_heads) * text.head_dim;
        let of_row =
            4 * text.hidden_size + 4 * heads + 6 * text.intermediate_size + 16 * text.heads * text.head_dim;
        // Embeddings that are not the head's stay in the processor's memory.
        let elsewhere = if config.tied_embeddings { 0 } else { text.vocab_size * text.hidden_size };
        let work = patches * of_patch + (per_pair + CHUNK) * of_row + 4 * text.vocab_size;
        Self {
            parameters: parameters.saturating_sub(elsewhere as u64),
            samples,
            cache: (growth.capacity(tokens) * per_token) as u64,
            work: work as u64 + LIBRARIES,
        }
    }

    fn weights(&self, dtype: Dtype) -> u64 {
        // In sixteenths of a byte: a block has a scale beside its numbers.
        let each = match dtype {
            Dtype::F32 => 64,
            Dtype::Bf16 | Dtype::F16 => 32,
            Dtype::Q8 => 17,
            Dtype::Q6 => 14,
            Dtype::Q4 => 9,
        };
        self.parameters * each / 16
    }

    fn total(&self, dtype: Dtype) -> u64 {
        self.weights(dtype) + self.cache + self.work
    }

    /// # Errors
    /// [`LoadError::Memory`] if so many free bytes are too few, with what would fit.
    pub fn check(&self, dtype: Dtype, free: u64) -> Result<(), LoadError> {
        if self.total(dtype) <= free {
            return Ok(());
        }
        let smaller = [Dtype::Bf16, Dtype::Q8, Dtype::Q4].into_iter();
        let fits = smaller
            .filter(|other| self.weights(*other) < self.weights(dtype))
            .find(|other| self.total(*other) <= free);
        let advice = match fits {
            Some(other) => {
                format!("take model.dtype {other}, or lower episode.max_samples or processor.max_pixels")
            }
            None if self.weights(dtype) + self.work < free => {
                "lower episode.max_samples or processor.max_pixels".to_owned()
            }
            None => "take a smaller model, or free the memory that other programs hold".to_owned(),
        };
        Err(LoadError::Memory {
            samples: self.samples,
            needed: HumanBytes(self.cache + self.work),
            weights: HumanBytes(self.weights(dtype)),
            free: HumanBytes(free),
            advice,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn reason(free: u64, cache: u64) -> Option<String> {
        let need = Need { parameters: 8 * GIB, samples: 600, cache, work: GIB / 2 };
        need.check(Dtype::Bf16, free).err().map(|error| error.to_string())
    }

    #[test]
    fn what_would_fit_is_named() {
        assert_eq!(reason(20 * GIB, 3 * GIB), None);
        assert!(reason(18 * GIB, 3 * GIB).unwrap().contains("take model.dtype q8"));
        assert!(reason(10 * GIB, 3 * GIB).unwrap().contains("take model.dtype q4"));
        let none = reason(3 * GIB, 3 * GIB).unwrap();
        assert!(none.contains("600 samples") && none.contains("take a smaller model"), "{none}");
        let long = reason(20 * GIB, 30 * GIB).unwrap();
        assert!(long.contains("lower episode.max_samples") && !long.contains("model.dtype"), "{long}");
    }

    #[test]
    fn a_long_episode_of_the_8b_model_is_counted() {
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tied");
        let folder = super::super::ModelFolder::open(&golden).unwrap();
        let mut config = Qwen3VlConfig::load(&folder).unwrap();
        (config.text.layers, config.text.key_value_heads, config.text.head_dim) = (36, 8, 128);
        config.text.max_tokens = 262_144;
        let need = Need::new(&config, 0, Some(600), 224 * 224, (2, Growth::Pages));
        // 300 pairs of 49 visual tokens and their time stamps, 144 KiB each, and a question.
        assert!((2.5..2.9).contains(&(need.cache as f64 / 1e9)), "{}", need.cache);
        let short = Need::new(&config, 0, None, 224 * 224, (2, Growth::Pages));
        assert!(short.cache < need.cache / 10 && short.samples == 2);
    }
}
