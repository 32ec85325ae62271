//! Drawing text on a picture. A character without a glyph becomes a box.

use ab_glyph::{Font, Point, PxScale};

use super::canvas::{Canvas, Colour};
use crate::picture::text::Style;

impl Style {
    /// Draws one line of text from `x` on, standing on `baseline`; answers where it ends.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        (x, baseline): (f32, f32),
        text: &str,
        colour: Colour,
    ) -> f32 {
        let Some(font) = self.font else { return x };
        let scale = PxScale::from(font.height_unscaled() * self.pixels_per_unit(font));
        let mut x = x;
        for character in text.chars() {
            let glyph = font.glyph_id(character).with_scale_and_position(scale, Point { x, y: baseline });
            if let Some(outline) = font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                let (left, top) = (corner.x as i64, corner.y as i64);
                outline.draw(|column, row, covered| {
                    canvas.blend(
                        left + i64::from(column),
                        top + i64::from(row),
                        colour,
                        covered.clamp(0.0, 1.0),
                    );
                });
            }
            x += self.advance(character);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::RgbImage;

    fn ink(style: Style, text: &str) -> usize {
        let mut canvas = Canvas::new(RgbImage::new(200, 60));
        style.draw(&mut canvas, (5.0, 45.0), text, [255; 3]);
        canvas.into_picture().pixels().filter(|pixel| pixel.0[0] > 128).count()
    }

    #[test]
    fn a_missing_glyph_is_a_box() {
        let style = Style::regular(40.0);
        assert!(ink(style, "H") > 100);
        assert_eq!(ink(style, " "), 0);
        assert!(ink(style, "積") > 50);
        assert_eq!(ink(style, "積"), ink(style, "🤖"));
    }
}
