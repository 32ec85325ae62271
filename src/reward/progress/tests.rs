use super::*;

const GOAL: ProgressSettings = ProgressSettings {
    mode: ProgressMode::Goal,
    scale: ProgressScale::Nats,
    goal_nats: -1.0,
    min_span_nats: 0.5,
    typical: None,
};
const RUNNING: ProgressSettings =
    ProgressSettings { mode: ProgressMode::Running, min_span_nats: 2.0, ..GOAL };
const CALIBRATED: ProgressSettings = ProgressSettings {
    mode: ProgressMode::Calibrated,
    typical: Some(TypicalRewards { first_nats: -6.0, final_nats: -2.0 }),
    ..GOAL
};
const PROBABILITY: ProgressSettings = ProgressSettings { mode: ProgressMode::Probability, ..GOAL };

fn curve(settings: ProgressSettings, rewards: &[f64]) -> Vec<f64> {
    let mut tracker = ProgressTracker::new(settings);
    rewards.iter().map(|&s| tracker.push(Reading::of(s, -0.5, None))).collect()
}

fn p(probability: f64) -> f64 {
    probability.ln()
}

fn close(found: &[f64], expected: &[f64]) {
    let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(near && found.len() == expected.len(), "{found:?} is not {expected:?}");
}

#[test]
fn goal_runs_from_the_first_reward_to_the_goal() {
    assert_eq!(curve(GOAL, &[-5.0, -3.0, -1.0, -0.2, -6.0]), [0.0, 0.5, 1.0, 1.0, 0.0]);
}

#[test]
fn goal_is_linear_in_probability_when_told() {
    let settings =
        ProgressSettings { scale: ProgressScale::Probability, goal_nats: p(0.9), min_span_nats: 0.1, ..GOAL };
    close(&curve(settings, &[p(0.1), p(0.5), p(0.7), p(0.95)]), &[0.0, 0.5, 0.75, 1.0]);
}

#[test]
fn a_start_at_the_goal_does_not_divide_by_nothing() {
    // The start is held min_span below the goal: −1.5.
    assert_eq!(curve(GOAL, &[-1.0, -1.25, -2.0, -0.5]), [1.0, 0.5, 0.0, 1.0]);
}

#[test]
fn running_reaches_one_at_each_new_height_past_the_least_span() {
    // Zero at −6; the end is −4 until −3 is seen, then −3, then −2: 1/2, 3/3, 2/3, 4/4, 1/4.
    let rewards = [-6.0, -5.0, -3.0, -4.0, -2.0, -5.0];
    close(&curve(RUNNING, &rewards), &[0.0, 0.5, 1.0, 2.0 / 3.0, 1.0, 0.25]);
}

#[test]
fn running_does_not_stretch_noise() {
    // 0.02 nats of noise over a span of at least 2.
    let found = curve(RUNNING, &[-4.0, -3.98, -4.02, -3.99, -4.0]);
    close(&found, &[0.0, 0.01, 0.0, 0.005, 0.0]);
}

#[test]
fn the_way_back_from_a_setback_is_no_progress() {
    // Falls 4 below the start, returns to it, then climbs 1 of the least span of 2.
    assert_eq!(curve(RUNNING, &[-3.0, -7.0, -5.0, -3.0, -2.0]), [0.0, 0.0, 0.0, 0.0, 0.5]);
    assert_eq!(curve(GOAL, &[-3.0, -7.0, -3.0, -2.0]), [0.0, 0.0, 0.0, 0.5]);
}

#[test]
fn calibrated_runs_between_the_typical_rewards() {
    // Whatever the episode's own first reward is.
    assert_eq!(curve(CALIBRATED, &[-5.0, -7.0, -4.0, -2.0, -0.5]), [0.25, 0.0, 0.5, 1.0, 1.0]);
    let probability = ProgressSettings {
        scale: ProgressScale::Probability,
        typical: Some(TypicalRewards { first_nats: p(0.1), final_nats: p(0.9) }),
        ..CALIBRATED
    };
    close(&curve(probability, &[p(0.3), p(0.5), p(0.9)]), &[0.25, 0.5, 1.0]);
}

#[test]
fn a_calibration_that_leads_nowhere_gives_no_progress() {
    let ends = [(-2.0, -2.0), (-2.0, -6.0), (f64::NAN, -2.0), (-6.0, f64::NAN)];
    let none = ends.map(|(first_nats, final_nats)| Some(TypicalRewards { first_nats, final_nats }));
    for typical in none.into_iter().chain([None]) {
        assert_eq!(curve(ProgressSettings { typical, ..CALIBRATED }, &[-6.0, -2.0, 0.0]), [0.0; 3]);
    }
}

#[test]
fn probability_weighs_true_against_false() {
    let mut tracker = ProgressTracker::new(PROBABILITY);
    // 0.3/(0.3 + 0.1), whatever the rest of the vocabulary has.
    close(&[tracker.push(Reading::of(p(0.3), p(0.1), None))], &[0.75]);
    close(&[tracker.push(Reading::of(p(1e-9), p(1e-9), None))], &[0.5]);
    assert_eq!(tracker.push(Reading::of(-2000.0, -0.1, None)), 0.0);
    assert_eq!(tracker.push(Reading::of(-0.1, -2000.0, None)), 1.0);
}

#[test]
fn the_scene_that_does_not_change_makes_no_progress() {
    // The reward climbs with the video's length alone, and the control climbs with it.
    for settings in [GOAL, RUNNING] {
        let mut tracker = ProgressTracker::new(settings);
        for log_prob_true in [-9.0, -6.0, -3.0, -1.0] {
            let reading = Reading { corrected: -9.0, ..Reading::of(log_prob_true, -0.1, None) };
            assert_eq!(tracker.push(reading), 0.0);
        }
    }
}

#[test]
fn what_is_corrected_counts_from_the_first_reading_on() {
    let reading = |log_prob_true, corrected| Reading { corrected, ..Reading::of(log_prob_true, -0.1, None) };
    let mut tracker = ProgressTracker::new(RUNNING);
    // From −9 to −8 of a span of 2; the reward itself has not moved.
    assert_eq!([tracker.push(reading(-8.0, -9.0)), tracker.push(reading(-8.0, -8.0))], [0.0, 0.5]);
}

#[test]
fn later_readings_never_change_earlier_values() {
    let whole = [-5.0, -3.0, f64::NAN, -9.0, -1.0, -0.5, -7.0];
    for settings in [GOAL, RUNNING, CALIBRATED, PROBABILITY] {
        let expected = curve(settings, &whole);
        for length in 0..whole.len() {
            assert_eq!(curve(settings, &whole[..length]), expected[..length]);
        }
    }
}

#[test]
fn no_number_gives_no_progress_and_leaves_no_trace() {
    for settings in [GOAL, RUNNING, CALIBRATED, PROBABILITY] {
        let clean = curve(settings, &[-4.0, -3.0, -1.0]);
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = curve(settings, &[wrong, -4.0, -3.0, wrong, -1.0]);
            assert_eq!(found, [0.0, clean[0], clean[1], 0.0, clean[2]]);
        }
    }
    let mut tracker = ProgressTracker::new(GOAL);
    tracker.push(Reading::of(-5.0, -0.5, None));
    let uncontrolled = Reading { corrected: f64::NAN, ..Reading::of(-1.0, -0.5, None) };
    assert_eq!(tracker.push(uncontrolled), 0.0);
    assert_eq!(tracker.push(Reading::of(-1.0, f64::NAN, None)), 0.0);
}

#[test]
fn probabilities_too_small_for_a_difference_are_no_progress() {
    let settings = ProgressSettings { scale: ProgressScale::Probability, ..RUNNING };
    assert_eq!(curve(settings, &[-900.0, -850.0]), [0.0, 0.0]);
}

#[test]
fn forgets_on_reset_but_not_when_settings_change() {
    let mut tracker = ProgressTracker::new(GOAL);
    let reading = |reward| Reading::of(reward, -0.5, None);
    tracker.push(reading(-5.0));
    tracker.configure(ProgressSettings { goal_nats: -3.0, ..GOAL });
    assert_eq!(tracker.push(reading(-4.0)), 0.5);
    tracker.configure(RUNNING);
    assert_eq!(tracker.push(reading(-4.5)), 0.25);
    tracker.reset();
    assert_eq!(tracker.push(reading(-3.0)), 0.0);
}

#[test]
fn a_finished_episode_runs_from_its_lowest_to_its_highest_reward() {
    assert_eq!(episode_progress(&[-4.0, -5.0, -3.0, -1.0, -2.0]), [0.25, 0.0, 0.5, 1.0, 0.75]);
    assert_eq!(episode_progress(&[-4.0, f64::NAN, -2.0, f64::NEG_INFINITY]), [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn a_constant_episode_has_made_no_progress() {
    assert_eq!(episode_progress(&[-2.0; 4]), [0.0; 4]);
    assert_eq!(episode_progress(&[-2.0]), [0.0]);
    assert!(episode_progress(&[]).is_empty());
}
