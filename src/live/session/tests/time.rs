//! Clocks that are set, stand still or were never set, and cameras that send nothing.

use super::*;
use crate::config::Config;
use crate::episode::CameraFrame;

/// An episode that resets whenever it may, with a hold that no test lasts for.
fn resetting() -> Config {
    let mut config = config("/robot/reset");
    config.reset.on_timeout = true;
    config.reset.on_failure = true;
    config.success.hold_s = 4.0;
    config
}

/// 1.76e9 s: a clock that is set.
const REAL_S: f64 = 1_760_000_000.0;

/// Ten a second, 5 s long: the time since the start by the camera's clock, where it was right, to its stamps.
fn play(bench: &mut Bench, stamp_s: impl Fn(usize, f64) -> f64) {
    for i in 0..50 {
        bench.now_s = i as f64 * 0.1;
        bench.reward = if i < 15 { -5.0 } else { -0.1 };
        bench.stamped(0, stamp_s(i, REAL_S + bench.now_s) - 1.0, bench.now_s);
    }
}

#[test]
fn no_step_of_a_clock_ends_an_episode_as_a_success_or_a_timeout() {
    type Clock = fn(usize, f64) -> f64;
    // Each with how many episodes it makes.
    let clocks: [(&str, usize, Clock); 13] = [
        ("right", 1, |_, now| now),
        ("first unset", 2, |i, now| if i == 0 { 0.0 } else { now }),
        ("one unset", 1, |i, now| if i == 25 { 0.0 } else { now }),
        ("many unset", 1, |i, now| if (20..30).contains(&i) { 0.0 } else { now }),
        ("forward by 300 s", 2, |i, now| if i < 20 { now } else { now + 300.0 }),
        ("forward by 3 s", 2, |i, now| if i < 20 { now } else { now + 3.0 }),
        ("forward by 1.5 s, which is no step", 1, |i, now| if i < 20 { now } else { now + 1.5 }),
        ("from 1976", 2, |i, now| if i < 20 { now - REAL_S + 2e8 } else { now }),
        ("back by 300 s", 2, |i, now| if i < 20 { now } else { now - 300.0 }),
        ("back to 1970", 2, |i, now| if i < 20 { now } else { now - REAL_S + 5.0 }),
        ("once forward", 1, |i, now| if i == 20 { now + 300.0 } else { now }),
        ("forward and back", 3, |i, now| if (20..30).contains(&i) { now + 300.0 } else { now }),
        ("frozen", 1, |i, now| if i < 20 { now } else { REAL_S + 2.0 }),
    ];
    for (name, episodes, clock) in clocks {
        let mut bench = Bench::new(&resetting());
        play(&mut bench, clock);
        assert!(!bench.log.contains(&"success") && !bench.log.contains(&"reset"), "{name}: {:?}", bench.log);
        let reasons: Vec<_> = bench.reports.iter().map(|report| report.end_reason).collect();
        assert_eq!(reasons, vec![Some(EndReason::TimeJump); episodes - 1], "{name}");
        assert_eq!(bench.session.account().pending(), Some(0), "{name}");
        assert!(
            episodes == 1 || bench.notices.iter().any(|notice| notice.contains("its clock was set")),
            "{name}"
        );
    }
}

#[test]
fn a_hold_is_not_shortened_by_a_step_that_is_too_small_to_be_told() {
    let success_s = |by_s: f64| {
        let mut config = resetting();
        config.success.hold_s = 2.0;
        let mut bench = Bench::new(&config);
        for i in 0..80 {
            bench.now_s = f64::from(i) * 0.1;
            bench.reward = if i < 15 { -5.0 } else { -0.1 };
            bench.stamped(0, bench.now_s + if i < 28 { 0.0 } else { by_s }, bench.now_s);
            if bench.log.contains(&"success") {
                return bench.now_s;
            }
        }
        panic!("no success: {:?}", bench.log)
    };
    // The third bright sample is at 2.5 s, and two seconds later it has held.
    assert_eq!(success_s(0.0), 4.5);
    assert!(success_s(1.5) >= 4.5);
}

#[test]
fn an_episode_ends_although_its_camera_does_not() {
    let frozen = |bench: &mut Bench| bench.stamped(0, 3.0, 0.0);
    let resized = |bench: &mut Bench| {
        // Now one size, now another.
        let wide = (bench.now_s * 10.0).round() as i64 % 2 == 0;
        let (width, stamp_ns) = (if wide { 8 } else { 6 }, 1_000_000_000 + (bench.now_s * 1e9) as i64);
        let frame =
            CameraFrame::new(stamp_ns, "camera".into(), Some((width, 4)), || panic!("not to be decoded"));
        bench.take(0, frame.received((bench.now_s * 1e9) as i64));
    };
    let silent = |bench: &mut Bench| bench.session.pass_time((bench.now_s * 1e9) as i64);
    type Broken = fn(&mut Bench);
    let cameras: [(&str, Broken); 3] = [("frozen", frozen), ("resized", resized), ("silent", silent)];
    for (name, camera) in cameras {
        for stuck_s in [0.0, 7.0] {
            let mut config = resetting();
            config.failure.stuck_s = stuck_s;
            let mut bench = Bench::new(&config);
            bench.frames(0.0, 5, -5.0);
            while bench.now_s < 12.0 {
                bench.now_s += 0.1;
                camera(&mut bench);
                bench.settle();
            }
            let reason = if stuck_s == 0.0 { EndReason::MaxDuration } else { EndReason::Stuck };
            assert_eq!(bench.reports[0].end_reason, Some(reason), "{name}");
            assert_eq!(bench.log[1..], ["ended", "reset"], "{name}");
            let told = bench.notices.iter().filter(|notice| notice.contains("nothing is scored")).count();
            assert!(told <= 1 && (told == 1 || name == "resized"), "{name}: {:?}", bench.notices);
        }
    }
}

#[test]
fn before_its_first_frame_an_episode_waits() {
    let mut bench = Bench::new(&resetting());
    bench.session.pass_time(1_000_000_000_000);
    bench.settle();
    assert_eq!(bench.log, ["started"]);
    assert!(bench.notices[0].contains("no image for 1000 s"), "{:?}", bench.notices);
    assert!(matches!(bench.session.trouble(0), Some(Trouble::Silent { .. })));
}

#[test]
fn what_is_wrong_with_a_camera_is_said_once_and_shown_while_it_lasts() {
    let mut bench = Bench::new(&config(""));
    bench.frames(0.0, 3, -5.0);
    let black = Some(Trouble::Black);
    assert_eq!(bench.session.trouble(0), None);
    for i in 0..19 {
        bench.now_s = 1.1 + f64::from(i) * 0.1;
        // Every second one is not stamped.
        bench.stamped(0, if i % 2 == 0 { bench.now_s } else { -1.0 }, 0.0);
    }
    assert_eq!(bench.session.trouble(0), black);
    for i in 0..8 {
        bench.now_s += 0.1;
        bench.stamped(0, 2.9, 1.0);
        let in_a_row = Trouble::LeftOut { reason: DropReason::Duplicate, in_a_row: i + 1 };
        assert_eq!(bench.session.trouble(0), if i < 4 { black } else { Some(in_a_row) });
    }
    bench.frame(5.0);
    assert_eq!(bench.session.trouble(0), None);
    for kind in ["black", "receipt"] {
        assert_eq!(
            bench.notices.iter().filter(|notice| notice.contains(kind)).count(),
            1,
            "{:?}",
            bench.notices
        );
    }
}

#[test]
fn a_new_size_begins_a_new_episode() {
    let mut bench = Bench::new(&resetting());
    let sized = |bench: &mut Bench, side: u32| {
        bench.now_s += 0.5;
        let stamp_ns = (bench.now_s * 1e9) as i64;
        let decode = move || Ok(::image::RgbImage::from_pixel(side, side, ::image::Rgb([90; 3])));
        let frame = CameraFrame::new(stamp_ns, "camera".into(), None, decode).received(stamp_ns);
        bench.take(0, frame);
        bench.settle();
    };
    for side in [4, 8, 8, 8, 8, 8, 4, 8] {
        sized(&mut bench, side);
    }
    assert_eq!(bench.log, ["started", "ended", "started"]);
    assert_eq!(bench.reports[0].end_reason, Some(EndReason::SizeChanged));
    assert_eq!(bench.session.running().unwrap().frames, 4);
    assert!(
        bench.notices.iter().any(|notice| notice.contains("8×8 pixels and had 4×4")),
        "{:?}",
        bench.notices
    );
    assert_eq!(
        bench.account(),
        "8 offered = 5 scored + 0 coalesced + 0 skipped + 3 dropped (size_changed 3)"
    );
}
