//! The size a frame is given, and its bicubic, antialiased resize, equal to torchvision's to the bit.
//!
//! torchvision resizes byte images with Pillow's method: first along the rows, then along the columns, each pass
//! with integer weights and rounded to bytes. A resize that keeps fractions between the passes is several levels off
//! where the first pass overshoots.

use ::image::RgbImage;
use rayon::prelude::*;

use super::config::CHANNELS;

/// transformers refuses frames that are longer than this many times their width.
const LARGEST_ASPECT: f64 = 200.0;
/// Reach of the cubic kernel, in source pixels when enlarging and in target pixels when shrinking.
const REACH: f64 = 2.0;
/// Integer weights have at most this many fractional bits, and fit 16 bits with sign.
const MOST_FRACTIONAL_BITS: u32 = 22;
const WEIGHT_LIMIT: f64 = 32_768.0;

/// (height, width) nearest to the frame's that are multiples of `factor` and keep the pixels within bounds, the
/// aspect ratio nearly kept: transformers' `smart_resize` with the number of frames cancelled out.
///
/// # Errors
/// A reason when a side is shorter than `factor` or one side is more than 200 times the other.
pub(super) fn smart_resize(
    height: usize,
    width: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: usize,
) -> Result<(usize, usize), String> {
    if height.min(width) < factor {
        return Err(format!("each side must have at least {factor} pixels"));
    }
    let (tall, wide, unit) = (height as f64, width as f64, factor as f64);
    if tall.max(wide) / tall.min(wide) > LARGEST_ASPECT {
        return Err(format!("one side must not be more than {LARGEST_ASPECT} times the other"));
    }
    let nearest = |side: f64| (side / unit).round_ties_even() * unit;
    let pixels = nearest(tall) * nearest(wide);
    let (resized_height, resized_width) = if pixels > max_pixels as f64 {
        let shrink = (tall * wide / max_pixels as f64).sqrt();
        let fit = |side: f64| ((side / shrink / unit).floor() * unit).max(unit);
        (fit(tall), fit(wide))
    } else if pixels < min_pixels as f64 {
        let stretch = (min_pixels as f64 / (tall * wide)).sqrt();
        let fill = |side: f64| (side * stretch / unit).ceil() * unit;
        (fill(tall), fill(wide))
    } else {
        (nearest(tall), nearest(wide))
    };
    Ok((resized_height as usize, resized_width as usize))
}

/// Resizes to `width` × `height`; both images must have pixels.
pub(super) fn resize(rgb: &RgbImage, width: u32, height: u32) -> Option<RgbImage> {
    let (source_width, source_height) = (rgb.width() as usize, rgb.height() as usize);
    let (target_width, target_height) = (width as usize, height as usize);
    if [source_width, source_height, target_width, target_height].contains(&0) {
        return None;
    }
    let mut pixels = rgb.as_raw().clone();
    if target_width != source_width {
        pixels = along_rows(&pixels, source_width, source_height, &Kernel::new(source_width, target_width));
    }
    if target_height != source_height {
        pixels = along_columns(&pixels, target_width * CHANNELS, &Kernel::new(source_height, target_height));
    }
    RgbImage::from_raw(width, height, pixels)
}

/// For every target coordinate, which source coordinates count and how much.
struct Kernel {
    taps: Vec<Taps>,
    fractional_bits: u32,
}

struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Kernel {
    fn new(source: usize, target: usize) -> Self {
        let step = source as f64 / target as f64;
        // When shrinking, the kernel is stretched so that no source pixel is skipped.
        let stretch = step.max(1.0);
        let exact: Vec<(usize, Vec<f64>)> = (0..target)
            .map(|index| {
                let center = step * (index as f64 + 0.5);
                let first = (center - REACH * stretch + 0.5).max(0.0) as usize;
                let end = ((center + REACH * stretch + 0.5) as usize).min(source);
                let weights: Vec<f64> =
                    (first..end).map(|pixel| cubic((pixel as f64 - center + 0.5) / stretch)).collect();
                let sum: f64 = weights.iter().sum();
                (first, weights.into_iter().map(|weight| weight / sum).collect())
            })
            .collect();
        let largest =
            exact.iter().flat_map(|(_, weights)| weights).fold(0.0, |max: f64, &weight| max.max(weight));
        let scaled = |weight: f64, bits: u32| (weight * f64::from(1u32 << bits)).round();
        let fractional_bits = (1..=MOST_FRACTIONAL_BITS)
            .take_while(|&bits| scaled(largest, bits) < WEIGHT_LIMIT)
            .last()
            .unwrap_or(0);
        let taps = exact
            .into_iter()
            .map(|(first, weights)| Taps {
                first,
                weights: weights.into_iter().map(|weight| scaled(weight, fractional_bits) as i32).collect(),
            })
            .collect();
        Self { taps, fractional_bits }
    }

    /// Half a unit, so that shifting the fraction away rounds.
    fn half(&self) -> i32 {
        (1 << self.fractional_bits) >> 1
    }

    fn byte(&self, sum: i32) -> u8 {
        (sum >> self.fractional_bits).clamp(0, 255) as u8
    }
}

/// The cubic convolution kernel with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < REACH {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn along_rows(pixels: &[u8], width: usize, height: usize, kernel: &Kernel) -> Vec<u8> {
    let target_stride = kernel.taps.len() * CHANNELS;
    let mut target = vec![0; target_stride * height];
    target.par_chunks_mut(target_stride).zip(pixels.par_chunks(width * CHANNELS)).for_each(
        |(target, source)| {
            for (pixel, taps) in target.chunks_exact_mut(CHANNELS).zip(&kernel.taps) {
                let mut sums = [kernel.half(); CHANNELS];
                let seen = source[taps.first * CHANNELS..].chunks_exact(CHANNELS);
                for (weight, seen) in taps.weights.iter().zip(seen) {
                    for (sum, &byte) in sums.iter_mut().zip(seen) {
                        *sum += weight * i32::from(byte);
                    }
                }
                for (byte, sum) in pixel.iter_mut().zip(sums) {
                    *byte = kernel.byte(sum);
                }
            }
        },
    );
    target
}

fn along_columns(pixels: &[u8], stride: usize, kernel: &Kernel) -> Vec<u8> {
    let mut target = vec![0; stride * kernel.taps.len()];
    target.par_chunks_mut(stride).zip(&kernel.taps).for_each(|(target, taps)| {
        let mut sums = vec![kernel.half(); stride];
        let seen = pixels[taps.first * stride..].chunks_exact(stride);
        for (weight, seen) in taps.weights.iter().zip(seen) {
            for (sum, &byte) in sums.iter_mut().zip(seen) {
                *sum += weight * i32::from(byte);
            }
        }
        for (byte, sum) in target.iter_mut().zip(sums) {
            *byte = kernel.byte(sum);
        }
    });
    target
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        height: usize,
        width: usize,
        min_pixels: usize,
        max_pixels: usize,
        size: Option<(usize, usize)>,
    }

    #[test]
    fn smart_resize_equals_the_table_of_transformers() {
        let rows: Vec<Row> =
            serde_json::from_str(include_str!("../../../tests/golden/smart_resize.json")).unwrap();
        assert!(rows.len() > 30);
        for row in rows {
            let got = smart_resize(row.height, row.width, 32, row.min_pixels, row.max_pixels).ok();
            assert_eq!(
                got, row.size,
                "{}×{} within {}..{}",
                row.height, row.width, row.min_pixels, row.max_pixels
            );
        }
    }

    #[test]
    fn a_plain_image_stays_plain() {
        let plain = RgbImage::from_pixel(37, 23, ::image::Rgb([3, 128, 255]));
        for (width, height) in [(32, 32), (64, 96), (5, 3), (37, 8), (500, 23)] {
            let resized = resize(&plain, width, height).unwrap();
            assert_eq!(resized, RgbImage::from_pixel(width, height, ::image::Rgb([3, 128, 255])));
        }
    }

    #[test]
    fn halving_a_step_weighs_by_the_cubic() {
        // The kernel at distances 0.25, 0.75, 1.25, 1.75 (of 2 source pixels each), normalised by hand:
        // 111/128, 29/128, −9/128, −3/128, twice, over their sum of 2.
        let kernel = Kernel::new(16, 8);
        let taps = &kernel.taps[4];
        assert_eq!((taps.first, taps.weights.len()), (5, 8));
        let unit = f64::from(1u32 << kernel.fractional_bits);
        for (weight, expected) in taps.weights.iter().zip([-3, -9, 29, 111, 111, 29, -9, -3]) {
            assert!((f64::from(*weight) / unit - f64::from(expected) / 256.0).abs() < 1.0 / unit);
        }
        assert_eq!(kernel.fractional_bits, 16);
    }

    #[test]
    fn no_pixels_give_no_image() {
        assert!(resize(&RgbImage::new(0, 0), 4, 4).is_none());
        assert!(resize(&RgbImage::new(4, 4), 0, 4).is_none());
    }
}
