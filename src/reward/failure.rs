use std::fmt;

use serde::{Deserialize, Serialize};

/// Settings of [`FailureDetector`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailureSettings {
    /// For how many seconds of the receiver's clock progress may stand still; 0: for ever.
    pub stuck_s: f64,
    /// By how much progress (0 to 1) must rise for the robot not to be stuck.
    pub min_gain: f64,
}

impl Default for FailureSettings {
    fn default() -> Self {
        Self { stuck_s: 0.0, min_gain: 0.05 }
    }
}

/// How an episode has failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Failure {
    /// Progress has not risen since `since_s` seconds after the episode's first frame; `best` was its highest (0 to 1).
    Stuck { since_s: f64, best: f64 },
}

impl Failure {
    /// The name used in messages and diagnostics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stuck { .. } => "stuck",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck { since_s, best } => {
                write!(f, "stuck: no progress since {since_s:.1} s into the episode, {best:.2} at best")
            }
        }
    }
}

/// Tells when an episode leads nowhere: progress has not risen above its best for too long.
///
/// An episode that looks done cannot rise any further: where success is never called, it is stuck as well.
#[derive(Debug, Clone)]
pub struct FailureDetector {
    settings: FailureSettings,
    best: f64,
    /// Progress and time of the last gain, or of the first reading.
    gained: Option<(f64, f64)>,
    reported: bool,
}

impl FailureDetector {
    pub fn new(settings: FailureSettings) -> Self {
        Self { settings, best: 0.0, gained: None, reported: false }
    }

    /// Goes on with other settings; what has been seen of the episode is kept.
    pub fn configure(&mut self, settings: FailureSettings) {
        self.settings = settings;
    }

    /// Forgets the episode, or its progress under another instruction.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings);
    }

    /// Progress (0 to 1) `time_s` seconds after the episode's first frame. A failure is reported once in an episode.
    pub fn push(&mut self, time_s: f64, progress: f64) -> Option<Failure> {
        let min_gain = self.settings.min_gain;
        if !time_s.is_finite() {
            return None;
        }
        // `max` takes no NaN for the best.
        self.best = self.best.max(progress);
        let (level, _) = *self.gained.get_or_insert((self.best, time_s));
        // Against the level of the last gain, not the best: many small steps add up to a gain.
        if self.best > level && self.best - level >= min_gain {
            self.gained = Some((self.best, time_s));
            return None;
        }
        self.at(time_s)
    }

    /// So many seconds after the episode's first frame nothing new is known. Nothing fails before the first reading.
    pub fn at(&mut self, time_s: f64) -> Option<Failure> {
        let stuck_s = self.settings.stuck_s;
        let (_, since_s) = self.gained?;
        if self.reported || stuck_s <= 0.0 || !time_s.is_finite() || time_s - since_s < stuck_s {
            return None;
        }
        self.reported = true;
        Some(Failure::Stuck { since_s, best: self.best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: FailureSettings = FailureSettings { stuck_s: 3.0, min_gain: 0.25 };

    /// What is reported at which second, with one reading a second.
    fn reported(settings: FailureSettings, curve: &[f64]) -> Vec<(usize, Failure)> {
        let mut detector = FailureDetector::new(settings);
        let reported = curve.iter().enumerate().map(|(s, &progress)| (s, detector.push(s as f64, progress)));
        reported.filter_map(|(s, failure)| Some((s, failure?))).collect()
    }

    #[test]
    fn standing_still_is_told_once() {
        // The last gain is at 2 s (0.5 against 0.0); 3 s later it is stuck, and stays so without a second word.
        let curve = [0.0, 0.0, 0.5, 0.5, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6];
        assert_eq!(reported(SETTINGS, &curve), [(5, Failure::Stuck { since_s: 2.0, best: 0.6 })]);
    }

    #[test]
    fn a_robot_that_never_begins_is_stuck() {
        assert_eq!(reported(SETTINGS, &[0.0; 6]), [(3, Failure::Stuck { since_s: 0.0, best: 0.0 })]);
    }

    #[test]
    fn small_steps_add_up() {
        // 0.125 a second: a gain of 0.25 every other second.
        let curve: Vec<f64> = (0..9).map(|s| f64::from(s) * 0.125).collect();
        assert_eq!(reported(SETTINGS, &curve), []);
        // At half the pace a gain takes 4 s, and 3 s are allowed.
        let slow: Vec<f64> = (0..9).map(|s| f64::from(s) * 0.0625).collect();
        assert_eq!(reported(SETTINGS, &slow), [(3, Failure::Stuck { since_s: 0.0, best: 0.1875 })]);
    }

    #[test]
    fn time_alone_may_report_it() {
        let mut detector = FailureDetector::new(SETTINGS);
        assert_eq!(detector.at(100.0), None, "nothing is known yet");
        detector.push(100.0, 0.5);
        assert_eq!((detector.at(102.5), detector.at(f64::NAN)), (None, None));
        assert_eq!(detector.at(103.0), Some(Failure::Stuck { since_s: 100.0, best: 0.5 }));
        assert_eq!(detector.at(104.0), None, "once");
    }

    #[test]
    fn coming_back_to_the_best_is_no_gain() {
        let curve = [0.0, 0.75, 0.25, 0.5, 0.75];
        assert_eq!(reported(SETTINGS, &curve), [(4, Failure::Stuck { since_s: 1.0, best: 0.75 })]);
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        assert_eq!(reported(FailureSettings::default(), &[0.0; 1000]), []);
    }

    #[test]
    fn no_number_is_no_gain_and_no_failure() {
        let curve = [0.0, f64::NAN, f64::NAN, f64::NAN];
        assert_eq!(reported(SETTINGS, &curve), [(3, Failure::Stuck { since_s: 0.0, best: 0.0 })]);
        let mut detector = FailureDetector::new(SETTINGS);
        detector.push(0.0, 0.0);
        assert_eq!(detector.push(f64::NAN, 0.0), None);
    }

    #[test]
    fn without_a_least_gain_any_rise_is_one() {
        let settings = FailureSettings { min_gain: 0.0, ..SETTINGS };
        assert_eq!(reported(settings, &[0.0, 0.01, 0.02, 0.03, 0.04]), []);
        assert_eq!(reported(settings, &[0.5; 4]), [(3, Failure::Stuck { since_s: 0.0, best: 0.5 })]);
    }

    #[test]
    fn an_episode_is_forgotten_and_settings_may_change() {
        let mut detector = FailureDetector::new(FailureSettings::default());
        assert_eq!(detector.push(0.0, 0.0), None);
        detector.configure(SETTINGS);
        let stuck = Failure::Stuck { since_s: 0.0, best: 0.0 };
        assert_eq!(detector.push(3.0, 0.0), Some(stuck));
        detector.reset();
        assert_eq!(detector.push(0.0, 0.0), None);
        assert_eq!(detector.push(3.0, 0.0), Some(stuck));
        assert_eq!(stuck.as_str(), "stuck");
        assert_eq!(stuck.to_string(), "stuck: no progress since 0.0 s into the episode, 0.00 at best");
    }
}
