//! Durations that decide over a robot. They rest on the clock of whoever drives the session, not on the stamps of frames:
//! a camera's clock may be wrong, be set, or stand still, and a camera may send nothing. See docs/time.md.

use super::*;

/// What time has passed. The clock only goes forward; what it counts from is its own affair.
#[derive(Debug, Clone)]
pub(super) struct Passing {
    now_ns: i64,
    /// When the running episode was begun.
    begun_ns: i64,
    /// When the model was given its first frame.
    first_frame_ns: Option<i64>,
    longest_s: f64,
}

impl Passing {
    pub fn new(longest_s: f64) -> Self {
        Self { now_ns: 0, begun_ns: 0, first_frame_ns: None, longest_s }
    }

    /// `episode.max_duration_s` from now on.
    pub fn set_longest_s(&mut self, longest_s: f64) {
        self.longest_s = longest_s;
    }

    /// An episode begins.
    pub fn begin(&mut self) {
        (self.begun_ns, self.first_frame_ns) = (self.now_ns, None);
    }

    /// The model is given a frame.
    pub fn first_frame(&mut self) {
        self.first_frame_ns.get_or_insert(self.now_ns);
    }

    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    pub fn begun_ns(&self) -> i64 {
        self.begun_ns
    }

    /// Seconds since the episode's first frame; 0 before it.
    pub fn episode_s(&self) -> f64 {
        self.first_frame_ns.map_or(0.0, |first_ns| self.now_ns.saturating_sub(first_ns) as f64 / 1e9)
    }

    fn is_too_long(&self) -> bool {
        self.episode_s() > self.longest_s
    }
}

impl Session {
    /// It is now so late, in nanoseconds of one clock that nobody sets, which frames are received by too. An episode may end
    /// by that alone.
    pub fn pass_time(&mut self, now_ns: i64) {
        self.passing.now_ns = self.passing.now_ns.max(now_ns);
        if self.running().is_none() {
            return;
        }
        if self.passing.is_too_long() {
            self.end(EndReason::MaxDuration);
            self.go_on(self.resets_on_timeout);
        } else if self.account().pending() == Some(0) {
            // Where a score is still to come, it decides.
            let failure = self.failures.at(self.passing.episode_s());
            self.failed_if(failure.is_some());
        }
        self.look_at_cameras();
    }

    pub(super) fn failed_if(&mut self, stuck: bool) {
        if stuck {
            self.end(EndReason::Stuck);
            self.go_on(self.resets_on_failure);
        }
    }
}
