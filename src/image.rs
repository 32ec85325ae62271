//! From bytes to RGB frames. Whatever is not understood is refused by name; nothing becomes a black image.

mod compressed;
mod raw;

pub use compressed::decode_compressed;
pub use raw::{ImageView, decode_raw};

/// Why an image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("encoding \"{0}\" is not supported: use rgb8, bgr8, rgba8, bgra8, mono8, 8UC1 or 8UC3")]
    Encoding(String),
    #[error("the image is empty ({width}×{height} pixels)")]
    Empty { width: u32, height: u32 },
    #[error("step is {step} bytes, but a row of {width} pixels in {encoding} needs {needed}")]
    Step { step: usize, width: u32, encoding: String, needed: usize },
    #[error("the data has {actual} bytes, but {height} rows of {step} bytes need {needed}")]
    Length { actual: usize, height: u32, step: usize, needed: usize },
    #[error("the compressed image (format \"{format}\") cannot be decoded: {reason}")]
    Compressed { format: String, reason: String },
}
