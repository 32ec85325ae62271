//! Small pictures inside a drawing or a page.

use std::sync::Arc;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::imageops::{self, FilterType};
use ::image::{ImageError, RgbImage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A picture as text.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// data:image/jpeg;base64,...
    pub data_uri: Arc<str>,
    pub width: u32,
    pub height: u32,
}

impl Thumbnail {
    /// The picture in its aspect ratio, shrunk to `width` pixels if it is wider; `quality` of the JPEG: 1 to 100.
    ///
    /// # Errors
    /// A picture without pixels, or one that is too high for a JPEG.
    pub fn of(picture: &RgbImage, width: u32, quality: u8) -> Result<Self, ImageError> {
        let (full_width, full_height) = picture.dimensions();
        let width = full_width.min(width);
        let height = (u64::from(full_height) * u64::from(width) / u64::from(full_width.max(1))).max(1) as u32;
        let small = imageops::resize(picture, width, height, FilterType::Triangle);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&small)?;
        let data_uri = format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)).into();
        Ok(Self { data_uri, width, height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_small_jpegs_in_the_text() {
        let thumbnail = Thumbnail::of(&RgbImage::new(400, 300), 200, 70).unwrap();
        assert_eq!((thumbnail.width, thumbnail.height), (200, 150));
        let data = thumbnail.data_uri.strip_prefix("data:image/jpeg;base64,").unwrap();
        let decoded = ::image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (200, 150));
        let kept = Thumbnail::of(&RgbImage::new(40, 900), 200, 70).unwrap();
        assert_eq!((kept.width, kept.height), (40, 900));
        assert!(Thumbnail::of(&RgbImage::new(0, 0), 200, 70).is_err());
    }
}
