use ::image::{ImageFormat, ImageReader, RgbImage};
use std::io::Cursor;

use super::ImageError;

/// Decodes the payload of `sensor_msgs/CompressedImage`: JPEG or PNG, told apart by their first bytes, since drivers
/// fill `format` in many ways ("jpeg", "rgb8; jpeg compressed bgr8", …). Depth formats are refused.
pub fn decode_compressed(format: &str, data: &[u8]) -> Result<RgbImage, ImageError> {
    check_compressed(format, data)?;
    let refuse = |reason: String| refusal(format, reason);
    let reader = ImageReader::new(Cursor::new(data));
    let reader = reader.with_guessed_format().map_err(|error| refuse(error.to_string()))?;
    let decoded = reader.decode().map_err(|error| refuse(error.to_string()))?;
    if matches!(decoded.color(), ::image::ColorType::L16) && format.contains("16UC1") {
        return Err(refuse("16UC1 is depth; subscribe to the colour camera".into()));
    }
    Ok(decoded.into_rgb8())
}

/// What shows without decoding: depth, another format, a JPEG that is cut short.
pub fn check_compressed(format: &str, data: &[u8]) -> Result<(), ImageError> {
    if format.contains("compressedDepth") {
        return Err(refusal(format, "depth has no colours; subscribe to the colour camera".into()));
    }
    match ::image::guess_format(data) {
        Ok(ImageFormat::Jpeg) if !jpeg_is_whole(data) => {
            Err(refusal(format, format!("the JPEG is cut short after {} bytes", data.len())))
        }
        Ok(ImageFormat::Jpeg | ImageFormat::Png) => Ok(()),
        _ => Err(refusal(format, format!("its {} bytes are neither JPEG nor PNG", data.len()))),
    }
}

fn refusal(format: &str, reason: String) -> ImageError {
    ImageError::Compressed { format: format.to_owned(), reason }
}

/// Whether an end-of-image marker follows the last start of a scan. The decoder fills the missing part of a cut picture
/// with grey instead of refusing it. Neither marker can occur inside a scan's data, where FF is always stuffed.
fn jpeg_is_whole(data: &[u8]) -> bool {
    let last = |marker: [u8; 2]| data.windows(2).rposition(|pair| pair == marker);
    match (last([0xFF, 0xDA]), last([0xFF, 0xD9])) {
        (Some(scan), Some(end)) => end > scan,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{DynamicImage, Rgb};

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_pixel(16, 8, Rgb([200, 40, 90]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(image).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn jpeg_and_png_are_known_by_their_bytes() {
        for (kind, tolerance) in [(ImageFormat::Png, 0i16), (ImageFormat::Jpeg, 4)] {
            let rgb = decode_compressed("bgr8; whatever the driver wrote", &encoded(kind)).unwrap();
            assert_eq!(rgb.dimensions(), (16, 8));
            for (got, expected) in rgb.get_pixel(5, 5).0.iter().zip([200i16, 40, 90]) {
                assert!((i16::from(*got) - expected).abs() <= tolerance, "{kind:?}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn cut_empty_foreign_and_depth_data_are_refused_with_the_format() {
        let png = encoded(ImageFormat::Png);
        let jpeg = encoded(ImageFormat::Jpeg);
        for (format, data) in [
            ("jpeg", &jpeg[..jpeg.len() - 20]),
            ("png", &png[..png.len() / 2]),
            ("jpeg", &[][..]),
            ("jpeg", b"not an image at all"),
            ("16UC1; compressedDepth png", &png),
        ] {
            let error = decode_compressed(format, data).unwrap_err();
            assert!(error.to_string().contains(format), "{error}");
        }
    }
}
