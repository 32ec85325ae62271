//! From the planes of a decoded frame to RGB.
//!
//! Luma and chroma are converted here, in whole numbers, and only for frames that are sampled: the same bits on every
//! machine, with any number of threads and any version of ffmpeg. A chroma sample colours all pixels that share it, as in
//! the readers that data sets are made and trained with (PyAV, torchcodec).

use ::image::RgbImage;

use crate::episode::image::{ImageError, check_size};

/// How ffmpeg lays a frame out, by its own name of the pixel format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Rgb,
    /// Planes of luma and twice chroma, 8 bits; chroma is coarser by these powers of two.
    Planes {
        across: u32,
        down: u32,
        full_range: bool,
    },
}

impl Layout {
    /// `None`: nothing that is read here.
    pub fn named(format: &str) -> Option<Self> {
        let (plain, full_range) = match format.strip_prefix("yuvj") {
            Some(rest) => (rest, true),
            None => (format.strip_prefix("yuv").unwrap_or(format), false),
        };
        let (across, down) = match plain {
            "rgb24" => return Some(Self::Rgb),
            "420p" => (1, 1),
            "422p" => (1, 0),
            "440p" => (0, 1),
            "444p" => (0, 0),
            _ => return None,
        };
        Some(Self::Planes { across, down, full_range })
    }

    /// Bytes of a frame; `None` for a size that cannot be.
    pub fn bytes(self, width: u32, height: u32) -> Option<usize> {
        let pixels = u64::from(width) * u64::from(height);
        check_size(width, height).ok()?;
        let bytes = match self {
            Self::Rgb => pixels * 3,
            Self::Planes { across, down, .. } => {
                pixels + 2 * u64::from(halved(width, across)) * u64::from(halved(height, down))
            }
        };
        usize::try_from(bytes).ok()
    }
}

fn halved(length: u32, times: u32) -> u32 {
    length.div_ceil(1 << times)
}

/// The weights of red and blue in luma, and whether luma fills 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colours {
    red: f64,
    blue: f64,
    full_range: bool,
}

impl Colours {
    /// By ffmpeg's names; what a stream does not say is BT.601 in the limited range, as ffmpeg takes it.
    pub fn named(space: Option<&str>, range: Option<&str>) -> Self {
        let (red, blue) = match space {
            Some("bt709") => (0.2126, 0.0722),
            Some("fcc") => (0.30, 0.11),
            Some("smpte240m") => (0.212, 0.087),
            Some("bt2020nc" | "bt2020c") => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        Self { red, blue, full_range: range == Some("pc") }
    }
}

/// A frame's bytes as `layout` has them.
///
/// # Errors
/// A size that does not fit the bytes.
pub fn to_rgb(
    layout: Layout,
    colours: Colours,
    (width, height): (u32, u32),
    bytes: Vec<u8>,
) -> Result<RgbImage, ImageError> {
    let wrong = ImageError::Empty { width, height };
    if layout.bytes(width, height) != Some(bytes.len()) {
        return Err(wrong);
    }
    let Layout::Planes { across, down, full_range } = layout else {
        return RgbImage::from_raw(width, height, bytes).ok_or(wrong);
    };
    let matrix = Matrix::new(Colours { full_range: full_range || colours.full_range, ..colours });
    let (luma, chroma) = bytes.split_at(width as usize * height as usize);
    let (blue, red) = chroma.split_at(chroma.len() / 2);
    let chroma_width = halved(width, across) as usize;
    let mut rgb = RgbImage::new(width, height);
    let rows = rgb.chunks_exact_mut(width as usize * 3).zip(luma.chunks_exact(width as usize));
    for (y, (to, luma)) in rows.enumerate() {
        let from = (y >> down) * chroma_width;
        let (blue, red) = (&blue[from..from + chroma_width], &red[from..from + chroma_width]);
        for (x, (pixel, luma)) in to.chunks_exact_mut(3).zip(luma).enumerate() {
            pixel.copy_from_slice(&matrix.rgb(*luma, blue[x >> across], red[x >> across]));
        }
    }
    Ok(rgb)
}

/// The conversion in 65536ths.
struct Matrix {
    black: i32,
    luma: i32,
    red_to_red: i32,
    blue_to_green: i32,
    red_to_green: i32,
    blue_to_blue: i32,
}

impl Matrix {
    fn new(Colours { red, blue, full_range }: Colours) -> Self {
        let (luma, chroma, black) =
            if full_range { (1.0, 1.0, 0) } else { (255.0 / 219.0, 255.0 / 224.0, 16) };
        let green = 1.0 - red - blue;
        let fixed = |value: f64| (value * 65536.0).round() as i32;
        Self {
            black,
            luma: fixed(luma),
            red_to_red: fixed(chroma * 2.0 * (1.0 - red)),
            blue_to_green: fixed(chroma * 2.0 * (1.0 - blue) * blue / green),
            red_to_green: fixed(chroma * 2.0 * (1.0 - red) * red / green),
            blue_to_blue: fixed(chroma * 2.0 * (1.0 - blue)),
        }
    }

    fn rgb(&self, luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let luma = (i32::from(luma) - self.black) * self.luma;
        let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
        let level = |value: i32| ((value + (1 << 15)) >> 16).clamp(0, 255) as u8;
        [
            level(luma + self.red_to_red * red),
            level(luma - self.blue_to_green * blue - self.red_to_green * red),
            level(luma + self.blue_to_blue * blue),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(space: &str, range: &str, yuv: [u8; 3]) -> [u8; 3] {
        let layout = Layout::named("yuv444p").unwrap();
        let colours = Colours::named(Some(space), Some(range));
        to_rgb(layout, colours, (1, 1), yuv.to_vec()).unwrap().get_pixel(0, 0).0
    }

    #[test]
    fn the_corners_of_the_colour_cube_come_back() {
        // Worked out by the standards' formulas: Y = 16 + 219 (kr R + kg G + kb B), C = 128 + 112 (B − Y) / (1 − kb), ….
        for (space, red, blue) in
            [("bt470bg", [81, 90, 240], [41, 240, 110]), ("bt709", [63, 102, 240], [32, 240, 118])]
        {
            for (yuv, rgb) in [(red, [255, 0, 0]), (blue, [0, 0, 255])] {
                let found = pixel(space, "tv", yuv);
                assert!(found.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) <= 1), "{space} {yuv:?}: {found:?}");
            }
            assert_eq!(pixel(space, "tv", [16, 128, 128]), [0; 3]);
            assert_eq!(pixel(space, "tv", [235, 128, 128]), [255; 3]);
            assert_eq!(pixel(space, "tv", [255, 128, 128]), [255; 3]);
            assert_eq!(pixel(space, "pc", [77, 128, 128]), [77; 3]);
        }
        // Limited 126 is (126 − 16) · 255 / 219 = 128.08.
        assert_eq!(pixel("unknown", "unknown", [126, 128, 128]), [128; 3]);
    }

    #[test]
    fn chroma_is_shared_by_neighbours_and_odd_sizes_fit() {
        let layout = Layout::named("yuvj420p").unwrap();
        assert_eq!(layout.bytes(3, 3), Some(9 + 4 + 4));
        let mut bytes = vec![100; 9];
        bytes.extend([128, 128, 128, 255]);
        bytes.extend([128; 4]);
        let rgb = to_rgb(layout, Colours::named(None, None), (3, 3), bytes).unwrap();
        // 100 + 1.772 · 127 = 325: full. Only the last pixel has that chroma.
        let bright: Vec<(u32, u32)> =
            rgb.enumerate_pixels().filter(|(_, _, p)| p.0[2] == 255).map(|(x, y, _)| (x, y)).collect();
        assert_eq!(bright, [(2, 2)]);
    }

    #[test]
    fn sizes_have_bounds() {
        assert_eq!(Layout::Rgb.bytes(0, 5), None);
        assert_eq!(Layout::Rgb.bytes(8192, 4096), Some(3 << 25));
        assert_eq!(Layout::Rgb.bytes(8193, 8192), None);
        assert_eq!(Layout::Rgb.bytes(u32::MAX, u32::MAX), None);
        assert_eq!(Layout::named("yuv420p10le"), None);
        let short = to_rgb(Layout::Rgb, Colours::named(None, None), (2, 2), vec![0; 11]);
        assert!(short.is_err());
    }
}
