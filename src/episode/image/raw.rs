use std::borrow::Cow;

use ::image::RgbImage;
use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvPackedImage, YuvRange, YuvStandardMatrix};

use super::ImageError;
use super::bayer::demosaic;
use super::bounds::check_size;
use super::encoding::{Depth, Encoding, Yuv};

/// A raw image as it arrives: the fields of `sensor_msgs/Image`, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct ImageView<'a> {
    pub encoding: &'a str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes from one row's start to the next's; rows may be padded.
    pub step: usize,
    /// Byte order of 16-bit values.
    pub is_bigendian: bool,
    pub data: &'a [u8],
}

/// Decodes a raw image; `step` and `is_bigendian` are obeyed, and the length is checked before a byte is read.
/// 16-bit values are brought to 8 bits by their full range (65535 becomes 255), YUV is BT.601 in the limited range, as
/// cv_bridge reads it.
pub fn decode_raw(view: ImageView<'_>) -> Result<RgbImage, ImageError> {
    let encoding = Encoding::parse(view.encoding)?;
    check(&view, encoding)?;
    // A single row's step says nothing, and may be any number.
    let step = if encoding.rows(view.height) == 1 { encoding.row_bytes(view.width) } else { view.step };
    let view = ImageView { step, ..view };
    let ImageView { width, height, step, data, .. } = view;
    let row = |y: u32| &data[y as usize * step..];
    match encoding {
        Encoding::Packed { depth: Depth::Eight, channels: 3, places: [0, 1, 2] } => {
            let mut rgb = RgbImage::new(width, height);
            let row_bytes = width as usize * 3;
            for (y, to) in (0..height).zip(rgb.chunks_exact_mut(row_bytes)) {
                to.copy_from_slice(&row(y)[..row_bytes]);
            }
            Ok(rgb)
        }
        Encoding::Packed { depth, channels, places } => {
            let value = reader(depth, view.is_bigendian);
            let mut rgb = RgbImage::new(width, height);
            for (y, to) in (0..height).zip(rgb.chunks_exact_mut(width as usize * 3)) {
                let from = row(y);
                for (x, pixel) in to.chunks_exact_mut(3).enumerate() {
                    for (channel, place) in pixel.iter_mut().zip(places) {
                        *channel = value(from, x * channels + place);
                    }
                }
            }
            Ok(rgb)
        }
        Encoding::Bayer { depth, pattern } => {
            let value = reader(depth, view.is_bigendian);
            Ok(demosaic(width, height, pattern, |x, y| value(row(y), x as usize)))
        }
        Encoding::Yuv(layout) => decode_yuv(&view, layout),
    }
}

/// Whether [`decode_raw`] could decode this; as good as free.
pub fn check_raw(view: ImageView<'_>) -> Result<(), ImageError> {
    check(&view, Encoding::parse(view.encoding)?)
}

/// Whether the data can hold such an image.
fn check(view: &ImageView<'_>, encoding: Encoding) -> Result<(), ImageError> {
    let &ImageView { width, height, step, data, .. } = view;
    check_size(width, height)?;
    let (even_width, even_height) = encoding.needs_even();
    if (even_width && width % 2 == 1) || (even_height && height % 2 == 1) {
        return Err(ImageError::Odd { encoding: view.encoding.to_owned(), width, height });
    }
    let row_bytes = encoding.row_bytes(width);
    if step < row_bytes {
        let encoding = view.encoding.to_owned();
        return Err(ImageError::Step { step, width, encoding, needed: row_bytes });
    }
    // The last row need not be padded.
    let rows = encoding.rows(height);
    let needed = step.saturating_mul(rows - 1).saturating_add(row_bytes);
    if data.len() < needed {
        return Err(ImageError::Length { actual: data.len(), rows, step, needed });
    }
    Ok(())
}

/// 65535 becomes 255, rounded.
pub fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// Reads the value at an index of a row as 8 bits.
fn reader(depth: Depth, is_bigendian: bool) -> fn(&[u8], usize) -> u8 {
    match (depth, is_bigendian) {
        (Depth::Eight, _) => |row, at| row[at],
        (Depth::Sixteen, true) => |row, at| narrow(u16::from_be_bytes([row[2 * at], row[2 * at + 1]])),
        (Depth::Sixteen, false) => |row, at| narrow(u16::from_le_bytes([row[2 * at], row[2 * at + 1]])),
    }
}

fn decode_yuv(view: &ImageView<'_>, layout: Yuv) -> Result<RgbImage, ImageError> {
    let &ImageView { width, height, .. } = view;
    let refuse = |reason: String| ImageError::Yuv { encoding: view.encoding.to_owned(), reason };
    let step = u32::try_from(view.step).map_err(|_| refuse(format!("step {} is too long", view.step)))?;
    let data = whole_rows(view, Encoding::Yuv(layout));
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    let mut rgb = RgbImage::new(width, height);
    let stride = width * 3;
    let done = match layout {
        Yuv::Yuyv | Yuv::Uyvy => {
            let image = YuvPackedImage { yuy: &data, yuy_stride: step, width, height };
            let convert = if layout == Yuv::Yuyv { yuv::yuyv422_to_rgb } else { yuv::uyvy422_to_rgb };
            convert(&image, &mut rgb, stride, range, matrix)
        }
        Yuv::Nv12 | Yuv::Nv21 | Yuv::Nv24 => {
            let (y_plane, uv_plane) = data.split_at(view.step * height as usize);
            // Every pixel of NV24 has a chroma pair of its own.
            let uv_stride = if layout == Yuv::Nv24 { step.saturating_mul(2) } else { step };
            let image = YuvBiPlanarImage { y_plane, y_stride: step, uv_plane, uv_stride, width, height };
            let convert = match layout {
                Yuv::Nv12 => yuv::yuv_nv12_to_rgb,
                Yuv::Nv21 => yuv::yuv_nv21_to_rgb,
                _ => yuv::yuv_nv24_to_rgb,
            };
            convert(&image, &mut rgb, stride, range, matrix, YuvConversionMode::Balanced)
        }
    };
    done.map_err(|error| refuse(error.to_string()))?;
    Ok(rgb)
}

/// The data with its last row padded: the yuv crate leaves out a row that is not whole, which would stay black.
fn whole_rows<'a>(view: &ImageView<'a>, encoding: Encoding) -> Cow<'a, [u8]> {
    let whole = view.step * encoding.rows(view.height);
    if view.data.len() >= whole {
        return Cow::Borrowed(&view.data[..whole]);
    }
    let mut data = view.data.to_vec();
    data.resize(whole, 0);
    Cow::Owned(data)
}

#[cfg(test)]
mod tests;
