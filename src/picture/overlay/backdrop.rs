//! The frame, brought to the size that the overlay is drawn at.

use ::image::RgbImage;
use ::image::imageops;

/// Frames that are narrower are enlarged to this width.
const WIDTH: u32 = 640;
/// A narrow frame is not enlarged beyond this height.
const TALLEST_ENLARGED: f64 = 1280.0;
/// Frames that are longer are shrunk.
const LONGEST: f64 = 3840.0;
/// Where the frame itself is flatter, black bars fill the rest: there must be room for the text.
const LEAST_HEIGHT: u32 = 320;

/// The frame in its aspect ratio on a picture of at least 640×320, at most 3840×3840 pixels. Both sides are even, as
/// video encoders want them.
pub(super) fn backdrop(frame: &RgbImage) -> RgbImage {
    let (width, height) = shown_size(frame.dimensions());
    let canvas_width = width.max(WIDTH).next_multiple_of(2);
    let canvas_height = height.max(LEAST_HEIGHT).next_multiple_of(2);
    let shown = match frame.dimensions() {
        (0, _) | (_, 0) => return RgbImage::new(canvas_width, canvas_height),
        same if same == (width, height) => frame.clone(),
        (old, _) if old < width => enlarge(frame, width, height),
        _ => imageops::thumbnail(frame, width, height),
    };
    if (width, height) == (canvas_width, canvas_height) {
        return shown;
    }
    let mut canvas = RgbImage::new(canvas_width, canvas_height);
    let (left, top) = ((canvas_width - width) / 2, (canvas_height - height) / 2);
    imageops::replace(&mut canvas, &shown, left.into(), top.into());
    canvas
}

/// At which size a frame is shown.
fn shown_size((width, height): (u32, u32)) -> (u32, u32) {
    if width == 0 || height == 0 {
        return (WIDTH, WIDTH * 3 / 4);
    }
    let (wide, tall) = (f64::from(width), f64::from(height));
    let enlarged = (f64::from(WIDTH) / wide).min(TALLEST_ENLARGED / tall).max(1.0);
    let factor = enlarged.min(LONGEST / wide.max(tall));
    let scaled = |side: f64| ((side * factor).round() as u32).max(1);
    (scaled(wide), scaled(tall))
}

/// Enlarges by linear interpolation between the centres of pixels: what `imageops::resize` does with its triangle
/// filter, but in integers and without its buffers of floats, which would cost more than all the rest of the overlay.
fn enlarge(frame: &RgbImage, width: u32, height: u32) -> RgbImage {
    const CHANNELS: usize = 3;
    let columns = neighbours(frame.width(), width);
    let rows = neighbours(frame.height(), height);
    let stride = frame.width() as usize * CHANNELS;
    let source: &[u8] = frame;
    let mut enlarged = RgbImage::new(width, height);
    let mut between = vec![0u32; stride];
    for (target, row) in enlarged.chunks_exact_mut(width as usize * CHANNELS).zip(rows) {
        let (upper, lower) = (&source[row.first * stride..], &source[row.second * stride..]);
        for ((mixed, &upper), &lower) in between.iter_mut().zip(upper).zip(lower) {
            *mixed = u32::from(upper) * (ONE - row.share) + u32::from(lower) * row.share;
        }
        for (pixel, column) in target.chunks_exact_mut(CHANNELS).zip(&columns) {
            let (left, right) = (column.first * CHANNELS, column.second * CHANNELS);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let mixed =
                    between[left + channel] * (ONE - column.share) + between[right + channel] * column.share;
                *value = ((mixed + ONE * ONE / 2) / (ONE * ONE)) as u8;
            }
        }
    }
    enlarged
}

/// The whole of which [`Neighbours::share`] is a part.
const ONE: u32 = 256;

/// Between which two pixels of a line a pixel of the enlarged line lies, and how much of it is the second's.
struct Neighbours {
    first: usize,
    second: usize,
    share: u32,
}

fn neighbours(old: u32, new: u32) -> Vec<Neighbours> {
    let last = old as usize - 1;
    let place = |index: u32| {
        let at = ((f64::from(index) + 0.5) * f64::from(old) / f64::from(new) - 0.5).max(0.0);
        let first = (at as usize).min(last);
        Neighbours {
            first,
            second: (first + 1).min(last),
            share: (at.fract() * f64::from(ONE)).round() as u32,
        }
    };
    (0..new).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_enlarged_in_their_ratio_and_large_ones_kept() {
        for (frame, shown) in [
            ((320, 240), (640, 480)),
            ((224, 224), (640, 640)),
            ((640, 480), (640, 480)),
            ((1920, 1080), (1920, 1080)),
            ((1, 1), (640, 640)),
            ((480, 640), (640, 853)),
            ((10, 2000), (10, 2000)),
            ((100, 800), (160, 1280)),
            ((4000, 3), (3840, 3)),
            ((3000, 7680), (1500, 3840)),
            ((0, 77), (640, 480)),
        ] {
            assert_eq!(shown_size(frame), shown, "{frame:?}");
        }
    }

    #[test]
    fn enlarging_is_the_triangle_filter_to_within_rounding() {
        let frame = RgbImage::from_fn(7, 5, |x, y| {
            ::image::Rgb([(x * 36) as u8, (y * 60) as u8, (x * y * 97 % 256) as u8])
        });
        for (width, height) in [(8, 6), (14, 10), (61, 33), (7, 9)] {
            let expected = imageops::resize(&frame, width, height, imageops::FilterType::Triangle);
            let got = enlarge(&frame, width, height);
            for (place, (got, expected)) in got.iter().zip(expected.iter()).enumerate() {
                assert!(got.abs_diff(*expected) <= 1, "{width}×{height}, {place}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn bars_fill_what_is_too_flat_too_narrow_or_odd() {
        let white = |width, height| RgbImage::from_pixel(width, height, ::image::Rgb([255; 3]));
        for (frame, canvas) in [
            ((4000, 3), (3840, 320)),
            ((10, 2000), (640, 2000)),
            ((641, 481), (642, 482)),
            ((480, 640), (640, 854)),
        ] {
            let picture = backdrop(&white(frame.0, frame.1));
            assert_eq!(picture.dimensions(), canvas, "{frame:?}");
            let (width, height) = shown_size(frame);
            let lit = picture.pixels().filter(|pixel| pixel.0 == [255; 3]).count();
            assert_eq!(lit as u32, width * height, "{frame:?}");
        }
    }

    #[test]
    fn an_empty_frame_is_a_black_picture() {
        assert_eq!(backdrop(&RgbImage::new(u32::MAX, 0)), RgbImage::new(640, 480));
    }
}
