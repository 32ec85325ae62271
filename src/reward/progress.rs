use serde::{Deserialize, Serialize};

use super::Reading;

/// Between which rewards live progress runs from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressMode {
    /// From the episode's first reward to `goal_nats`.
    Goal,
    /// Between nothing: it is p(" True") / (p(" True") + p(" False")), of the rewards as they are.
    Probability,
    /// From the episode's first reward to the highest seen so far.
    Running,
    /// From the typical first to the typical final reward of earlier successes.
    Calibrated,
}

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

/// Typical rewards of earlier successful episodes, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypicalRewards {
    pub first_nats: f64,
    pub final_nats: f64,
}

/// Settings of [`ProgressTracker`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgressSettings {
    pub mode: ProgressMode,
    /// For every mode but [`ProgressMode::Probability`].
    pub scale: ProgressScale,
    /// The `log p(" True")` in nats that counts as done: progress 1 in [`ProgressMode::Goal`].
    pub goal_nats: f64,
    /// Least distance in nats from progress 0 to progress 1 in [`ProgressMode::Goal`] and [`ProgressMode::Running`],
    /// for episodes that begin near the goal and for noise at the start.
    pub min_span_nats: f64,
    /// What [`ProgressMode::Calibrated`] runs between; without it, or where the final reward is not the higher one,
    /// there is no progress in that mode.
    #[serde(skip)]
    pub typical: Option<TypicalRewards>,
}

impl Default for ProgressSettings {
    fn default() -> Self {
        let (mode, scale) = (ProgressMode::Goal, ProgressScale::Nats);
        Self { mode, scale, goal_nats: -1.0, min_span_nats: 0.5, typical: None }
    }
}

/// Live progress, 0 to 1, from the past alone.
///
/// The peers' min–max over the finished episode cannot be had live, and stretches the noise of an idle robot to a full
/// climb; here a robot whose corrected reward stays where it began stays at 0 in [`ProgressMode::Goal`] and
/// [`ProgressMode::Running`]. In both the episode's first reward is the zero, not the lowest one seen: after a setback
/// the way back to where the episode began is no progress, and counted from the lowest reward it could reach 1.
#[derive(Debug, Clone)]
pub struct ProgressTracker {
    settings: ProgressSettings,
    seen: Option<Seen>,
}

/// Corrected rewards of the episode so far, nats.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: f64,
    highest: f64,
}

impl ProgressTracker {
    pub fn new(settings: ProgressSettings) -> Self {
        Self { settings, seen: None }
    }

    /// Goes on with other settings; what has been seen of the episode is kept.
    pub fn configure(&mut self, settings: ProgressSettings) {
        self.settings = settings;
    }

    /// Forgets the episode.
    pub fn reset(&mut self) {
        self.seen = None;
    }

    /// Progress after a prefix. A reading that is NaN gives 0 and leaves no trace.
    pub fn push(&mut self, reading: Reading) -> f64 {
        let Reading { log_prob_true, log_prob_false, corrected, .. } = reading;
        if ![log_prob_true, log_prob_false, corrected].iter().all(|nats| nats.is_finite()) {
            return 0.0;
        }
        let seen = self.seen.get_or_insert(Seen { first: corrected, highest: corrected });
        seen.highest = seen.highest.max(corrected);
        let Seen { first, highest } = *seen;
        let ProgressSettings { mode, goal_nats, min_span_nats, typical, .. } = self.settings;
        let (start, end) = match mode {
            ProgressMode::Goal => (first.min(goal_nats - min_span_nats), goal_nats),
            ProgressMode::Running => (first, highest.max(first + min_span_nats)),
            ProgressMode::Probability => return 1.0 / (1.0 + (log_prob_false - log_prob_true).exp()),
            ProgressMode::Calibrated => match typical {
                Some(TypicalRewards { first_nats, final_nats }) => (first_nats, final_nats),
                None => return 0.0,
            },
        };
        self.between(start, end, corrected)
    }

    /// The place of `reward` between two others (nats), on the scale of the settings.
    fn between(&self, start: f64, end: f64, reward: f64) -> f64 {
        let on_scale = |nats: f64| match self.settings.scale {
            ProgressScale::Nats => nats,
            ProgressScale::Probability => nats.exp(),
        };
        let (start, end) = (on_scale(start), on_scale(end));
        // Also where probabilities are too small for a difference, or an end is NaN.
        if end > start { ((on_scale(reward) - start) / (end - start)).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Progress of a finished episode, 0 to 1: min–max over its rewards (TOPReward, arXiv 2602.19313). Offline only: it
/// knows the end.
///
/// A constant curve is 0 throughout, where the peers have 1: nothing was gained, so an idle robot is not at the goal
/// and, in TOP-AWR, its actions earn nothing. A reward that is NaN is 0 and moves neither end.
pub fn episode_progress(rewards: &[f64]) -> Vec<f64> {
    let finite = || rewards.iter().copied().filter(|reward| reward.is_finite());
    let min = finite().fold(f64::INFINITY, f64::min);
    let max = finite().fold(f64::NEG_INFINITY, f64::max);
    let place = |&reward: &f64| {
        if reward.is_finite() && max > min { (reward - min) / (max - min) } else { 0.0 }
    };
    rewards.iter().map(place).collect()
}

#[cfg(test)]
mod tests;
