use std::sync::Arc;

use ::image::{Rgb, RgbImage};

use super::*;
use crate::reward::{Control, Verdict};

/// Prefixes half a second apart, whose progress is a straight line.
fn prefixes(nats: &[f64]) -> Vec<ScoredPrefix> {
    let last = nats.len().max(2) as f64 - 1.0;
    let prefix = |(i, &nats): (usize, &f64)| ScoredPrefix {
        reading: Reading { time_s: i as f64 * 0.5, ..Reading::of(nats, -1.0, None) },
        progress: i as f64 / last,
        verdict: Verdict::Gathering,
    };
    nats.iter().enumerate().map(prefix).collect()
}

fn frames(count: usize, width: u32, height: u32) -> Vec<SampledFrame> {
    let picture = |i: usize| Arc::new(RgbImage::from_pixel(width, height, Rgb([(i * 9) as u8, 120, 60])));
    (0..count).map(|i| SampledFrame { rgb: picture(i), time_s: i as f64 * 0.5 }).collect()
}

fn scored<'a>(instruction: &'a str, prefixes: &'a [ScoredPrefix]) -> ScoredEpisode<'a> {
    ScoredEpisode {
        instruction,
        model: "models/so101-sim",
        voc: Some(0.987),
        prefixes,
        threshold_nats: -1.0,
        called_s: None,
        completed_s: None,
    }
}

/// The numbers of attribute `name` of the first element that begins like this.
fn attribute(svg: &str, element: &str, name: &str) -> String {
    let rest = &svg[svg.find(element).unwrap_or_else(|| panic!("no {element}"))..];
    let rest = rest.split_once(&format!("{name}=\"")).unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[test]
fn the_curve_lies_where_its_times_and_nats_say() {
    let rising = prefixes(&[-3.0, -2.0, -1.0]);
    let svg = episode(&scored("lift", &rising), &[]).unwrap().svg;
    // Axes: 0 to 1 s; −3 to −1 nats with 6 % of 2 nats on both sides, −3.12 to −0.88. The widest value is "−3.0" or
    // "0.8", both less than 24 wide as "−2" is, or a little more: the left edge is asked for.
    let left = left_of([(-3.12, -0.88), (0.0, 1.0)]);
    // One line of title (19 + 6), of subtitle (12.5 + 8), of legend (19 + 12), below a margin of 18.
    let top = 18.0 + 25.0 + 20.5 + 31.0;
    let x = |time_s: f64| left + time_s * (900.0 - 18.0 - left);
    let y = |nats: f64| top + (-0.88 - nats) / 2.24 * 200.0;
    let place = |time_s: f64, nats: f64| format!("{:.1},{:.1}", x(time_s), y(nats));
    let expected = [place(0.0, -3.0), place(0.5, -2.0), place(1.0, -1.0)].join(" ");
    assert_eq!(attribute(&svg, "<polyline class=\"reward\"", "points"), expected);
    // Progress: 96 high, 16 below the rewards.
    let bottom = top + 200.0 + 16.0 + 96.0;
    let expected = format!(
        "{:.1},{bottom:.1} {:.1},{:.1} {:.1},{:.1}",
        x(0.0),
        x(0.5),
        bottom - 48.0,
        x(1.0),
        bottom - 96.0
    );
    assert_eq!(attribute(&svg, "<polyline class=\"progress\"", "points"), expected);
    // The second threshold is the legend's first: the line in the plot runs from edge to edge.
    assert!(svg.contains(&format!("<path class=\"threshold\" d=\"M{left} {:.1}H882\"/>", y(-1.0))));
}

#[test]
fn success_completion_and_control_are_drawn_and_named_where_they_are_known() {
    let rising = prefixes(&[-3.0, -2.0, -0.5, -0.4]);
    let mut controlled = rising.clone();
    for (prefix, log_prob_true) in controlled.iter_mut().zip([-3.0, -2.9, -2.8]) {
        prefix.reading.control = Some(Control { first: -3.0, log_prob_true, log_prob_false: -1.0 });
    }
    let without = episode(&scored("lift", &rising), &[]).unwrap().svg;
    assert!(!without.contains("class=\"called\"") && !without.contains("class=\"completed\""));
    assert!(!without.contains("repeated") && without.contains("success not called"));
    let with = ScoredEpisode { called_s: Some(1.5), completed_s: Some(1.25), ..scored("lift", &controlled) };
    let svg = episode(&with, &[]).unwrap().svg;
    // Once in the legend, once in each panel.
    assert_eq!(svg.matches("class=\"called\"").count(), 3);
    assert_eq!(svg.matches("class=\"completed\"").count(), 3);
    assert!(svg.contains("success called, 1.5 s") && svg.contains("task completed, 1.2 s"));
    assert!(svg.contains("VOC 0.987 · success called at 1.5 s"));
    assert_eq!(attribute(&svg, "<polyline class=\"control\"", "points").split(' ').count(), 3);
}

#[test]
fn frames_stand_in_order_without_overlap_under_their_times() {
    let rising = prefixes(&[-3.0; 20]);
    for (width, height, count) in [(320, 240, 7), (640, 360, 6), (240, 320, 8), (960, 240, 6)] {
        let drawing = episode(&scored("lift", &rising), &frames(20, width, height)).unwrap();
        let images: Vec<&str> = drawing.svg.split("<image").skip(1).collect();
        assert_eq!(images.len(), count, "{width}×{height}");
        let number = |tag: &str, name: &str| -> f64 {
            let rest = tag.split_once(&format!(" {name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        for pair in images.windows(2) {
            assert!(number(pair[0], "x") + number(pair[0], "width") + 7.0 < number(pair[1], "x"));
        }
        let (first, last) = (images[0], images[count - 1]);
        assert!((number(first, "x") - 18.0).abs() < 0.1);
        assert!((number(last, "x") + number(last, "width") - 882.0).abs() < 0.2);
        assert!(first.contains(">0.0 s<") && last.contains(">9.5 s<"));
        let ratio = number(first, "width") / number(first, "height");
        assert!((ratio / (f64::from(width) / f64::from(height)) - 1.0).abs() < 0.01);
    }
}

#[test]
fn frames_are_chosen_evenly_in_time() {
    let regular: Vec<f64> = (0..13).map(f64::from).collect();
    assert_eq!(evenly_in_time(&regular, 7), [0, 2, 4, 6, 8, 10, 12]);
    assert_eq!(evenly_in_time(&[0.0, 0.1, 0.2, 6.0, 10.0], 3), [0, 3, 4]);
    // The middle is as far from both, and each is shown once.
    assert_eq!(evenly_in_time(&[0.0, 10.0], 3), [0, 1]);
    assert_eq!(evenly_in_time(&[0.0], 1), [0]);
    assert!(evenly_in_time(&[], 7).is_empty());
}

#[test]
fn frames_after_the_call_are_marked() {
    let rising = prefixes(&[-3.0; 13]);
    let called = ScoredEpisode { called_s: Some(5.0), ..scored("lift", &rising) };
    let svg = episode(&called, &frames(13, 320, 240)).unwrap().svg;
    // At 0, 1, 2, 3, 4, 5 and 6 s.
    assert_eq!(svg.matches("class=\"frame success\"").count(), 2);
    assert_eq!(svg.matches("class=\"frame\"").count(), 5);
}

#[test]
fn every_episode_is_a_picture_without_nonsense() {
    let long = "把红色方块 put <the> \"red\" cube & 🤖 ".repeat(40);
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
    let many: Vec<f64> = (0..3000).map(|i| -30.0 + f64::from(i) / 100.0).collect();
    let tiny: Vec<f64> = (0..9).map(|i| -1e-3 + f64::from(i) * 1.25e-4).collect();
    for (instruction, nats) in [
        ("", &[][..]),
        ("lift", &[-2.0][..]),
        ("lift", &[-2.0; 5]),
        (&long, &[0.0; 5]),
        ("\0\u{1}", &odd),
        ("lift", &many),
        ("lift", &tiny),
    ] {
        let prefixes = prefixes(nats);
        for threshold_nats in [-1.0, f64::NAN] {
            let scored = ScoredEpisode {
                voc: None,
                called_s: Some(f64::NAN),
                threshold_nats,
                model: &long,
                ..scored(instruction, &prefixes)
            };
            let drawing = episode(&scored, &frames(nats.len().min(30), 32, 24)).unwrap();
            assert!(!drawing.svg.contains("\"NaN") && !drawing.svg.contains("inf\""));
            assert!(!drawing.svg.contains("<the>"));
            let picture = ::image::load_from_memory(&drawing.png().unwrap()).unwrap();
            assert_eq!(picture.width(), 1800);
            assert!(picture.height() > 800 && picture.height() < 1600, "{}", picture.height());
        }
    }
}

#[test]
fn a_frame_without_pixels_is_named() {
    let rising = prefixes(&[-3.0]);
    let error = episode(&scored("lift", &rising), &frames(1, 0, 0)).unwrap_err().to_string();
    assert!(error.contains("frame at 0.00 s"), "{error}");
}
