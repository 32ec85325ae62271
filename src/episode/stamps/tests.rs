use super::*;

use DropReason::{Duplicate, OutOfOrder, StampStep, StampUnset};

/// A real clock, seconds.
const REAL_S: f64 = 1_760_000_000.0;

fn ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// What becomes of frames that are received 0.1 s apart with these stamps in seconds, whole milliseconds.
fn judged(stamps_s: &[f64]) -> Vec<Judgement> {
    let mut rule = StampRule::default();
    let received = (0..).map(|i| Some(i * 100_000_000));
    stamps_s.iter().zip(received).map(|(stamp_s, received)| rule.judge(ns(*stamp_s), received)).collect()
}

fn from(begin_s: f64, frames: usize) -> Vec<f64> {
    (0..frames).map(|i| begin_s + i as f64 * 0.1).collect()
}

/// Where the stream begins anew.
fn steps(stamps_s: &[f64]) -> Vec<usize> {
    let judged = judged(stamps_s);
    (0..judged.len()).filter(|&place| matches!(judged[place], Judgement::ClockStep(_))).collect()
}

#[test]
fn a_clock_that_is_set_is_a_step_once_three_stamps_agree() {
    for by_s in [300.0, -300.0, 3.0, -2.5, 1e9, -1e9, -REAL_S + 3.0] {
        let stream = [from(REAL_S, 5), from(REAL_S + by_s, 5)].concat();
        assert_eq!(steps(&stream), [7], "{by_s}");
        let judged = judged(&stream);
        assert!(matches!(judged[5], Judgement::LeftOut(StampStep | StampUnset)), "{by_s}");
        assert_eq!(judged[8], Judgement::Good, "{by_s}");
    }
}

#[test]
fn a_clock_that_is_set_by_less_is_a_pause_or_a_late_frame() {
    assert!(steps(&[from(REAL_S, 5), from(REAL_S + 2.0, 5)].concat()).is_empty());
    let back = judged(&[from(REAL_S, 5), from(REAL_S - 1.0, 5)].concat());
    assert_eq!(back[5..], [Judgement::LeftOut(OutOfOrder); 5]);
}

#[test]
fn odd_stamps_are_left_out_and_the_stream_goes_on() {
    for odd in [0.0, 3.0, REAL_S + 300.0, REAL_S - 300.0] {
        let mut stream = from(REAL_S, 8);
        stream[3] = odd;
        stream[5] = odd;
        let judged = judged(&stream);
        let reason = if odd < REAL_S / 2.0 { StampUnset } else { StampStep };
        assert_eq!(judged[3], Judgement::LeftOut(reason));
        assert_eq!(judged[5], judged[3]);
        assert!(
            [0, 1, 2, 4, 6, 7].iter().all(|&place| judged[place] == Judgement::Good),
            "{odd}: {judged:?}"
        );
    }
    // Stamps that are not set never agree with each other: they do not move.
    let unset = judged(&[from(REAL_S, 3), vec![0.0; 20]].concat());
    assert_eq!(unset[3..], [Judgement::LeftOut(StampUnset); 20]);
}

#[test]
fn a_stream_that_begins_unset_begins_anew_with_the_first_real_stamp() {
    for unset in [vec![0.0], vec![0.0; 3], vec![2.5]] {
        let stream = [unset.clone(), from(REAL_S, 3)].concat();
        assert_eq!(steps(&stream), [unset.len()]);
        assert_eq!(judged(&stream)[unset.len() + 1], Judgement::Good);
    }
    // From 1976 to now: a clock that was set by the network.
    assert_eq!(steps(&[from(2e8, 4), from(REAL_S, 4)].concat()), [6]);
}

#[test]
fn simulated_and_relative_times_are_as_good_as_others() {
    for begin_s in [0.0, 0.5, 12_000.0] {
        assert!(judged(&from(begin_s, 50)).iter().all(|judged| *judged == Judgement::Good));
    }
}

#[test]
fn a_standstill_is_named_each_time() {
    assert_eq!(judged(&[REAL_S; 4])[1..], [Judgement::LeftOut(Duplicate); 3]);
}

#[test]
fn two_publishers_on_one_topic_do_not_pull_the_stream_to_and_fro() {
    let both: Vec<f64> =
        (0..40).map(|i| if i % 2 == 0 { REAL_S } else { 5_000.0 } + f64::from(i) * 0.1).collect();
    assert_eq!(steps(&both[1..]), [1], "it began with the one that is not set");
    assert!(steps(&both).is_empty());
}

#[test]
fn a_pause_is_what_the_receivers_clock_shows_too() {
    let pause = |stamps_s: f64, received_s: f64| {
        let mut rule = StampRule::default();
        for i in 0..5 {
            rule.judge(ns(REAL_S + f64::from(i) * 0.1), Some(ns(f64::from(i) * 0.1)));
        }
        rule.judge(ns(REAL_S + 0.4 + stamps_s), Some(ns(0.4 + received_s)))
    };
    assert_eq!(pause(60.0, 60.0), Judgement::Good);
    assert_eq!(pause(60.0, 58.5), Judgement::Doubtful);
    assert_eq!(pause(60.0, 57.0), Judgement::LeftOut(StampStep));
    // Late, but not by the camera's fault.
    assert_eq!(pause(1.0, 60.0), Judgement::Good);
}

#[test]
fn a_frame_that_was_held_up_on_its_way_makes_no_step_of_the_next() {
    let mut rule = StampRule::default();
    for i in 0..5 {
        assert_eq!(rule.judge(ns(REAL_S + f64::from(i)), Some(ns(f64::from(i)))), Judgement::Good);
    }
    // Stamped at 5 s, here at 9 s; the frames between are lost, and the next one is in time.
    assert_eq!(rule.judge(ns(REAL_S + 5.0), Some(ns(9.0))), Judgement::Good);
    assert_eq!(rule.judge(ns(REAL_S + 9.1), Some(ns(9.1))), Judgement::Good);
}

#[test]
fn a_recording_that_is_played_faster_or_slower_has_no_step_but_a_real_one() {
    for pace in [0.1, 0.5, 3.0, 15.0] {
        let mut rule = StampRule::default();
        let mut judge = |i: u32, by_s: f64| {
            let time_s = f64::from(i) * 0.1;
            rule.judge(ns(REAL_S + time_s + by_s), Some(ns(time_s / pace)))
        };
        for i in 0..600 {
            assert_eq!(judge(i, 0.0), Judgement::Good, "{pace}");
        }
        assert_eq!(judge(600, 13.0), Judgement::LeftOut(StampStep), "{pace}");
    }
}

#[test]
fn without_a_receiver_pauses_of_up_to_an_hour_are_believed() {
    let mut rule = StampRule::default();
    let mut at = |seconds: f64| rule.judge(ns(seconds), None);
    assert_eq!([at(0.0), at(3600.0)], [Judgement::Good; 2]);
    assert_eq!(at(7300.0), Judgement::LeftOut(StampStep));
    assert_eq!(at(3601.0), Judgement::Good);
}

#[test]
fn the_largest_step_can_be_set() {
    let mut rule = StampRule::new(10.0);
    assert_eq!(rule.judge(ns(1.0), Some(0)), Judgement::Good);
    assert_eq!(rule.judge(ns(10.0), Some(1)), Judgement::Doubtful);
    assert_eq!(rule.judge(ns(0.5), Some(2)), Judgement::LeftOut(OutOfOrder));
    assert_eq!(rule.judge(ns(21.0), Some(3)), Judgement::LeftOut(StampStep));
}

#[test]
fn nothing_overflows() {
    for received in [None, Some(0), Some(i64::MAX), Some(i64::MIN)] {
        let mut rule = StampRule::new(f64::INFINITY);
        for stamp_ns in [i64::MIN, i64::MAX, 0, i64::MIN, i64::MAX, -1] {
            rule.judge(stamp_ns, received);
        }
    }
}

#[test]
fn a_recorded_stream_is_sorted_as_the_node_would() {
    let all = |stamps_s: &[f64]| {
        let received = (0..).map(|i| Some(i * 100_000_000));
        believed(StampRule::default(), stamps_s.iter().map(|stamp_s| ns(*stamp_s)).zip(received))
    };
    let mut stream = from(REAL_S, 8);
    stream[0] = 0.0;
    stream[4] = 0.0;
    stream[6] = REAL_S + 0.2;
    let found = all(&stream).unwrap();
    assert_eq!((found.kept, found.left_out), (vec![1, 2, 3, 5, 7], vec![(StampUnset, 2), (OutOfOrder, 1)]));
    let (place, step) = all(&[from(REAL_S, 4), from(REAL_S + 300.0, 4)].concat()).unwrap_err();
    assert_eq!(place, 6);
    let told = step.to_string();
    assert!(
        told.contains("from 1760000000.300 s to 1760000300.200 s (+299.900 s) while 0.300 s passed"),
        "{told}"
    );
    assert_eq!(all(&[REAL_S; 3]).unwrap().kept, [0, 1, 2]);
}

#[test]
fn the_source_of_stamps_is_read() {
    assert_eq!("receipt".parse(), Ok(StampSource::Receipt));
    assert_eq!("header".parse(), Ok(StampSource::default()));
    assert!("camera".parse::<StampSource>().is_err());
}
