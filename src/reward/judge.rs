use super::{ProgressSettings, ProgressTracker, Reading, SuccessDetector, SuccessSettings, Verdict};

/// A scored prefix and what the reward maths makes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPrefix {
    pub reading: Reading,
    /// 0 to 1, from the readings so far.
    pub progress: f64,
    pub verdict: Verdict,
}

/// Reads progress and success off an episode's readings, one after the other: the same live and for recorded episodes.
#[derive(Debug, Clone)]
pub struct Judge {
    progress: ProgressTracker,
    success: SuccessDetector,
    verdict: Verdict,
}

impl Judge {
    pub fn new(progress: ProgressSettings, success: SuccessSettings) -> Self {
        Self {
            progress: ProgressTracker::new(progress),
            success: SuccessDetector::new(success),
            verdict: Verdict::Gathering,
        }
    }

    /// Judges a finished episode: a scored prefix for each reading.
    pub fn of_episode(
        readings: &[Reading],
        progress: ProgressSettings,
        success: SuccessSettings,
    ) -> Vec<ScoredPrefix> {
        let mut judge = Self::new(progress, success);
        readings.iter().map(|reading| judge.push(*reading)).collect()
    }

    pub fn push(&mut self, reading: Reading) -> ScoredPrefix {
        let progress = self.progress.push(reading);
        self.verdict = self.success.push(reading);
        ScoredPrefix { reading, progress, verdict: self.verdict }
    }

    /// The newest verdict; [`Verdict::Gathering`] before the first.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The mean reward that counts as success, nats.
    pub fn threshold_nats(&self) -> f64 {
        self.success.settings().threshold_nats
    }

    /// Forgets the episode.
    pub fn reset(&mut self) {
        self.progress.reset();
        self.success.reset();
        self.verdict = Verdict::Gathering;
    }

    /// Goes on with other settings. Where those of success differ, success is looked for anew, as at the episode's start.
    pub fn configure(&mut self, progress: ProgressSettings, success: SuccessSettings) {
        self.progress.configure(progress);
        if self.success.settings() != success {
            self.success.configure(success);
            self.verdict = Verdict::Gathering;
        }
    }

    /// As [`SuccessDetector::instruction_changed`].
    pub fn instruction_changed(&mut self) {
        self.success.instruction_changed();
    }

    /// As [`SuccessDetector::doubt`].
    pub fn doubt(&mut self, time_s: f64) {
        self.success.doubt(time_s);
    }

    /// As [`SuccessDetector::declare_open`].
    pub fn declare_open(&mut self) {
        self.success.declare_open();
    }
}
