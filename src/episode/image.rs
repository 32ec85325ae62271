//! From bytes to RGB frames. Whatever is not understood is refused by name; nothing becomes a black image.

mod bayer;
mod bounds;
mod compressed;
mod encoding;
mod jpeg;
mod raw;

pub use bounds::{LARGEST_SIDE, MOST_PIXELS, check_size, limits};
pub use compressed::{check_compressed, decode_compressed, decode_picture};
pub use raw::{ImageView, check_raw, decode_raw};

/// Why an image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("encoding \"{0}\" is not supported: use one of {SUPPORTED}", SUPPORTED = encoding::SUPPORTED)]
    Encoding(String),
    #[error("encoding \"{0}\" is depth, which has no colours: subscribe to the colour camera")]
    Depth(String),
    #[error("the image is empty ({width}×{height} pixels)")]
    Empty { width: u32, height: u32 },
    #[error(
        "{width}×{height} pixels are more than are read: at most {LARGEST_SIDE} a side and {MOST_PIXELS} in all"
    )]
    TooLarge { width: u32, height: u32 },
    #[error(
        "{encoding} shares colour between neighbours, but {width}×{height} pixels is odd: use an even size"
    )]
    Odd { encoding: String, width: u32, height: u32 },
    #[error("step is {step} bytes, but a row of {width} pixels in {encoding} needs {needed}")]
    Step { step: usize, width: u32, encoding: String, needed: usize },
    #[error("the data has {actual} bytes, but {rows} rows of {step} bytes need {needed}")]
    Length { actual: usize, rows: usize, step: usize, needed: usize },
    #[error("the {encoding} image cannot be converted: {reason}")]
    Yuv { encoding: String, reason: String },
    #[error("the compressed image (format \"{format}\") cannot be decoded: {reason}")]
    Compressed { format: String, reason: String },
    #[error("the picture cannot be decoded: {reason}")]
    Picture { reason: String },
    #[error("cannot use {file}: {reason}")]
    File { file: String, reason: String },
}
