use serde::{Deserialize, Serialize};

use super::{DeviceChoice, Dtype, ModelInfo};

/// What a score was made with, besides the frames and the instruction. Scores of two identities cannot be compared.
///
/// Serialised it is part of results: see [`crate::offline::results`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// [`ModelInfo::fingerprint`].
    pub fingerprint: String,
    /// How the weights were quantised; earlier versions knew f32 only.
    #[serde(default)]
    pub dtype: Dtype,
    /// Where the model was computed; written only where it was not the processor.
    #[serde(default, skip_serializing_if = "DeviceChoice::is_cpu")]
    pub device: DeviceChoice,
    /// Whether the question stood inside the chat template.
    pub chat_template: bool,
    /// Most pixels of one frame after the resize, as the model used it.
    pub max_pixels: usize,
    /// Samples a second of header time.
    pub sample_fps: f64,
}

impl Identity {
    /// Of a loaded model that sees so many samples a second.
    pub fn of(model: &ModelInfo, sample_fps: f64) -> Self {
        Self {
            fingerprint: model.fingerprint.clone(),
            dtype: model.dtype,
            device: model.device,
            chat_template: model.chat_template,
            max_pixels: model.max_pixels,
            sample_fps,
        }
    }
}
