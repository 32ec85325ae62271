use ::image::{Rgb, RgbImage};

use super::encoding::Pattern;

/// Full colour from a mosaic of colour filters: what a pixel lacks is the mean of the neighbours that have it (bilinear).
/// `value(x, y)` reads the mosaic. At the border the neighbours beyond it are left out.
pub fn demosaic(width: u32, height: u32, pattern: Pattern, value: impl Fn(u32, u32) -> u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (mut sum, mut count) = ([0u32; 3], [0u32; 3]);
        let own = colour_at(pattern, x, y);
        for ny in y.saturating_sub(1)..(y + 2).min(height) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                let colour = colour_at(pattern, nx, ny);
                if colour == own && (nx, ny) != (x, y) {
                    continue;
                }
                sum[colour] += u32::from(value(nx, ny));
                count[colour] += 1;
            }
        }
        // An image of one row or column lacks colours altogether; two by two has them all.
        Rgb(std::array::from_fn(|c| (sum[c] + count[c] / 2).checked_div(count[c]).unwrap_or(0) as u8))
    })
}

fn colour_at(pattern: Pattern, x: u32, y: u32) -> usize {
    pattern[(y % 2) as usize][(x % 2) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RGGB: Pattern = [[0, 1], [1, 2]];

    #[test]
    fn an_even_colour_comes_back_even() {
        let rgb = demosaic(6, 4, RGGB, |x, y| [200, 100, 50][colour_at(RGGB, x, y)]);
        assert!(rgb.pixels().all(|pixel| pixel.0 == [200, 100, 50]));
    }

    #[test]
    fn missing_colours_are_means_of_their_neighbours() {
        // red  green red      10 20 30
        // green blue green =  40 50 60
        // red  green red      70 80 90
        let rgb = demosaic(3, 3, RGGB, |x, y| 10 * (1 + x + 3 * y) as u8);
        assert_eq!(rgb.get_pixel(1, 1).0, [(10 + 30 + 70 + 90) / 4, (20 + 40 + 60 + 80) / 4, 50]);
        assert_eq!(rgb.get_pixel(1, 0).0, [(10 + 30) / 2, 20, 50]);
        assert_eq!(rgb.get_pixel(0, 0).0, [10, (20 + 40) / 2, 50]);
    }
}
