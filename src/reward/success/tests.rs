use super::*;

mod guards;

/// Only what is asked for in a test is on.
const UNGUARDED: SuccessSettings = SuccessSettings::unguarded(-1.0, 3);
const SETTINGS: SuccessSettings = SuccessSettings { hold_s: 1.0, min_frames: 4, ..UNGUARDED };

/// Nothing wrong with it: frames every half second, one a reading.
fn reading(index: usize, judged: f64) -> Reading {
    Reading {
        time_s: index as f64 * 0.5,
        frames: index + 1,
        age_s: 0.1,
        change: 12.0,
        ..Reading::of(judged, -0.5, None)
    }
}

fn names_of(
    detector: &mut SuccessDetector,
    readings: impl IntoIterator<Item = Reading>,
) -> Vec<&'static str> {
    readings.into_iter().map(|reading| detector.push(reading).as_str()).collect()
}

fn names(mut detector: SuccessDetector, readings: impl IntoIterator<Item = Reading>) -> Vec<&'static str> {
    names_of(&mut detector, readings)
}

/// One reading every half second, one frame each.
fn verdicts(settings: SuccessSettings, rewards: &[f64]) -> Vec<&'static str> {
    let readings = rewards.iter().enumerate().map(|(i, &judged)| reading(i, judged));
    names(SuccessDetector::new(settings), readings)
}

/// Ten readings: three low ones (means −3), then high ones. The means are −3, −2.1667, −1.3333, −0.5, …: at least the
/// threshold from the sixth reading (2.5 s) on.
fn climb(change: impl Fn(usize, &mut Reading)) -> Vec<Reading> {
    let mut readings: Vec<_> = (0..10).map(|i| reading(i, if i < 3 { -3.0 } else { -0.5 })).collect();
    readings.iter_mut().enumerate().for_each(|(i, reading)| change(i, reading));
    readings
}

/// The verdicts over a climb, from the sixth reading on: before it lies below.
fn after_the_climb(settings: SuccessSettings, change: impl Fn(usize, &mut Reading)) -> Vec<&'static str> {
    let verdicts = names(SuccessDetector::new(settings), climb(change));
    assert_eq!(
        verdicts[..5],
        ["gathering", "gathering", "below_threshold", "below_threshold", "below_threshold"]
    );
    verdicts[5..].to_vec()
}

#[test]
fn is_called_when_the_mean_has_held() {
    // Above since the sixth reading (2.5 s), for a second at the eighth (3.5 s).
    assert_eq!(after_the_climb(SETTINGS, |_, _| ()), ["holding", "holding", "success", "success", "success"]);
}

#[test]
fn a_mean_at_the_threshold_has_reached_it() {
    let got = verdicts(UNGUARDED, &[-3.0, -3.0, -3.0, -1.0, -1.0, -1.0, -1.25, -1.0]);
    // (−1 − 1 − 1)/3, then (−1 − 1 − 1.25)/3 twice.
    assert_eq!(got[5..], ["success", "below_threshold", "below_threshold"]);
}

#[test]
fn one_spike_is_not_enough() {
    // (−3 − 3 − 0.01)/3 is below −1 at every place of the spike.
    let got = verdicts(SETTINGS, &[-3.0, -3.0, -3.0, -0.01, -3.0, -3.0, -3.0]);
    assert!(!got.contains(&"success") && !got.contains(&"holding"), "{got:?}");
}

#[test]
fn a_fall_below_starts_the_hold_again() {
    let rewards = [-3.0, -3.0, -3.0, -0.5, -0.5, -0.5, -3.0, -0.5, -0.5, -0.5, -0.5, -0.5];
    let got = verdicts(SETTINGS, &rewards);
    assert_eq!(got[5], "holding");
    assert_eq!(got[6..9], ["below_threshold"; 3]);
    assert_eq!(got[9..], ["holding", "holding", "success"]);
}

#[test]
fn true_from_the_start_is_no_success() {
    let got = verdicts(SETTINGS, &[-0.2; 10]);
    assert_eq!(got[2..], ["true_from_the_start"; 8]);
}

#[test]
fn few_frames_are_no_success() {
    let settings = SuccessSettings { min_frames: 9, ..UNGUARDED };
    let expected = ["too_few_frames", "too_few_frames", "too_few_frames", "success", "success"];
    assert_eq!(after_the_climb(settings, |_, _| ()), expected);
}

#[test]
fn an_unchanged_video_is_no_success() {
    let settings = SuccessSettings { min_change: 1.0, ..SETTINGS };
    // The picture changes at the ninth reading, long after the hold is over; a change of just 1 is enough.
    let late = |i: usize, reading: &mut Reading| reading.change = if i < 8 { 0.99 } else { 1.0 };
    let expected = ["unchanged_video", "unchanged_video", "unchanged_video", "success", "success"];
    assert_eq!(after_the_climb(settings, late), expected);
    for change in [0.0, f64::NAN] {
        let got = after_the_climb(settings, |_, reading| reading.change = change);
        assert_eq!(got, ["unchanged_video"; 5]);
    }
    let off = after_the_climb(SETTINGS, |_, reading| reading.change = f64::NAN);
    assert_eq!(off, after_the_climb(SETTINGS, |_, _| ()));
}

#[test]
fn a_hold_does_not_begin_before_a_doubted_time() {
    // Undoubted, the hold of a second from 2.5 s on would be over at the eighth reading; from 3.25 s on it is at the tenth.
    let mut detector = SuccessDetector::new(SETTINGS);
    detector.doubt(3.25);
    detector.doubt(1.0);
    assert_eq!(
        names(detector, climb(|_, _| ()))[5..],
        ["holding", "holding", "holding", "holding", "success"]
    );
}

#[test]
fn a_late_score_begins_the_hold_anew() {
    let settings = SuccessSettings { max_age_s: 2.0, ..SETTINGS };
    // The eighth reading would be the success. The ninth (4 s) begins the hold, which lasts a second: beyond the tenth.
    let late = |i: usize, reading: &mut Reading| reading.age_s = if i == 7 { 2.1 } else { 2.0 };
    let expected = ["holding", "holding", "stale_camera", "holding", "holding"];
    assert_eq!(after_the_climb(settings, late), expected);
    let never = after_the_climb(settings, |_, reading| reading.age_s = f64::NAN);
    assert_eq!(never, ["stale_camera"; 5]);
    let off = after_the_climb(SETTINGS, |_, reading| reading.age_s = 1e9);
    assert_eq!(off[2], "success");
}

#[test]
fn a_gap_in_the_video_begins_the_hold_anew() {
    let settings = SuccessSettings { max_gap_s: 2.0, ..SETTINGS };
    // 2.5 s, 3 s, then 3.5 + 2 = 5.5 s: a gap of 2.5. The hold begins at 6 s and is over at 7, after the last one here.
    let gap = |i: usize, reading: &mut Reading| reading.time_s += if i >= 7 { 2.0 } else { 0.0 };
    assert_eq!(after_the_climb(settings, gap), ["holding", "holding", "stale_camera", "holding", "holding"]);
    let shorter = SuccessSettings { hold_s: 0.5, ..settings };
    assert_eq!(after_the_climb(shorter, gap), ["holding", "success", "stale_camera", "holding", "success"]);
    // A gap of just 2 is none, and without the guard the time of the gap counts as held.
    let smaller = |i: usize, reading: &mut Reading| reading.time_s += if i >= 7 { 1.5 } else { 0.0 };
    assert_eq!(after_the_climb(settings, smaller)[2], "success");
    assert_eq!(after_the_climb(SETTINGS, gap)[2], "success");
    // A gap while the task looks undone needs no second gap to be forgotten.
    let early = |i: usize, reading: &mut Reading| reading.time_s += if i >= 2 { 9.0 } else { 0.0 };
    assert_eq!(after_the_climb(settings, early), after_the_climb(SETTINGS, |_, _| ()));
}

#[test]
fn cameras_that_disagree_begin_the_hold_anew() {
    let settings = SuccessSettings { max_spread_nats: 2.0, ..SETTINGS };
    let apart = |i: usize, reading: &mut Reading| reading.spread_nats = if i == 6 { 2.5 } else { 2.0 };
    // The hold of one second begins at the eighth reading.
    let expected = ["holding", "cameras_disagree", "holding", "holding", "success"];
    assert_eq!(after_the_climb(settings, apart), expected);
    let unknown = after_the_climb(settings, |_, reading| reading.spread_nats = f64::NAN);
    assert_eq!(unknown, ["cameras_disagree"; 5]);
    assert_eq!(after_the_climb(SETTINGS, |_, reading| reading.spread_nats = 50.0)[2], "success");
}

#[test]
fn a_new_instruction_is_not_believed_at_once() {
    let settings = SuccessSettings { after_instruction_s: 4.0, hold_s: 0.0, ..UNGUARDED };
    let mut detector = SuccessDetector::new(settings);
    assert_eq!(names_of(&mut detector, climb(|_, _| ()))[9], "success");
    detector.instruction_changed();
    // The same climb under the new instruction, 10 s later: its first reading is the change, the sixth lies 2.5 s after
    // it, the ninth 4.
    let later = climb(|_, reading| reading.time_s += 10.0);
    let expected =
        ["instruction_changed", "instruction_changed", "instruction_changed", "success", "success"];
    assert_eq!(names(detector.clone(), later.clone())[5..], expected);
    let off = SuccessSettings { after_instruction_s: 0.0, ..settings };
    detector.configure(off);
    assert_eq!(names(detector.clone(), later)[5..], ["success"; 5]);
    // In an episode without a change the guard has nothing to say.
    assert_eq!(after_the_climb(settings, |_, _| ()), ["success"; 5]);
}

#[test]
fn a_new_instruction_that_is_true_at_once_must_first_fall() {
    let mut detector = SuccessDetector::new(SuccessSettings { after_instruction_s: 1.0, ..UNGUARDED });
    assert_eq!(names_of(&mut detector, climb(|_, _| ()))[9], "success");
    detector.instruction_changed();
    let got = names(detector, (20..30).map(|i| reading(i, -0.1)));
    assert_eq!(got[2..], ["true_from_the_start"; 8]);
}

#[test]
fn other_settings_do_not_make_an_instruction_older() {
    let settings = SuccessSettings { after_instruction_s: 100.0, ..UNGUARDED };
    let mut detector = SuccessDetector::new(UNGUARDED);
    detector.instruction_changed();
    detector.configure(settings);
    detector.push(reading(0, -3.0));
    detector.configure(SuccessSettings { threshold_nats: -2.0, ..settings });
    assert_eq!(names(detector.clone(), climb(|_, _| ()))[9], "instruction_changed");
    detector.reset();
    assert_eq!(names(detector, climb(|_, _| ()))[9], "success", "a new episode has no change of instruction");
}

#[test]
fn an_episode_declared_open_need_not_fall() {
    let mut detector = SuccessDetector::new(SETTINGS);
    detector.declare_open();
    // Above from the third reading (1 s) on, with too few frames; for a second at the fifth (2 s).
    let got = names(detector, (0..6).map(|i| reading(i, -0.2)));
    assert_eq!(got, ["gathering", "gathering", "too_few_frames", "holding", "success", "success"]);
}

#[test]
fn a_declaration_in_the_middle_begins_the_hold_there() {
    let mut detector = SuccessDetector::new(SETTINGS);
    for i in 0..8 {
        detector.push(reading(i, -0.2));
    }
    detector.declare_open();
    assert_eq!(names(detector, (8..11).map(|i| reading(i, -0.2))), ["holding", "holding", "success"]);
}

#[test]
fn a_declaration_lifts_no_other_guard() {
    let settings = SuccessSettings { min_change: 1.0, max_age_s: 2.0, max_spread_nats: 2.0, ..SETTINGS };
    let wrong: [(fn(&mut Reading), _); 3] = [
        (|reading| reading.change = 0.0, "unchanged_video"),
        (|reading| reading.age_s = 3.0, "stale_camera"),
        (|reading| reading.spread_nats = 3.0, "cameras_disagree"),
    ];
    for (spoil, expected) in wrong {
        let mut detector = SuccessDetector::new(settings);
        detector.declare_open();
        let readings = (0..9).map(|i| {
            let mut reading = reading(i, -0.2);
            spoil(&mut reading);
            reading
        });
        assert_eq!(names(detector, readings)[2..], [expected; 7]);
    }
}

#[test]
fn a_declaration_is_of_one_episode_one_task_and_one_rule() {
    let ends: [fn(&mut SuccessDetector); 3] =
        [SuccessDetector::reset, SuccessDetector::instruction_changed, |detector| {
            detector.configure(SETTINGS)
        }];
    for end in ends {
        let mut detector = SuccessDetector::new(SETTINGS);
        detector.declare_open();
        end(&mut detector);
        assert_eq!(names(detector, (0..9).map(|i| reading(i, -0.2)))[2..], ["true_from_the_start"; 7]);
    }
}

#[test]
fn nan_is_no_success() {
    let settings = SuccessSettings { hold_s: 0.0, min_frames: 1, ..SETTINGS };
    let got = verdicts(settings, &[-3.0, -3.0, -3.0, f64::NAN, f64::NAN, f64::NAN]);
    assert_eq!(got[3..], ["below_threshold"; 3]);
    let timeless = after_the_climb(SETTINGS, |i, reading| {
        if i > 4 {
            reading.time_s = f64::NAN;
        }
    });
    assert_eq!(timeless, ["holding"; 5]);
}

#[test]
fn reset_forgets_that_it_was_below() {
    let mut detector = SuccessDetector::new(SETTINGS);
    for i in 0..3 {
        detector.push(reading(i, -3.0));
    }
    detector.reset();
    let got = names(detector, (0..3).map(|i| reading(i, -0.1)));
    assert_eq!(got, ["gathering", "gathering", "true_from_the_start"]);
}

#[test]
fn a_verdict_explains_itself() {
    let mean_nats = -0.5;
    let unchanged = Verdict::UnchangedVideo { mean_nats, change: 0.31, min_change: 1.0 };
    assert_eq!(
        unchanged.to_string(),
        "held back: the picture has changed by 0.3 of 255 levels since the episode began, success.min_change is 1"
    );
    let gap = Staleness::Gap { gap_s: 7.0, max_gap_s: 5.0 };
    assert_eq!(
        Verdict::StaleCamera { mean_nats, cause: gap }.to_string(),
        "held back: 7.0 s without a scored frame, success.max_gap_s is 5"
    );
    let age = Staleness::Age { age_s: 6.25, max_age_s: 5.0 };
    assert_eq!(
        Verdict::StaleCamera { mean_nats, cause: age }.to_string(),
        "held back: the score came 6.2 s after its frame, success.max_age_s is 5"
    );
    let few = Verdict::TooFewFrames { mean_nats, frames: 3, min_frames: 6 };
    assert_eq!(few.to_string(), "held back: the episode has 3 frames, success.min_frames is 6");
    assert_eq!((few.mean_nats(), Verdict::Gathering.mean_nats()), (Some(-0.5), None));
}

#[test]
fn a_verdict_carries_the_numbers_of_the_reading() {
    let settings = SuccessSettings { max_gap_s: 2.0, max_spread_nats: 2.0, min_change: 1.0, ..UNGUARDED };
    let seventh = |change: fn(&mut Reading)| {
        let mut detector = SuccessDetector::new(settings);
        let readings = climb(|i, reading| {
            if i == 6 {
                change(reading)
            }
        });
        readings.into_iter().take(7).map(|reading| detector.push(reading)).last().unwrap()
    };
    let mean_nats = -0.5;
    let cause = Staleness::Gap { gap_s: 6.5, max_gap_s: 2.0 };
    assert_eq!(seventh(|reading| reading.time_s += 6.0), Verdict::StaleCamera { mean_nats, cause });
    let disagree = Verdict::CamerasDisagree { mean_nats, spread_nats: 4.0, max_spread_nats: 2.0 };
    assert_eq!(seventh(|reading| reading.spread_nats = 4.0), disagree);
    let unchanged = Verdict::UnchangedVideo { mean_nats, change: 0.5, min_change: 1.0 };
    assert_eq!(seventh(|reading| reading.change = 0.5), unchanged);
    assert_eq!(seventh(|_| ()), Verdict::Success { mean_nats });
}
