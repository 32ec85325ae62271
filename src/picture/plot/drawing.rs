//! A finished drawing, and the files that it becomes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use crate::picture::text;

/// Pixels of the PNG for one unit of the SVG: sharp on the screens and printers of today.
const SCALE: f32 = 2.0;

/// Why a drawing cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum DrawingError {
    #[error("{0}: a plot is written as .png or .svg; give the file such a name")]
    Ending(String),
    #[error("the frame at {time_s:.2} s cannot be drawn: {source}")]
    Frame { time_s: f64, source: ::image::ImageError },
    #[error("the plot cannot be made a PNG: {0}")]
    Png(String),
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: std::io::Error },
}

/// What a drawing is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Svg,
    Png,
}

impl Format {
    /// By the ending of the file's name.
    ///
    /// # Errors
    /// Any ending but .svg and .png.
    pub fn of(file: &Path) -> Result<Self, DrawingError> {
        match file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(DrawingError::Ending(file.display().to_string())),
        }
    }
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// The whole file; it needs no other.
    pub svg: String,
}

impl Drawing {
    /// The drawing as a PNG file, two pixels for each unit of the SVG.
    ///
    /// # Errors
    /// An SVG that is none, or has no size.
    pub fn png(&self) -> Result<Vec<u8>, DrawingError> {
        let options = usvg::Options {
            font_family: FAMILY.to_owned(),
            fontdb: Arc::clone(&FONTS),
            ..usvg::Options::default()
        };
        let failed = |error: &dyn std::fmt::Display| DrawingError::Png(error.to_string());
        let tree = usvg::Tree::from_str(&self.svg, &options).map_err(|error| failed(&error))?;
        let size = tree.size().to_int_size().scale_by(SCALE).ok_or_else(|| failed(&"it has no size"))?;
        let mut pixmap =
            Pixmap::new(size.width(), size.height()).ok_or_else(|| failed(&"it is too large"))?;
        pixmap.fill(Color::WHITE);
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixmap.as_mut());
        // The white ground makes every pixel opaque: the fourth channel says nothing.
        let rgb: Vec<u8> =
            pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        let mut png = Vec::new();
        let encoder = ::image::codecs::png::PngEncoder::new_with_quality(
            &mut png,
            ::image::codecs::png::CompressionType::Best,
            ::image::codecs::png::FilterType::Adaptive,
        );
        let colours = ::image::ExtendedColorType::Rgb8;
        ::image::ImageEncoder::write_image(encoder, &rgb, size.width(), size.height(), colours)
            .map_err(|error| failed(&error))?;
        Ok(png)
    }

    /// Writes the drawing as the file's ending says. The file is there whole or not at all.
    ///
    /// # Errors
    /// An unknown ending, or what the file system refuses.
    pub fn write(&self, file: &Path) -> Result<(), DrawingError> {
        let bytes = match Format::of(file)? {
            Format::Svg => self.svg.clone().into_bytes(),
            Format::Png => self.png()?,
        };
        let failed = |source| DrawingError::Write { file: file.display().to_string(), source };
        let part = part_of(file);
        let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, file));
        written.inspect_err(|_| discard(&part)).map_err(failed)
    }
}

/// The font of every drawing, and what stands in for it where an SVG is shown without it.
pub(super) const FAMILY: &str = "DejaVu Sans";
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for file in [text::REGULAR_FILE, text::BOLD_FILE] {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(file)));
    }
    Arc::new(fonts)
});

/// Where a file is written until it is complete: beside it.
pub(super) fn part_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    file.with_file_name(name)
}

/// Removes an unfinished file. There is nothing to add to the error that is already told.
pub(super) fn discard(part: &Path) {
    let _ = std::fs::remove_file(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(inside: &str) -> Drawing {
        let size = "width=\"40\" height=\"20\" viewBox=\"0 0 40 20\"";
        Drawing { svg: format!("<svg xmlns=\"http://www.w3.org/2000/svg\" {size}>{inside}</svg>") }
    }

    fn pixels(drawing: &Drawing) -> ::image::RgbImage {
        ::image::load_from_memory(&drawing.png().unwrap()).unwrap().into_rgb8()
    }

    #[test]
    fn a_png_is_twice_as_large_and_shows_the_shapes_on_white() {
        let picture =
            pixels(&drawing("<rect x=\"10\" y=\"5\" width=\"20\" height=\"10\" fill=\"#0072B2\"/>"));
        assert_eq!(picture.dimensions(), (80, 40));
        assert_eq!(picture.get_pixel(40, 20).0, [0x00, 0x72, 0xB2]);
        assert_eq!(picture.get_pixel(18, 20).0, [255; 3]);
    }

    #[test]
    fn text_is_drawn_with_the_embedded_fonts_alone() {
        let ink = |family: &str, weight: u16| {
            let text = format!(
                "<text x=\"2\" y=\"15\" font-size=\"14\" font-weight=\"{weight}\" font-family=\"{family}\">Hm</text>"
            );
            pixels(&drawing(&text)).pixels().filter(|pixel| pixel.0[0] < 128).count()
        };
        let regular = ink(FAMILIES, 400);
        assert!(regular > 100, "{regular}");
        assert!(ink(FAMILIES, 700) > regular);
    }

    #[test]
    fn pictures_inside_are_drawn() {
        let red = ::image::RgbImage::from_pixel(20, 10, ::image::Rgb([200, 30, 30]));
        let thumbnail = super::super::Thumbnail::of(&red, 20, 90).unwrap();
        let image =
            format!("<image x=\"10\" y=\"5\" width=\"20\" height=\"10\" href=\"{}\"/>", thumbnail.data_uri);
        let seen = pixels(&drawing(&image)).get_pixel(40, 20).0;
        assert!(seen[0] > 180 && seen[1] < 60 && seen[2] < 60, "{seen:?}");
    }

    #[test]
    fn files_are_written_by_their_ending_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let drawing = drawing("");
        drawing.write(&folder.path().join("a.SVG")).unwrap();
        drawing.write(&folder.path().join("a.png")).unwrap();
        let svg = std::fs::read_to_string(folder.path().join("a.SVG")).unwrap();
        assert_eq!(svg, drawing.svg);
        assert_eq!(std::fs::read(folder.path().join("a.png")).unwrap()[1..4], *b"PNG");
        for (file, named) in [("a.pdf", ".png or .svg"), ("a", ".png or .svg"), ("none/a.png", "none/a.png")]
        {
            let error = drawing.write(&folder.path().join(file)).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(file), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no part file is left");
        assert!(Drawing { svg: "<svg".to_owned() }.png().is_err());
    }
}
