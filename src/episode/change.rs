use ::image::RgbImage;

/// Cells of a thumbnail, across and down.
const ACROSS: usize = 32;
const DOWN: usize = 24;
const CELLS: usize = ACROSS * DOWN;

/// How far the picture has gone from the episode's first, in 8-bit levels (0 to 255).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// The newest frame's.
    pub now: f64,
    /// The largest since the episode began.
    pub largest: f64,
}

/// Measures how much the video of one camera has changed since the episode's first frame.
///
/// Frames are compared as 32×24 grey thumbnails, each cell the mean of its pixels, in which sensor noise and the
/// blocks of JPEG vanish. The change is the mean absolute difference of the cells after the median difference is
/// taken out: lamps that flicker and cameras that expose anew move the whole picture, and that is no motion.
/// The thumbnail has as many cells whatever the size, so frames of another size are compared as well.
#[derive(Debug, Clone, Default)]
pub struct ChangeMeter {
    first: Option<Box<[f32; CELLS]>>,
    newest: Change,
}

impl ChangeMeter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the episode: the next frame is its first.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// What the newest frame gave; no change before the first.
    pub fn newest(&self) -> Change {
        self.newest
    }

    /// The episode's next frame. An image without pixels shows nothing and changes nothing.
    pub fn push(&mut self, frame: &RgbImage) -> Change {
        if frame.is_empty() {
            return self.newest;
        }
        let cells = thumbnail(frame);
        match &self.first {
            None => self.first = Some(Box::new(cells)),
            Some(first) => {
                let now = difference(first, &cells);
                self.newest = Change { now, largest: self.newest.largest.max(now) };
            }
        }
        self.newest
    }
}

/// The mean of a picture's pixels up to which it is black, 8-bit levels.
const BLACK: u64 = 3;

/// Whether a picture shows nothing but black, as behind a lens cap. About a thousand of its bytes are looked at.
pub fn is_black(frame: &RgbImage) -> bool {
    let bytes = frame.as_raw();
    let stride = (bytes.len() / 1024).max(1);
    let (sum, count) =
        bytes.iter().step_by(stride).fold((0, 0), |(sum, count), &byte| (sum + u64::from(byte), count + 1));
    count > 0 && sum <= BLACK * count
}

/// Mean over pixels and channels of each cell, row by row. An image smaller than the thumbnail shares its pixels
/// among cells.
fn thumbnail(frame: &RgbImage) -> [f32; CELLS] {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let bytes: &[u8] = frame.as_raw();
    let columns: [(usize, usize); ACROSS] = std::array::from_fn(|i| span(i, ACROSS, width));
    let mut cells = [0.0; CELLS];
    for (row, cells) in cells.chunks_exact_mut(ACROSS).enumerate() {
        let (top, bottom) = span(row, DOWN, height);
        let mut sums = [0u64; ACROSS];
        for y in top..bottom {
            let line = &bytes[y * width * 3..][..width * 3];
            for (sum, &(left, right)) in sums.iter_mut().zip(&columns) {
                // A cell's part of one row stays far below 2^32.
                *sum += u64::from(line[left * 3..right * 3].iter().map(|&byte| u32::from(byte)).sum::<u32>());
            }
        }
        for ((cell, sum), (left, right)) in cells.iter_mut().zip(sums).zip(columns) {
            *cell = sum as f32 / ((right - left) * (bottom - top) * 3) as f32;
        }
    }
    cells
}

/// Pixels of the cell `index` of `cells` along a side of `pixels`: from the first to before the second, at least one.
fn span(index: usize, cells: usize, pixels: usize) -> (usize, usize) {
    let start = index * pixels / cells;
    (start, ((index + 1) * pixels / cells).max(start + 1))
}

fn difference(first: &[f32; CELLS], newest: &[f32; CELLS]) -> f64 {
    let mut differences: [f32; CELLS] = std::array::from_fn(|i| newest[i] - first[i]);
    let (_, &mut median, _) = differences.select_nth_unstable_by(CELLS / 2, f32::total_cmp);
    let sum: f64 = differences.iter().map(|difference| f64::from((difference - median).abs())).sum();
    sum / CELLS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::Rgb;

    /// A grey picture with a bright square of 64×64 pixels, its left upper corner at (x, 64).
    fn scene(x: u32) -> RgbImage {
        RgbImage::from_fn(640, 480, |px, py| {
            let inside = (x..x + 64).contains(&px) && (64..128).contains(&py);
            Rgb(if inside { [250; 3] } else { [100; 3] })
        })
    }

    fn largest(frames: &[RgbImage]) -> f64 {
        let mut meter = ChangeMeter::new();
        frames.iter().map(|frame| meter.push(frame).largest).last().unwrap()
    }

    /// Adds a fixed pseudo-random -6 to 6 to every byte.
    fn noisy(mut frame: RgbImage, seed: u32) -> RgbImage {
        let mut state = seed;
        for byte in frame.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = byte.saturating_add_signed(((state >> 24) % 13) as i8 - 6);
        }
        frame
    }

    #[test]
    fn the_same_picture_has_not_changed() {
        assert_eq!(largest(&[scene(64), scene(64), scene(64)]), 0.0);
        assert_eq!(largest(&[RgbImage::new(640, 480), RgbImage::new(640, 480)]), 0.0);
        assert_eq!(largest(&[scene(64)]), 0.0);
    }

    #[test]
    fn a_moved_block_is_measured() {
        // The square is 3.2 by 3.2 cells of 20 pixels. It leaves 64² pixels and takes 64² others, each a difference of
        // 150 levels over 640·480 pixels; the median cell has not changed. 2·64²·150/(640·480) = 4.
        let change = largest(&[scene(64), scene(320)]);
        assert!((change - 4.0).abs() < 1e-4, "{change}");
    }

    #[test]
    fn noise_is_small() {
        // Uniform on 13 values: variance (13² − 1)/12 = 14, of a difference 28. The mean of the 20·20·3 bytes of a cell
        // has a deviation of sqrt(28/1200) = 0.153, and the mean absolute value of a normal is 0.8 of that: 0.12.
        let change = largest(&[noisy(scene(64), 1), noisy(scene(64), 2)]);
        assert!((0.09..0.15).contains(&change), "{change}");
    }

    #[test]
    fn light_over_the_whole_picture_is_no_motion() {
        let brighter = |by: u8| RgbImage::from_fn(320, 240, |x, y| Rgb([(x / 4 + y / 4) as u8 + by; 3]));
        assert!(largest(&[brighter(0), brighter(40)]) < 1e-4);
    }

    #[test]
    fn the_largest_is_kept_and_the_newest_told() {
        let mut meter = ChangeMeter::new();
        for (x, now, largest) in [(64, 0.0, 0.0), (320, 4.0, 4.0), (64, 0.0, 4.0)] {
            let change = meter.push(&scene(x));
            assert!((change.now - now).abs() < 1e-4 && (change.largest - largest).abs() < 1e-4, "{change:?}");
            assert_eq!(meter.newest(), change);
        }
        meter.reset();
        assert_eq!(meter.push(&scene(320)), Change::default());
    }

    #[test]
    fn a_dark_picture_is_not_a_black_one() {
        let grey = |level| RgbImage::from_pixel(64, 48, Rgb([level; 3]));
        assert!(is_black(&grey(0)) && is_black(&grey(3)) && !is_black(&grey(4)));
        assert!(!is_black(&scene(64)) && !is_black(&RgbImage::new(0, 0)));
    }

    #[test]
    fn any_size_will_do() {
        let plain = |width, height, grey| RgbImage::from_pixel(width, height, Rgb([grey; 3]));
        assert_eq!(largest(&[plain(640, 480, 90), plain(321, 7, 90), plain(1, 1, 90)]), 0.0);
        // Half of a picture of two pixels goes from 0 to 100; the median is one half's, so the other half counts.
        let halves = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8 * 100; 3]));
        assert_eq!(largest(&[plain(2, 1, 0), halves]), 50.0);
    }

    #[test]
    fn an_image_without_pixels_changes_nothing() {
        let mut meter = ChangeMeter::new();
        assert_eq!(meter.push(&RgbImage::new(0, 0)), Change::default());
        meter.push(&scene(64));
        meter.push(&scene(320));
        let before = meter.newest();
        assert_eq!(meter.push(&RgbImage::new(0, 0)), before);
    }
}
