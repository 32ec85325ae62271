use super::*;
use ::image::Rgb;

use crate::reward::{Reading, Verdict};

fn grey(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([128; 3]))
}

pub(super) fn prefix(time_s: f64, progress: f64) -> ScoredPrefix {
    let reading = Reading { time_s, ..Reading::of(-1.5, -0.5, None) };
    ScoredPrefix { reading, progress, verdict: Verdict::Gathering }
}

fn climb(to: f64) -> Vec<ScoredPrefix> {
    (0..=20).map(|i| prefix(f64::from(i) / 2.0, to * f64::from(i) / 20.0)).collect()
}

fn overlay<'a>(frame: &'a RgbImage, curve: &'a [ScoredPrefix]) -> Overlay<'a> {
    Overlay {
        frame,
        instruction: "put the red cube in the box",
        episode_id: 3,
        state: "running",
        success: false,
        threshold_nats: -1.0,
        curve,
    }
}

fn count(picture: &RgbImage, place: Rect, colour: Colour) -> usize {
    let inside = |x: u32, y: u32| {
        let (x, y) = (x as f32, y as f32);
        x >= place.left && x < place.right && y >= place.top && y < place.bottom
    };
    picture.enumerate_pixels().filter(|(x, y, pixel)| inside(*x, *y) && pixel.0 == colour).count()
}

/// Contrast of two colours by WCAG 2: 1 to 21.
fn contrast(one: Colour, other: Colour) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let light = |c: Colour| 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]) + 0.05;
    let (one, other) = (light(one), light(other));
    one.max(other) / one.min(other)
}

#[test]
fn nothing_panics_whatever_the_sizes_numbers_and_texts() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 0.5, 1e-320];
    let mut curve: Vec<_> =
        odd.iter().flat_map(|&time_s| odd.map(|progress| prefix(time_s, progress))).collect();
    let endless = "\u{301}".repeat(100_000);
    for (width, height) in
        [(0, 0), (u32::MAX, 0), (1, 1), (3, 2), (4000, 3), (10, 2000), (641, 481), (1, 5000)]
    {
        let frame = grey(width, height);
        for (&number, text) in
            odd.iter().zip(["", "\n", "🤖", "ﷺ", &endless, "\0", "x", "ok"].into_iter().cycle())
        {
            if let Some(newest) = curve.last_mut() {
                newest.reading.log_prob_true = number;
            }
            let picture = draw(&Overlay {
                instruction: text,
                episode_id: u64::MAX,
                state: text,
                success: number > 0.0,
                threshold_nats: number,
                ..overlay(&frame, &curve)
            });
            let (width, height) = picture.dimensions();
            assert!((640..=3840).contains(&width) && (320..=3840).contains(&height), "{width}×{height}");
        }
    }
}

#[test]
fn the_middle_of_the_camera_picture_is_left_alone() {
    let frame = grey(640, 480);
    let picture = draw(&overlay(&frame, &climb(0.6)));
    let untouched = count(&picture, Rect::new(0.0, 0.0, 640.0, 480.0), [128; 3]);
    assert!(untouched > 640 * 480 * 65 / 100, "{untouched}");
    assert_eq!(count(&picture, Rect::new(0.0, 60.0, 640.0, 360.0), [128; 3]), 640 * 300);
}

#[test]
fn more_progress_stands_higher_and_reads_as_a_larger_figure() {
    let frame = grey(640, 480);
    let place = Layout::new((640, 480)).plot();
    let highest = |to: f64| {
        let picture = draw(&overlay(&frame, &climb(to)));
        let lit = |y: u32| {
            count(&picture, Rect::new(place.left, y as f32, place.right, y as f32 + 1.0), RUNNING) > 0
        };
        (0..480).find(|&y| lit(y)).unwrap() as f32
    };
    let heights = [0.2, 0.5, 1.0].map(highest);
    assert!(heights[0] > heights[1] && heights[1] > heights[2], "{heights:?}");
    assert!(place.bottom - heights[2] > 0.8 * place.height() && heights[2] > place.top);
    assert_eq!([0.2, 0.5, 1.0].map(|to| progress_figure(&climb(to))), ["20", "50", "100"]);
}

#[test]
fn success_is_green_with_a_frame_around_the_picture() {
    let frame = grey(640, 480);
    let curve = climb(1.0);
    let running = draw(&overlay(&frame, &curve));
    let success = draw(&Overlay { success: true, state: "success", ..overlay(&frame, &curve) });
    let whole = Rect::new(0.0, 0.0, 640.0, 480.0);
    assert_eq!((count(&running, whole, SUCCESS), count(&success, whole, RUNNING)), (0, 0));
    for (x, y) in [(0, 0), (639, 0), (0, 479), (639, 479), (1, 240), (320, 2)] {
        assert_eq!(success.get_pixel(x, y).0, SUCCESS, "({x}, {y})");
    }
    assert!(count(&success, Layout::new((640, 480)).figures(), SUCCESS) > 1000);
}

#[test]
fn every_text_colour_stands_out_on_a_white_frame_and_on_a_black_one() {
    for shade in [0, 255] {
        let frame = RgbImage::from_pixel(640, 480, Rgb([shade; 3]));
        let picture = draw(&Overlay { instruction: "", ..overlay(&frame, &[]) });
        for (x, y) in [(320, 2), (4, 475)] {
            let ground = picture.get_pixel(x, y).0;
            for ink in [WHITE, MUTED, RUNNING, SUCCESS] {
                assert!(contrast(ink, ground) > 4.5, "{ink:?} on {ground:?}");
            }
        }
    }
    assert!(contrast(STRIP, SUCCESS) > 4.5);
}

#[test]
fn text_stays_inside_its_strip() {
    let frame = grey(640, 480);
    for instruction in ["word ".repeat(200), "把红色方块放进盒子🤖".repeat(50)] {
        let state = instruction.as_str();
        let picture = draw(&Overlay { instruction: &instruction, state, ..overlay(&frame, &[]) });
        let layout = Layout::new((640, 480));
        let bright = |place: Rect| {
            picture.enumerate_pixels().any(|(x, y, pixel)| {
                let (x, y) = (x as f32, y as f32);
                x >= place.left && x < place.right && y >= place.top && y < place.bottom && pixel.0[0] > 150
            })
        };
        assert!(bright(Rect::new(0.0, 30.0, 560.0, 54.0)), "a second line");
        assert!(!bright(Rect::new(0.0, 54.0, 640.0, layout.bottom_strip().top)), "no third");
        assert!(!bright(Rect::new(0.0, 0.0, layout.margin() - 2.0, 480.0)));
        assert!(!bright(Rect::new(640.0 - layout.margin() + 2.0, 0.0, 640.0, 54.0)));
        assert!(!bright(Rect::new(
            layout.figures().right + 1.0,
            layout.bottom_strip().top,
            layout.plot().left,
            480.0
        )));
    }
}

#[test]
fn the_newest_number_that_is_none_reads_as_a_dash() {
    let nan = [prefix(1.0, 0.5), prefix(2.0, f64::NAN)];
    assert_eq!((progress_figure(&[]), progress_figure(&nan)), ("–".to_owned(), "–".to_owned()));
    for (value, text) in [
        (None, "–"),
        (Some(f64::NAN), "–"),
        (Some(-0.425), "−0.42 nats"),
        (Some(-12345.0), "−1.2e4 nats"),
        (Some(f64::NEG_INFINITY), "−∞"),
    ] {
        assert_eq!(nats(value), text);
    }
}
