//! All guards together.

use super::*;

#[test]
fn of_several_guards_the_one_that_needs_most_is_named() {
    let settings = SuccessSettings {
        threshold_nats: -1.0,
        window: 3,
        hold_s: 60.0,
        min_frames: 100,
        min_change: 1.0,
        max_age_s: 2.0,
        max_gap_s: 2.0,
        max_spread_nats: 2.0,
        after_instruction_s: 60.0,
    };
    let mut detector = SuccessDetector::new(settings);
    detector.instruction_changed();
    let mut say = |reading| detector.push(reading).as_str();
    // Everything is wrong; then the causes go away one by one, in the order in which they are named.
    let all = |i| Reading { age_s: 9.0, change: 0.0, spread_nats: 9.0, frames: 1, ..reading(i, -0.1) };
    assert_eq!([say(all(0)), say(all(1)), say(all(2))], ["gathering", "gathering", "true_from_the_start"]);
    assert_eq!(say(Reading { corrected: -30.0, ..all(3) }), "below_threshold");
    assert_eq!(
        [say(all(4)), say(all(5)), say(all(6))],
        ["below_threshold", "below_threshold", "stale_camera"]
    );
    let fresh = |i| Reading { age_s: 0.1, ..all(i) };
    assert_eq!(say(fresh(20)), "stale_camera", "7 s since the reading before");
    assert_eq!(say(fresh(21)), "cameras_disagree");
    // From here on, at 11 s, the hold runs. The instruction was changed at 0 s.
    let agreed = |i| Reading { spread_nats: 0.0, ..fresh(i) };
    assert_eq!((22..120).map(|i| say(agreed(i))).collect::<Vec<_>>(), ["instruction_changed"; 98]);
    assert_eq!(say(agreed(120)), "unchanged_video");
    let moved = |i| Reading { change: 5.0, ..agreed(i) };
    assert_eq!(say(moved(121)), "too_few_frames");
    // 60 s after 11 s is the reading 142.
    let long = |i| Reading { frames: 100, ..moved(i) };
    assert_eq!((122..142).map(|i| say(long(i))).collect::<Vec<_>>(), ["holding"; 20]);
    assert_eq!(say(long(142)), "success");
}

/// Readings in which everything comes and goes, from a fixed seed.
fn random_readings(seed: u32) -> Vec<Reading> {
    let mut state = seed;
    let mut below = move |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % limit
    };
    let (mut time_s, mut change) = (0.0, 0.0f64);
    let mut next = |i: usize| {
        time_s += f64::from(below(20) == 0) * 4.0 + 0.5;
        change = change.max(f64::from(below(30)) * 0.1);
        let reward = if below(4) == 0 { -2.0 } else { -0.4 };
        Reading {
            time_s,
            frames: i + 1,
            change,
            age_s: f64::from(below(12)) * 0.2,
            spread_nats: f64::from(below(12)) * 0.2,
            ..Reading::of(reward, -0.5, None)
        }
    };
    (0..60).map(&mut next).collect()
}

#[test]
fn a_guard_never_makes_success_easier() {
    let guards = [
        SuccessSettings { hold_s: 1.0, ..UNGUARDED },
        SuccessSettings { min_frames: 20, ..UNGUARDED },
        SuccessSettings { min_change: 2.5, ..UNGUARDED },
        SuccessSettings { max_age_s: 2.0, ..UNGUARDED },
        SuccessSettings { max_gap_s: 2.0, ..UNGUARDED },
        SuccessSettings { max_spread_nats: 2.0, ..UNGUARDED },
        SuccessSettings { after_instruction_s: 12.0, ..UNGUARDED },
    ];
    let all = SuccessSettings {
        hold_s: 1.0,
        min_frames: 20,
        min_change: 2.5,
        max_age_s: 2.0,
        max_gap_s: 2.0,
        max_spread_nats: 2.0,
        after_instruction_s: 12.0,
        ..UNGUARDED
    };
    let successes = |settings, seed, changed: bool| -> Vec<bool> {
        let mut detector = SuccessDetector::new(settings);
        if changed {
            detector.instruction_changed();
        }
        random_readings(seed).into_iter().map(|reading| detector.push(reading).is_success()).collect()
    };
    // Each against none, and all against each.
    let pairs = guards.iter().flat_map(|&guard| [(guard, UNGUARDED), (all, guard)]);
    for (strict, loose) in pairs {
        let (mut called, mut held_back) = (0, 0);
        for seed in 0..200 {
            let both = successes(strict, seed, true).into_iter().zip(successes(loose, seed, true));
            for (strictly, loosely) in both {
                assert!(loosely || !strictly, "seed {seed}: {strict:?}");
                called += usize::from(strictly);
                held_back += usize::from(loosely && !strictly);
            }
        }
        assert!(called > 0 && held_back > 0, "{called} {held_back}: {strict:?} against {loose:?}");
    }
}
