/// Settings of [`SuccessDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessSettings {
    /// The mean of the last [`Self::window`] rewards must reach this, nats.
    pub threshold_nats: f64,
    /// How many of the newest rewards are averaged (TOPReward, arXiv 2602.19313: 3).
    pub window: usize,
    /// For how many seconds of header time the mean must stay there.
    pub hold_s: f64,
    /// Frames the prefix must have before success can be called.
    pub min_frames: usize,
}

/// One scored prefix, as the detector needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessReading {
    pub log_prob_true: f64,
    /// Seconds since the episode's first frame.
    pub time_s: f64,
    /// Frames in the prefix.
    pub frames: usize,
}

/// What the detector says after a reading. Only [`Verdict::Success`] may move a robot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Fewer than `window` rewards so far.
    Gathering,
    /// The mean lies below the threshold.
    Below { mean_nats: f64 },
    /// The mean has been above the threshold ever since it could be taken: the task looked done before the robot
    /// did anything. Not a success.
    TrueFromTheStart { mean_nats: f64 },
    /// Above the threshold, but with too few frames.
    TooFewFrames { mean_nats: f64 },
    /// Above the threshold, not yet for long enough.
    Holding { mean_nats: f64, held_s: f64 },
    /// Held for long enough. Given at every reading from then on until the mean falls below the threshold.
    Success { mean_nats: f64 },
}

impl Verdict {
    pub fn is_success(self) -> bool {
        matches!(self, Self::Success { .. })
    }

    /// The mean of the last `window` rewards, once there are that many.
    pub fn mean_nats(self) -> Option<f64> {
        match self {
            Self::Gathering => None,
            Self::Below { mean_nats }
            | Self::TrueFromTheStart { mean_nats }
            | Self::TooFewFrames { mean_nats }
            | Self::Holding { mean_nats, .. }
            | Self::Success { mean_nats } => Some(mean_nats),
        }
    }

    /// The name used in messages and diagnostics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gathering => "gathering",
            Self::Below { .. } => "below_threshold",
            Self::TrueFromTheStart { .. } => "true_from_the_start",
            Self::TooFewFrames { .. } => "too_few_frames",
            Self::Holding { .. } => "holding",
            Self::Success { .. } => "success",
        }
    }
}

/// Decides when an episode has succeeded: the mean of the last rewards reaches a threshold *after having been below
/// it*, stays there, and rests on enough frames.
#[derive(Debug, Clone)]
pub struct SuccessDetector {
    settings: SuccessSettings,
    newest: Vec<f64>,
    was_below: bool,
    above_since_s: Option<f64>,
}

impl SuccessDetector {
    pub fn new(settings: SuccessSettings) -> Self {
        Self { settings, newest: Vec::new(), was_below: false, above_since_s: None }
    }

    pub fn settings(&self) -> SuccessSettings {
        self.settings
    }

    /// Forgets the episode.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings);
    }

    pub fn push(&mut self, reading: SuccessReading) -> Verdict {
        let SuccessSettings { threshold_nats, window, hold_s, min_frames } = self.settings;
        self.newest.push(reading.log_prob_true);
        if self.newest.len() > window {
            self.newest.remove(0);
        }
        if self.newest.len() < window {
            return Verdict::Gathering;
        }
        let mean_nats = self.newest.iter().sum::<f64>() / window as f64;
        // Written so that a mean that is no number counts as below.
        let above = mean_nats >= threshold_nats;
        if !above {
            self.was_below = true;
            self.above_since_s = None;
            return Verdict::Below { mean_nats };
        }
        if !self.was_below {
            return Verdict::TrueFromTheStart { mean_nats };
        }
        let held_s = reading.time_s - *self.above_since_s.get_or_insert(reading.time_s);
        if reading.frames < min_frames {
            Verdict::TooFewFrames { mean_nats }
        } else if held_s < hold_s {
            Verdict::Holding { mean_nats, held_s }
        } else {
            Verdict::Success { mean_nats }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: SuccessSettings =
        SuccessSettings { threshold_nats: -1.0, window: 3, hold_s: 1.0, min_frames: 4 };

    /// One reading every half second, one frame each.
    fn verdicts(settings: SuccessSettings, rewards: &[f64]) -> Vec<&'static str> {
        let mut detector = SuccessDetector::new(settings);
        (rewards.iter().enumerate())
            .map(|(i, &log_prob_true)| {
                let reading = SuccessReading { log_prob_true, time_s: i as f64 * 0.5, frames: i + 1 };
                detector.push(reading).as_str()
            })
            .collect()
    }

    #[test]
    fn is_called_when_the_mean_has_held() {
        // Means from the third on: −3, −2.1667, −1.3333, −0.5, −0.5, −0.5: above since the sixth reading (2.5 s).
        let got = verdicts(SETTINGS, &[-3.0, -3.0, -3.0, -0.5, -0.5, -0.5, -0.5, -0.5]);
        let expected = [
            "gathering",
            "gathering",
            "below_threshold",
            "below_threshold",
            "below_threshold",
            "holding",
            "holding",
            "success",
        ];
        assert_eq!(got, expected);
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
        let settings = SuccessSettings { min_frames: 9, hold_s: 0.0, ..SETTINGS };
        let got = verdicts(settings, &[-3.0, -3.0, -3.0, -0.1, -0.1, -0.1, -0.1, -0.1, -0.1]);
        assert_eq!(got[5..], ["too_few_frames", "too_few_frames", "too_few_frames", "success"]);
    }

    #[test]
    fn no_number_is_no_success() {
        let settings = SuccessSettings { hold_s: 0.0, min_frames: 1, ..SETTINGS };
        let got = verdicts(settings, &[-3.0, -3.0, -3.0, f64::NAN, f64::NAN, f64::NAN]);
        assert_eq!(got[3..], ["below_threshold"; 3]);
    }

    #[test]
    fn reset_forgets_that_it_was_below() {
        let mut detector = SuccessDetector::new(SETTINGS);
        let reading = |log_prob_true| SuccessReading { log_prob_true, time_s: 0.0, frames: 9 };
        for _ in 0..3 {
            detector.push(reading(-3.0));
        }
        detector.reset();
        for _ in 0..2 {
            assert_eq!(detector.push(reading(-0.1)), Verdict::Gathering);
        }
        assert!(matches!(detector.push(reading(-0.1)), Verdict::TrueFromTheStart { .. }));
    }
}
