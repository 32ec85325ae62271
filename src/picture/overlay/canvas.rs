//! A picture to draw on: translucent, antialiased shapes. What lies outside it is cut off.

use ::image::RgbImage;

pub(super) type Colour = [u8; 3];

/// A place on the canvas in pixels, `right` and `bottom` excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Rect {
    pub fn new(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { left, top, right, bottom }
    }

    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    pub fn grown(&self, by: f32) -> Self {
        Self::new(self.left - by, self.top - by, self.right + by, self.bottom + by)
    }
}

pub(super) struct Canvas {
    picture: RgbImage,
}

impl Canvas {
    pub fn new(picture: RgbImage) -> Self {
        Self { picture }
    }

    pub fn into_picture(self) -> RgbImage {
        self.picture
    }

    /// Blends one pixel with `colour`; `alpha` 0 leaves it, 1 replaces it.
    pub fn blend(&mut self, x: i64, y: i64, colour: Colour, alpha: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(pixel) = self.picture.get_pixel_mut_checked(x, y) {
            mix(&mut pixel.0, colour, alpha);
        }
    }

    /// Blends `colour` over `bounds`, by `alpha` times `coverage` (0 to 1) at each pixel's centre.
    pub fn cover(
        &mut self,
        bounds: Rect,
        colour: Colour,
        alpha: f32,
        mut coverage: impl FnMut(f32, f32) -> f32,
    ) {
        // Casts from float saturate, and NaN becomes 0: whatever the bounds, the ranges stay inside the picture.
        let columns = bounds.left.floor() as u32..(bounds.right.ceil() as u32).min(self.picture.width());
        let rows = bounds.top.floor() as u32..(bounds.bottom.ceil() as u32).min(self.picture.height());
        for y in rows {
            for x in columns.clone() {
                let covered = coverage(x as f32 + 0.5, y as f32 + 0.5);
                if covered > 0.0 {
                    mix(&mut self.picture.get_pixel_mut(x, y).0, colour, alpha * covered);
                }
            }
        }
    }

    /// Fills whole pixels: `rect` is rounded to them.
    pub fn fill(&mut self, rect: Rect, colour: Colour, alpha: f32) {
        let Rect { left, top, right, bottom } = rect;
        self.cover(
            Rect::new(left.round(), top.round(), right.round(), bottom.round()),
            colour,
            alpha,
            |_, _| 1.0,
        );
    }

    /// Fills a rectangle with round corners.
    pub fn fill_rounded(&mut self, rect: Rect, radius: f32, colour: Colour, alpha: f32) {
        let inner = rect.grown(-radius);
        self.cover(rect, colour, alpha, |x, y| {
            let outside_x = (inner.left - x).max(x - inner.right).max(0.0);
            let outside_y = (inner.top - y).max(y - inner.bottom).max(0.0);
            (radius + 0.5 - outside_x.hypot(outside_y)).clamp(0.0, 1.0)
        });
    }

    pub fn fill_disc(&mut self, (x, y): (f32, f32), radius: f32, colour: Colour) {
        self.fill_rounded(Rect::new(x, y, x, y).grown(radius), radius, colour, 1.0);
    }

    /// A line of `width` pixels through `points`, with round joints. Where it crosses itself it is drawn once.
    pub fn stroke(&mut self, points: &[(f32, f32)], width: f32, colour: Colour, alpha: f32) {
        let reach = width / 2.0 + 1.0;
        let edge = |pick: fn(&(f32, f32)) -> f32, better: fn(f32, f32) -> f32| {
            points.iter().map(pick).reduce(better).unwrap_or(0.0)
        };
        let bounds = Rect::new(
            edge(|p| p.0, f32::min),
            edge(|p| p.1, f32::min),
            edge(|p| p.0, f32::max),
            edge(|p| p.1, f32::max),
        )
        .grown(reach);
        let (left, top) = (bounds.left.floor() as u32, bounds.top.floor() as u32);
        let columns = (bounds.right.ceil() as u32).min(self.picture.width()).saturating_sub(left) as usize;
        let rows = (bounds.bottom.ceil() as u32).min(self.picture.height()).saturating_sub(top) as usize;
        let mut mask = vec![0.0f32; columns * rows];
        for segment in points.windows(2) {
            let (start, end) = (segment[0], segment[1]);
            let within = |low: f32, high: f32, offset: u32, limit: usize| {
                let low = (low - reach).floor() as u32;
                let high = (high + reach).ceil() as u32;
                (low.saturating_sub(offset) as usize).min(limit)
                    ..(high.saturating_sub(offset) as usize).min(limit)
            };
            for row in within(start.1.min(end.1), start.1.max(end.1), top, rows) {
                for column in within(start.0.min(end.0), start.0.max(end.0), left, columns) {
                    let centre = ((left as usize + column) as f32 + 0.5, (top as usize + row) as f32 + 0.5);
                    let covered = (width / 2.0 + 0.5 - distance(centre, start, end)).clamp(0.0, 1.0);
                    let cell = &mut mask[row * columns + column];
                    *cell = cell.max(covered);
                }
            }
        }
        self.cover(bounds, colour, alpha, |x, y| {
            mask[(y as usize - top as usize) * columns + (x as usize - left as usize)]
        });
    }
}

fn mix(pixel: &mut [u8; 3], colour: Colour, alpha: f32) {
    for (below, above) in pixel.iter_mut().zip(colour) {
        *below = (f32::from(*below) + (f32::from(above) - f32::from(*below)) * alpha + 0.5) as u8;
    }
}

/// From `point` to the nearest place on the segment.
fn distance(point: (f32, f32), start: (f32, f32), end: (f32, f32)) -> f32 {
    let (along, to) = ((end.0 - start.0, end.1 - start.1), (point.0 - start.0, point.1 - start.1));
    let length_squared = along.0 * along.0 + along.1 * along.1;
    let place = if length_squared > 0.0 {
        ((to.0 * along.0 + to.1 * along.1) / length_squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (to.0 - place * along.0).hypot(to.1 - place * along.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Colour = [255; 3];

    fn black(width: u32, height: u32) -> Canvas {
        Canvas::new(RgbImage::new(width, height))
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let mut canvas = black(4, 3);
        canvas.fill(Rect::new(-5.0, -5.0, 2.0, 1e30), WHITE, 1.0);
        canvas.fill(Rect::new(f32::NAN, 9.0, 1.0, 4.0), WHITE, 1.0);
        canvas.fill_disc((-100.0, 2.0), 3.0, WHITE);
        canvas.stroke(&[(-50.0, -50.0), (-20.0, 90.0)], 3.0, WHITE, 1.0);
        canvas.stroke(&[], 3.0, WHITE, 1.0);
        canvas.blend(-1, 0, WHITE, 1.0);
        canvas.blend(4, 0, WHITE, 1.0);
        let picture = canvas.into_picture();
        assert!(
            picture.enumerate_pixels().all(|(x, _, pixel)| pixel.0 == if x < 2 { WHITE } else { [0; 3] })
        );
    }

    #[test]
    fn alpha_mixes_linearly() {
        let mut canvas = black(1, 1);
        canvas.blend(0, 0, [200, 100, 0], 0.25);
        assert_eq!(canvas.into_picture().get_pixel(0, 0).0, [50, 25, 0]);
    }

    #[test]
    fn a_stroke_has_its_width_and_crosses_itself_once() {
        let mut canvas = black(20, 20);
        canvas.stroke(&[(2.0, 10.0), (18.0, 10.0), (2.0, 10.0)], 4.0, WHITE, 0.5);
        let picture = canvas.into_picture();
        let column: Vec<u8> = (6..14).map(|y| picture.get_pixel(10, y).0[0]).collect();
        assert_eq!(column, [0, 0, 128, 128, 128, 128, 0, 0]);
    }

    #[test]
    fn distance_is_to_the_segment_not_to_its_line() {
        assert_eq!(distance((3.0, 4.0), (0.0, 0.0), (-9.0, 0.0)), 5.0);
        assert_eq!(distance((-3.0, 4.0), (0.0, 0.0), (-9.0, 0.0)), 4.0);
        assert_eq!(distance((3.0, 4.0), (0.0, 0.0), (0.0, 0.0)), 5.0);
    }
}
