//! How a model's weights are held in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NoSuchChoice;

/// What weights are quantised to when a model is loaded. On the processor the arithmetic between them stays f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// Four bytes each; checkpoints in bf16 and f16 lose nothing.
    #[default]
    F32,
    /// Two bytes each, what most checkpoints are stored as; on GPUs.
    Bf16,
    /// Two bytes each, of a smaller range; on GPUs that have no bf16.
    F16,
    /// One byte each, and a scale for every 64: a quarter of the memory. On GPUs llama.cpp's Q8_0.
    Q8,
    /// Three quarters of a byte each, and a scale for every 64; the arithmetic takes activations of 8 bits. On GPUs
    /// llama.cpp's Q6_K.
    Q6,
    /// Half a byte each, and a scale and a lowest value for every 32; the arithmetic takes activations of 8 bits. On GPUs
    /// llama.cpp's Q4_K.
    Q4,
}

/// What `model.dtype` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DtypeChoice {
    /// On the processor f32 for a model whose time and memory do not matter, and q8 for any other; on a GPU bf16.
    #[default]
    Auto,
    F32,
    Bf16,
    F16,
    Q8,
    Q6,
    Q4,
}

impl DtypeChoice {
    /// The values of `model.dtype`.
    pub const NAMES: [&str; 7] = ["auto", "f32", "bf16", "f16", "q8", "q6", "q4"];

    /// From this many parameters on, `auto` is q8.
    const LARGE: u64 = 200_000_000;

    /// What to load a model of so many parameters as, on the processor.
    pub fn resolve(self, parameters: u64) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::Bf16,
            Self::F16 => Dtype::F16,
            Self::Q8 => Dtype::Q8,
            Self::Q6 => Dtype::Q6,
            Self::Q4 => Dtype::Q4,
            Self::Auto if parameters < Self::LARGE => Dtype::F32,
            Self::Auto => Dtype::Q8,
        }
    }
}

impl std::str::FromStr for DtypeChoice {
    type Err = NoSuchChoice;

    fn from_str(text: &str) -> Result<Self, NoSuchChoice> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            "q8" => Ok(Self::Q8),
            "q6" => Ok(Self::Q6),
            "q4" => Ok(Self::Q4),
            _ => Err(NoSuchChoice(&Self::NAMES)),
        }
    }
}

impl Dtype {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q6 => "q6",
            Self::Q4 => "q4",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_goes_by_size_and_all_names_are_known() {
        for (name, small, large) in [
            ("auto", Dtype::F32, Dtype::Q8),
            ("f32", Dtype::F32, Dtype::F32),
            ("bf16", Dtype::Bf16, Dtype::Bf16),
            ("f16", Dtype::F16, Dtype::F16),
            ("q8", Dtype::Q8, Dtype::Q8),
            ("q6", Dtype::Q6, Dtype::Q6),
            ("q4", Dtype::Q4, Dtype::Q4),
        ] {
            let choice: DtypeChoice = name.parse().unwrap();
            assert_eq!((choice.resolve(4_000_000), choice.resolve(2_000_000_000)), (small, large));
            assert!(DtypeChoice::NAMES.contains(&name));
            assert_eq!(serde_json::to_value(choice).unwrap(), name);
        }
        assert!(
            "int8"
                .parse::<DtypeChoice>()
                .unwrap_err()
                .to_string()
                .contains("auto, f32, bf16, f16, q8, q6, q4")
        );
    }
}
