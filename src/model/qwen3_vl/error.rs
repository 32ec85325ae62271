//! What can be wrong with a model folder. Becomes [`VlmError::Load`] at the door.

use indicatif::HumanBytes;

use super::super::{DeviceChoice, Dtype, VlmError};

/// One reason why a model folder cannot be used; the text is meant for the person who chose the folder.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("there is no such folder")]
    NoFolder,
    #[error("{file} is missing")]
    MissingFile { file: String },
    #[error("{file} is missing: {instead}")]
    NoWeights { file: String, instead: String },
    #[error(
        "{file} says that the folder holds an adapter (LoRA), which is not applied here: merge it into {base} first (PEFT: model.merge_and_unload().save_pretrained(folder)) and take the merged model's folder"
    )]
    Adapter { file: String, base: String },
    #[error(
        "the weights hold {count} tensors of an adapter (LoRA) that was never merged, the first {first}: merge it first (PEFT: model.merge_and_unload().save_pretrained(folder))"
    )]
    Unmerged { count: usize, first: String },
    #[error(
        "the weights were saved inside PEFT's wrapper, as {first}: save the model without it (PEFT: model.merge_and_unload().save_pretrained(folder))"
    )]
    Wrapped { first: String },
    #[error(
        "{count} tensors of the weights would not be used, the first {first}: {reason}; take weights and config.json of one and the same model"
    )]
    Leftover { count: usize, first: String, reason: String },
    #[error("{file} cannot be read: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file} is not the JSON expected: {source}")]
    Json { file: String, source: serde_json::Error },
    #[error("config.json describes a model of type \"{found}\", but \"qwen3_vl\" is needed")]
    Architecture { found: String },
    #[error("{file}: {field} is {found}, but {expected}")]
    Field { file: String, field: String, found: String, expected: String },
    #[error("the weights are quantised ({found}): take f32, bf16 or f16, or the GGUF files of llama.cpp")]
    Quantised { found: String },
    #[error("{file} is damaged or was cut short: {reason}")]
    Weights { file: String, reason: String },
    #[error(
        "{found} is there, but no GGUF file of the {missing}: put that one too into the folder (its name is like {example})"
    )]
    GgufIncomplete { found: String, missing: &'static str, example: &'static str },
    #[error(
        "{first} and {second} are both GGUF files of the architecture \"{architecture}\": leave one of them in the folder"
    )]
    GgufTwice { first: String, second: String, architecture: String },
    #[error(
        "{file} is of the architecture \"{found}\": take the GGUF files of a dense Qwen3-VL, \"qwen3vl\" and \"clip\""
    )]
    GgufArchitecture { file: String, found: String },
    #[error(
        "{file}: tensor {tensor} is stored as {found}: take a file with F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_0, Q4_K or Q4_0 alone"
    )]
    GgufType { file: String, tensor: String, found: String },
    #[error("tensor {name} is missing from the weights")]
    MissingTensor { name: String },
    #[error("tensor {name} has the shape {found:?}, but config.json asks for {expected:?}")]
    TensorShape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("tokenizer.json: {reason}")]
    Tokenizer { reason: String },
    #[error(
        "model.device is {device}, but this program was not built for it: build with `--features {device}`, or take cpu"
    )]
    NotBuiltFor { device: DeviceChoice },
    #[error("model.device is {device}, but it cannot be used: {reason}")]
    Device { device: DeviceChoice, reason: String },
    #[error("model.dtype {dtype} is not computed by model.device {device}: take {instead}")]
    DtypeElsewhere { dtype: Dtype, device: DeviceChoice, instead: &'static str },
    #[error(
        "the GPU has too little free memory: an episode of {samples} samples needs {needed} beside the {weights} of weights, and {free} are free: {advice}"
    )]
    Memory { samples: usize, needed: HumanBytes, weights: HumanBytes, free: HumanBytes, advice: String },
    #[error("the model is loaded, but its first step failed: {reason}")]
    FirstStep { reason: String },
    #[error("the weights cannot be prepared: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl LoadError {
    /// A value in a JSON file that this engine cannot work with.
    pub(super) fn field(
        file: &str,
        field: &str,
        found: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Field {
            file: file.to_owned(),
            field: field.to_owned(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}

/// A failure during inference: of arithmetic, or for want of memory.
pub(super) fn inference(error: candle_core::Error) -> VlmError {
    let text = error.to_string();
    // The driver's name for it, and that of its library for products.
    if ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|name| text.contains(name)) {
        return VlmError::OutOfMemory;
    }
    VlmError::Inference(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_a_kind_of_its_own() {
        let of = |text: &str| inference(candle_core::Error::Msg(text.to_owned()));
        assert!(matches!(
            of("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"),
            VlmError::OutOfMemory
        ));
        assert!(
            matches!(of("shape mismatch"), VlmError::Inference(cause) if cause.to_string() == "shape mismatch")
        );
    }
}
