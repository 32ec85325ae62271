use serde::{Deserialize, Serialize};

/// On which scale progress is linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressScale {
    /// In `log p(" True")`, as TOPReward's own normalisation (arXiv 2602.19313): right for pretrained models,
    /// whose probabilities stay tiny for most of an episode.
    Nats,
    /// In `p(" True")`: right for a model whose probability itself was trained on progress.
    Probability,
}

/// Settings of [`ProgressTracker`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProgressSettings {
    pub scale: ProgressScale,
    /// The `log p(" True")` in nats that counts as done (progress 1).
    pub goal_nats: f64,
    /// Least distance in nats from start to goal, for episodes that begin near the goal.
    pub min_span_nats: f64,
}

/// Live progress, 0 to 1, from the past alone.
///
/// The episode's first reward is the start, `goal_nats` the end, progress is the place between them. The peers'
/// min–max over the finished episode cannot be had live, and stretches the noise of an idle robot to a full climb;
/// here a robot whose reward stays where it began stays at 0.
#[derive(Debug, Clone)]
pub struct ProgressTracker {
    settings: ProgressSettings,
    start_nats: Option<f64>,
}

impl ProgressTracker {
    pub fn new(settings: ProgressSettings) -> Self {
        Self { settings, start_nats: None }
    }

    /// Goes on with other settings; where the episode began is kept.
    pub fn configure(&mut self, settings: ProgressSettings) {
        self.settings = settings;
    }

    /// Forgets the episode.
    pub fn reset(&mut self) {
        self.start_nats = None;
    }

    /// Progress after a prefix with reward `log_prob_true` (nats, ≤ 0).
    pub fn push(&mut self, log_prob_true: f64) -> f64 {
        let ProgressSettings { scale, goal_nats, min_span_nats } = self.settings;
        let start_nats = *self.start_nats.get_or_insert(log_prob_true);
        let start_nats = start_nats.min(goal_nats - min_span_nats);
        let on_scale = |nats: f64| match scale {
            ProgressScale::Nats => nats,
            ProgressScale::Probability => nats.exp(),
        };
        let (start, goal) = (on_scale(start_nats), on_scale(goal_nats));
        ((on_scale(log_prob_true) - start) / (goal - start)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(scale: ProgressScale, rewards: &[f64]) -> Vec<f64> {
        let settings = ProgressSettings { scale, goal_nats: -1.0, min_span_nats: 0.5 };
        let mut tracker = ProgressTracker::new(settings);
        rewards.iter().map(|&s| tracker.push(s)).collect()
    }

    #[test]
    fn runs_from_the_first_reward_to_the_goal() {
        assert_eq!(curve(ProgressScale::Nats, &[-5.0, -3.0, -1.0, -0.2, -6.0]), [0.0, 0.5, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn is_linear_in_probability_when_told() {
        let p = |probability: f64| probability.ln();
        let settings =
            ProgressSettings { scale: ProgressScale::Probability, goal_nats: p(0.9), min_span_nats: 0.1 };
        let mut tracker = ProgressTracker::new(settings);
        for (probability, expected) in [(0.1, 0.0), (0.5, 0.5), (0.7, 0.75), (0.95, 1.0)] {
            assert!((tracker.push(p(probability)) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn an_idle_robot_makes_none() {
        assert!(curve(ProgressScale::Nats, &[-4.0, -4.01, -4.0, -4.02]).iter().all(|&p| p == 0.0));
    }

    #[test]
    fn a_start_at_the_goal_does_not_divide_by_nothing() {
        // The start is held min_span below the goal: −1.5.
        assert_eq!(curve(ProgressScale::Nats, &[-1.0, -1.25, -2.0, -0.5]), [1.0, 0.5, 0.0, 1.0]);
    }

    #[test]
    fn never_looks_ahead() {
        let whole = curve(ProgressScale::Nats, &[-5.0, -3.0, -9.0, -1.0]);
        assert_eq!(curve(ProgressScale::Nats, &[-5.0, -3.0]), whole[..2]);
    }

    #[test]
    fn forgets_on_reset() {
        let settings = ProgressSettings { scale: ProgressScale::Nats, goal_nats: -1.0, min_span_nats: 0.5 };
        let mut tracker = ProgressTracker::new(settings);
        tracker.push(-5.0);
        tracker.reset();
        assert_eq!(tracker.push(-3.0), 0.0);
    }
}
