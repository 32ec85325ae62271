//! The rule of success over a finished episode: when it calls, and from which threshold on it would.

use super::{SuccessDetector, SuccessSettings};
use crate::reward::Reading;

/// The place in the curve at which success is called.
pub fn first_success(curve: &[Reading], settings: SuccessSettings) -> Option<usize> {
    first_success_of(curve, SuccessDetector::new(settings))
}

/// As [`first_success`], with a detector that may know more than its settings.
pub fn first_success_of(curve: &[Reading], mut detector: SuccessDetector) -> Option<usize> {
    curve.iter().position(|reading| detector.push(*reading).is_success())
}

/// The mean of the last `settings.window` judged rewards, nats; `None` for a shorter curve.
pub fn end_score(curve: &[Reading], settings: SuccessSettings) -> Option<f64> {
    means(curve, settings).pop()
}

/// The highest threshold at which success would be called at any time, nats. `None` for an episode in which success
/// cannot be called at all. That the task must first look undone is left out: it can only call fewer.
pub fn peak_score(curve: &[Reading], settings: SuccessSettings) -> Option<f64> {
    let called = |threshold_nats: f64| {
        let mut detector = SuccessDetector::new(SuccessSettings { threshold_nats, ..settings });
        detector.declare_open();
        first_success_of(curve, detector).is_some()
    };
    // Between two means a threshold calls as the higher of them does, and a higher threshold never calls more.
    let mut thresholds = means(curve, settings);
    thresholds.retain(|mean| !mean.is_nan());
    thresholds.sort_by(f64::total_cmp);
    let callable = thresholds.partition_point(|threshold| called(*threshold));
    callable.checked_sub(1).map(|highest| thresholds[highest])
}

/// The mean of each reading that has `settings.window` up to it.
fn means(curve: &[Reading], settings: SuccessSettings) -> Vec<f64> {
    // Below an infinite threshold every verdict but "gathering" carries the mean.
    let mut detector = SuccessDetector::new(SuccessSettings { threshold_nats: f64::INFINITY, ..settings });
    curve.iter().filter_map(|reading| detector.push(*reading).mean_nats()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::half_second_curve;

    fn curve(rewards: &[f64]) -> Vec<Reading> {
        half_second_curve(rewards, 9.0)
    }

    const SETTINGS: SuccessSettings =
        SuccessSettings { hold_s: 0.5, min_frames: 3, ..SuccessSettings::unguarded(-1.0, 2) };

    #[test]
    fn success_is_called_where_the_detector_calls_it() {
        let settings = SuccessSettings { hold_s: 0.5, ..SuccessSettings::unguarded(-1.0, 2) };
        // Means from the second on: -3, -1.6, -0.2, -0.2: above at 1.5 s, held for half a second at 2 s.
        let still = half_second_curve(&[-3.0, -3.0, -0.2, -0.2, -0.2, -0.2], 0.0);
        assert_eq!(first_success(&still, settings), Some(4));
        assert_eq!(first_success(&curve(&[-3.0, -3.0, -3.0]), settings), None);
        let moving = SuccessSettings { min_change: 1.0, ..settings };
        assert_eq!(first_success(&still, moving), None);
    }

    #[test]
    fn the_end_score_is_the_mean_of_the_last_rewards() {
        let of = |window| end_score(&curve(&[-9.0, -1.0, -2.0]), SuccessSettings { window, ..SETTINGS });
        assert_eq!((of(2), of(4)), (Some(-1.5), None));
    }

    #[test]
    fn the_peak_is_the_best_mean_that_holds() {
        // Means at 0.5, 1, 1.5, 2 s: -3, -1, -2, -5. Pairs half a second apart hold at least -3, -2, -5.
        let found = curve(&[-4.0, -2.0, 0.0, -4.0, -6.0]);
        assert_eq!(peak_score(&found, SETTINGS), Some(-2.0));
        assert_eq!(peak_score(&found, SuccessSettings { hold_s: 0.0, ..SETTINGS }), Some(-1.0));
        // From the fourth frame on: min(-1, -2) at 1.5 s; from the fifth: -5.
        assert_eq!(peak_score(&found, SuccessSettings { min_frames: 5, ..SETTINGS }), Some(-5.0));
        assert_eq!(peak_score(&found, SuccessSettings { min_frames: 6, ..SETTINGS }), None);
        assert_eq!(peak_score(&found, SuccessSettings { hold_s: 9.0, ..SETTINGS }), None);
    }

    #[test]
    fn the_peak_needs_change_and_knows_gaps() {
        let mut found = curve(&[-4.0, -1.0, -1.0, -1.0, -1.0]);
        assert_eq!(peak_score(&found, SuccessSettings { min_change: 10.0, ..SETTINGS }), None);
        // Three seconds are missing before the last point: nothing holds across them, and none behind them.
        found[4].time_s += 3.0;
        found[3] = Reading { log_prob_true: -2.0, corrected: -2.0, ..found[3] };
        // Means -2.5, -1, -1.5: the last two hold for half a second.
        let gaps = SuccessSettings { max_gap_s: 2.0, ..SETTINGS };
        assert_eq!(peak_score(&found, gaps), Some(-1.5));
        found[2].time_s += 9.0;
        found[3].time_s += 9.0;
        found[4].time_s += 9.0;
        assert_eq!(peak_score(&found, gaps), None);
    }

    #[test]
    fn the_peak_is_where_the_detector_begins_to_call() {
        let mut found = curve(&[-4.0, -3.5, -2.0, -0.5, -0.75, -0.25, -3.0, -0.5]);
        for settings in [SETTINGS, SuccessSettings { window: 3, hold_s: 1.0, min_frames: 5, ..SETTINGS }] {
            let peak = peak_score(&found, settings).unwrap();
            let called = |threshold_nats: f64| {
                first_success(&found, SuccessSettings { threshold_nats, ..settings }).is_some()
            };
            assert!(called(peak) && !called(peak + 1e-9), "{peak}");
        }
        // A reward that is NaN is in every mean of its window, and none of them can be reached.
        found.truncate(4);
        found[3] = Reading::of(f64::NAN, -1.0, None);
        assert_eq!(peak_score(&found, SuccessSettings::unguarded(-1.0, 2)), Some(-2.75));
    }
}
