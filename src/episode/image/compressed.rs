use std::borrow::Cow;
use std::fmt::Display;
use std::io::Cursor;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::ImageError;
use super::bayer::demosaic;
use super::bounds::{check_size, limits};
use super::encoding::{Depth, Encoding};
use super::jpeg;
use super::raw::narrow;

/// Decodes the payload of `sensor_msgs/CompressedImage`: JPEG or PNG, told apart by their first bytes, since drivers
/// fill `format` in many ways ("jpeg", "rgb8; jpeg compressed bgr8", …). Its first word says what one grey value a pixel
/// means: a mosaic of colour filters (`bayer_rggb8`, …) becomes colours, and 16 bits of grey are depth unless it is
/// `mono16`.
///
/// # Errors
/// Depth, another format, a picture that is too large, damaged or cut short.
pub fn decode_compressed(format: &str, data: &[u8]) -> Result<RgbImage, ImageError> {
    let (picture, _) = decode(format, data)?;
    colours(format, picture)
}

/// Decodes a picture of a file or a data set: JPEG or PNG, turned as its EXIF orientation says, as OpenCV's `imread` and
/// the readers of data sets do.
///
/// # Errors
/// As [`decode_compressed`].
pub fn decode_picture(data: &[u8]) -> Result<RgbImage, ImageError> {
    let (mut picture, orientation) = decode("", data)?;
    picture.apply_orientation(orientation);
    colours("", picture)
}

/// What shows without decoding: depth, another format, a size that is not read, a JPEG that is cut short.
pub fn check_compressed(format: &str, data: &[u8]) -> Result<(), ImageError> {
    if format.contains("compressedDepth") {
        return Err(refusal(format, "depth has no colours; subscribe to the colour camera".into()));
    }
    let refuse = |error: &dyn Display| refusal(format, error.to_string());
    let (width, height, jpeg) = match ::image::guess_format(data) {
        Ok(ImageFormat::Jpeg) => {
            let header = jpeg::Header::read(data).map_err(|error| refuse(&error))?;
            (header.width.into(), header.height.into(), Some(header))
        }
        Ok(ImageFormat::Png) => match png_size(data) {
            Some((width, height)) => (width, height, None),
            None => return Err(refuse(&format!("the PNG is cut short after {} bytes", data.len()))),
        },
        _ => return Err(refuse(&format!("its {} bytes are neither JPEG nor PNG", data.len()))),
    };
    check_size(width, height).map_err(|error| refuse(&error))?;
    jpeg.map_or(Ok(()), |header| header.check_length(data)).map_err(|error| refuse(&error))
}

/// From the first chunk, which follows the signature of 8 bytes (RFC 2083).
fn png_size(data: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?));
    (data.get(12..16)? == b"IHDR").then_some((number(16)?, number(20)?))
}

fn decode(format: &str, data: &[u8]) -> Result<(DynamicImage, Orientation), ImageError> {
    check_compressed(format, data)?;
    let whole = whole(data).map_err(|error| refusal(format, error.to_string()))?;
    let decoded = || {
        let mut reader = ImageReader::new(Cursor::new(&*whole)).with_guessed_format()?;
        reader.limits(limits());
        let mut decoder = reader.into_decoder()?;
        // What cannot be read of it says nothing.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        Ok((DynamicImage::from_decoder(decoder)?, orientation))
    };
    decoded().map_err(|error: ::image::ImageError| refusal(format, error.to_string()))
}

/// A JPEG that holds all its blocks, and the tables that it was sent without. The decoder of PNG knows by itself.
fn whole(data: &[u8]) -> Result<Cow<'_, [u8]>, jpeg::JpegError> {
    if !matches!(::image::guess_format(data), Ok(ImageFormat::Jpeg)) {
        return Ok(Cow::Borrowed(data));
    }
    let mut header = jpeg::Header::read(data)?;
    let data = header.with_tables(data);
    header.check_scans(&data)?;
    Ok(data)
}

/// What the values of a picture mean.
fn colours(format: &str, picture: DynamicImage) -> Result<RgbImage, ImageError> {
    let first_word = format.split(';').next().unwrap_or_default().trim();
    let mosaic = |grey: GrayImage, pattern| {
        let (width, height) = grey.dimensions();
        demosaic(width, height, pattern, |x, y| grey.get_pixel(x, y).0[0])
    };
    Ok(match (Encoding::parse(first_word), picture) {
        (Ok(Encoding::Bayer { pattern, .. }), DynamicImage::ImageLuma8(grey)) => mosaic(grey, pattern),
        (Ok(Encoding::Bayer { pattern, .. }), DynamicImage::ImageLuma16(grey)) => {
            let (width, height) = grey.dimensions();
            let values = grey.into_raw().into_iter().map(narrow).collect();
            let grey = GrayImage::from_raw(width, height, values);
            mosaic(grey.ok_or(ImageError::Empty { width, height })?, pattern)
        }
        (Ok(Encoding::Packed { depth: Depth::Sixteen, channels: 1, .. }), picture) => picture.into_rgb8(),
        (_, DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_)) => {
            let reason = "it has one value of 16 bits a pixel, which is depth and no colour: take the colour \
                          camera (a grey camera says so by the format mono16)";
            return Err(refusal(format, reason.into()));
        }
        (_, picture) => picture.into_rgb8(),
    })
}

fn refusal(format: &str, reason: String) -> ImageError {
    match format {
        "" => ImageError::Picture { reason },
        format => ImageError::Compressed { format: format.to_owned(), reason },
    }
}

#[cfg(test)]
mod tests;
