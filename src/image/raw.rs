use ::image::RgbImage;

use super::ImageError;

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
    pub data: &'a [u8],
}

/// How the bytes of one pixel become red, green and blue: bytes a pixel, and the place of each colour in them.
fn layout(encoding: &str) -> Option<(usize, [usize; 3])> {
    Some(match encoding {
        "rgb8" => (3, [0, 1, 2]),
        // cv_bridge and image_proc read a bare three-channel image as BGR.
        "bgr8" | "8UC3" => (3, [2, 1, 0]),
        "rgba8" => (4, [0, 1, 2]),
        "bgra8" => (4, [2, 1, 0]),
        "mono8" | "8UC1" => (1, [0, 0, 0]),
        _ => return None,
    })
}

/// Decodes a raw image; `step` is obeyed and the length checked before a byte is read.
pub fn decode_raw(view: ImageView<'_>) -> Result<RgbImage, ImageError> {
    let ImageView { encoding, width, height, step, data } = view;
    let (pixel_bytes, places) = layout(encoding).ok_or_else(|| ImageError::Encoding(encoding.to_owned()))?;
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    let row_bytes = (width as usize).saturating_mul(pixel_bytes);
    if step < row_bytes {
        return Err(ImageError::Step { step, width, encoding: encoding.to_owned(), needed: row_bytes });
    }
    // The last row need not be padded.
    let needed = step.saturating_mul(height as usize - 1).saturating_add(row_bytes);
    if data.len() < needed {
        return Err(ImageError::Length { actual: data.len(), height, step, needed });
    }
    let mut rgb = RgbImage::new(width, height);
    let row_of = |y: usize| &data[y * step..y * step + row_bytes];
    for (y, row) in rgb.chunks_exact_mut(width as usize * 3).enumerate() {
        if places == [0, 1, 2] && pixel_bytes == 3 {
            row.copy_from_slice(row_of(y));
            continue;
        }
        for (to, from) in row.chunks_exact_mut(3).zip(row_of(y).chunks_exact(pixel_bytes)) {
            for (channel, place) in to.iter_mut().zip(places) {
                *channel = from[place];
            }
        }
    }
    Ok(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::Rgb;

    fn view<'a>(encoding: &'a str, step: usize, data: &'a [u8]) -> ImageView<'a> {
        ImageView { encoding, width: 2, height: 2, step, data }
    }

    #[test]
    fn every_encoding_lands_its_colours() {
        // The pixel at (1, 0) is red 10, green 20, blue 30; at (0, 1) it is 40, 50, 60.
        let cases: [(&str, usize, Vec<u8>); 5] = [
            ("rgb8", 6, vec![0, 0, 0, 10, 20, 30, 40, 50, 60, 0, 0, 0]),
            ("bgr8", 6, vec![0, 0, 0, 30, 20, 10, 60, 50, 40, 0, 0, 0]),
            ("8UC3", 6, vec![0, 0, 0, 30, 20, 10, 60, 50, 40, 0, 0, 0]),
            ("rgba8", 8, vec![0, 0, 0, 9, 10, 20, 30, 9, 40, 50, 60, 9, 0, 0, 0, 9]),
            ("bgra8", 8, vec![0, 0, 0, 9, 30, 20, 10, 9, 60, 50, 40, 9, 0, 0, 0, 9]),
        ];
        for (encoding, step, data) in cases {
            let rgb = decode_raw(view(encoding, step, &data)).unwrap();
            assert_eq!(rgb.get_pixel(1, 0), &Rgb([10, 20, 30]), "{encoding}");
            assert_eq!(rgb.get_pixel(0, 1), &Rgb([40, 50, 60]), "{encoding}");
        }
        let mono = decode_raw(view("mono8", 2, &[1, 2, 3, 4])).unwrap();
        assert_eq!(mono.get_pixel(0, 1), &Rgb([3, 3, 3]));
    }

    #[test]
    fn padding_is_skipped_and_the_last_row_may_lack_it() {
        for data in [vec![1, 2, 77, 77, 3, 4, 77, 77], vec![1, 2, 77, 77, 3, 4]] {
            let rgb = decode_raw(view("mono8", 4, &data)).unwrap();
            let reds: Vec<u8> = rgb.pixels().map(|p| p.0[0]).collect();
            assert_eq!(reds, [1, 2, 3, 4]);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let encoding = decode_raw(view("32FC1", 8, &[0; 16])).unwrap_err();
        assert_eq!(encoding, ImageError::Encoding("32FC1".into()));
        assert!(matches!(decode_raw(view("rgb8", 5, &[0; 16])), Err(ImageError::Step { needed: 6, .. })));
        assert!(matches!(decode_raw(view("rgb8", 6, &[0; 11])), Err(ImageError::Length { needed: 12, .. })));
        let empty = ImageView { width: 0, ..view("rgb8", 6, &[]) };
        assert!(matches!(decode_raw(empty), Err(ImageError::Empty { .. })));
        let huge = ImageView { width: u32::MAX, height: u32::MAX, ..view("rgba8", usize::MAX, &[]) };
        assert!(decode_raw(huge).is_err());
    }
}
