use serde::{Deserialize, Serialize};

/// Whether the static control is scored beside an episode: the same question about as many frames at the same times
/// that all show the first. What it gains is owed to the mere length of the video (TOPReward's static videos, arXiv
/// 2602.19313, limitations).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasControl {
    #[default]
    Off,
    /// The climb of the same prefix with its first frame repeated.
    Static,
}

impl BiasControl {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Static => "static",
        }
    }
}

/// A text that names no [`BiasControl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give \"off\" or \"static\"")]
pub struct NoBiasControl;

impl std::str::FromStr for BiasControl {
    type Err = NoBiasControl;

    fn from_str(text: &str) -> Result<Self, NoBiasControl> {
        [Self::Off, Self::Static].into_iter().find(|control| control.as_str() == text).ok_or(NoBiasControl)
    }
}

/// What the static control of a prefix was given, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Control {
    /// c_1: the reward of the first frame alone.
    pub first: f64,
    /// c_t: the reward of the first frame, repeated as often as the prefix has frames.
    pub log_prob_true: f64,
    /// `log p(" False")` of the same.
    pub log_prob_false: f64,
}

/// One scored prefix of an episode: what the model said of it, and what is known of how it came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Frames in the prefix.
    pub frames: usize,
    /// Time of the newest of them, seconds since the first.
    pub time_s: f64,
    /// The reward s_t, nats, ≤ 0.
    pub log_prob_true: f64,
    /// Nats, ≤ 0.
    pub log_prob_false: f64,
    /// `None` where it was not scored.
    pub control: Option<Control>,
    /// The reward without what it owes to the length of the video: s_t − (c_t − c_1), nats, at most 0. The reward
    /// itself where there is no control.
    pub corrected: f64,
    /// The largest change of the picture since the first frame, 8-bit levels; 0 where it was not measured.
    pub change: f64,
    /// Seconds from the newest frame's arrival to its score; 0 for recorded episodes.
    pub age_s: f64,
    /// How far the cameras' judged rewards lie apart, nats; 0 for one camera.
    pub spread_nats: f64,
}

impl Reading {
    /// A reading of these log-probabilities (nats). Frames, time, change, age and spread are 0.
    pub fn of(log_prob_true: f64, log_prob_false: f64, control: Option<Control>) -> Self {
        // A control that falls leaves more than the reward, but no probability above 1.
        let correct = |Control { first, log_prob_true: now, .. }| (log_prob_true - (now - first)).min(0.0);
        Self {
            frames: 0,
            time_s: 0.0,
            log_prob_true,
            log_prob_false,
            control,
            corrected: control.map_or(log_prob_true, correct),
            change: 0.0,
            age_s: 0.0,
            spread_nats: 0.0,
        }
    }

    /// What success looks at: the lower of the reward and the corrected reward, nats. NaN if either is NaN.
    pub fn judged(&self) -> f64 {
        // `f64::min` alone would take the number of a pair with a NaN.
        let comparable = self.log_prob_true.partial_cmp(&self.corrected).is_some();
        if comparable { self.log_prob_true.min(self.corrected) } else { f64::NAN }
    }

    /// The same prefix as if no control had been scored.
    pub fn uncontrolled(self) -> Self {
        Self { control: None, corrected: self.log_prob_true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controlled(reward: f64, first: f64, now: f64) -> Reading {
        Reading::of(reward, -0.5, Some(Control { first, log_prob_true: now, log_prob_false: -0.5 }))
    }

    #[test]
    fn the_controls_climb_is_taken_out_and_nothing_is_put_in() {
        // The control climbs by 1, then falls to 1 below its first reward.
        let found =
            [(-4.0, -5.0), (-2.0, -4.0), (-2.0, -6.0)].map(|(reward, now)| controlled(reward, -5.0, now));
        assert_eq!(found.map(|reading| reading.corrected), [-4.0, -3.0, -1.0]);
        assert_eq!(found.map(|reading| reading.judged()), [-4.0, -3.0, -2.0]);
        assert_eq!(found.map(|reading| reading.uncontrolled().judged()), [-4.0, -2.0, -2.0]);
        // An unchanged scene stays where it began.
        assert_eq!(controlled(-3.5, -5.0, -3.5).judged(), -5.0);
        // What falls out of a control is progress, but no probability above 1.
        assert_eq!(controlled(-1.0, -1.0, -3.0).corrected, 0.0);
    }

    #[test]
    fn the_judged_reward_is_the_lower_one() {
        let reading =
            |log_prob_true, corrected| Reading { corrected, ..Reading::of(log_prob_true, -0.5, None) };
        assert_eq!(reading(-1.0, -3.0).judged(), -3.0);
        assert_eq!(reading(-3.0, -1.0).judged(), -3.0);
        assert_eq!(Reading::of(-2.0, -0.5, None).judged(), -2.0);
        assert!(reading(f64::NAN, -1.0).judged().is_nan() && reading(-1.0, f64::NAN).judged().is_nan());
    }
}
