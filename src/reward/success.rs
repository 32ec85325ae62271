use serde::{Deserialize, Serialize};

use super::Reading;

mod finished;
mod verdict;

pub use finished::{end_score, first_success, first_success_of, peak_score};
pub use verdict::{Staleness, Verdict};

/// Settings of [`SuccessDetector`]. The rule is the paper's: threshold and window. All others are guards, which can only
/// hold a success back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuccessSettings {
    /// The mean of the last [`Self::window`] rewards must reach this, nats.
    pub threshold_nats: f64,
    /// How many of the newest rewards are averaged (TOPReward, arXiv 2602.19313: 3).
    pub window: usize,
    /// For how many seconds of header time the mean must stay there; 0: for no time.
    pub hold_s: f64,
    /// Frames the prefix must have before success can be called; 0: any.
    pub min_frames: usize,
    /// How much the picture must have changed since the episode began, in 8-bit levels; 0: not at all.
    pub min_change: f64,
    /// How old a frame may be when its score comes, seconds; 0: any age.
    pub max_age_s: f64,
    /// How much header time may lie between two readings, seconds; 0: any.
    pub max_gap_s: f64,
    /// How far the cameras' newest rewards may lie apart, nats; 0: any distance.
    pub max_spread_nats: f64,
    /// How many seconds of header time must have passed since the instruction was changed in the running episode;
    /// 0: none.
    pub after_instruction_s: f64,
}

impl SuccessSettings {
    /// The paper's rule alone: every guard that has a setting is off. "True from the start" has none: see
    /// [`SuccessDetector::declare_open`].
    pub const fn unguarded(threshold_nats: f64, window: usize) -> Self {
        Self {
            threshold_nats,
            window,
            hold_s: 0.0,
            min_frames: 0,
            min_change: 0.0,
            max_age_s: 0.0,
            max_gap_s: 0.0,
            max_spread_nats: 0.0,
            after_instruction_s: 0.0,
        }
    }
}

impl Default for SuccessSettings {
    fn default() -> Self {
        Self {
            hold_s: 1.0,
            min_frames: 6,
            min_change: 1.0,
            max_age_s: 10.0,
            max_gap_s: 10.0,
            max_spread_nats: 3.0,
            after_instruction_s: 2.0,
            ..Self::unguarded(-1.0, 3)
        }
    }
}

/// Whether the instruction was changed in the running episode, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
enum InstructionChange {
    None,
    /// Before any reading of the new one.
    JustNow,
    /// At this time of the episode, seconds.
    At(f64),
}

/// Decides when an episode has succeeded: the mean of the last rewards reaches a threshold *after having been below
/// it*, stays there, and nothing speaks against believing it.
///
/// Guards that come and go (a stale camera, cameras that disagree) begin the hold anew; those that are met once for the
/// rest of the episode (change of the picture, frames, time since the instruction) let it run. Where several hold a
/// success back, the one that needs most is named: first that the task must fall, then those that begin the hold anew,
/// then the rest, each in the order of [`Verdict`].
#[derive(Debug, Clone)]
pub struct SuccessDetector {
    settings: SuccessSettings,
    newest: Vec<f64>,
    was_below: bool,
    declared_open: bool,
    above_since_s: Option<f64>,
    last_time_s: Option<f64>,
    instruction: InstructionChange,
    /// The hold does not begin before this time of the episode, seconds.
    doubted_s: f64,
}

impl SuccessDetector {
    pub fn new(settings: SuccessSettings) -> Self {
        Self {
            settings,
            newest: Vec::new(),
            was_below: false,
            declared_open: false,
            above_since_s: None,
            last_time_s: None,
            instruction: InstructionChange::None,
            doubted_s: f64::NEG_INFINITY,
        }
    }

    pub fn settings(&self) -> SuccessSettings {
        self.settings
    }

    /// Forgets the episode.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings);
    }

    /// Looks for success anew by other settings, as at the episode's start; a declaration does not outlive this.
    pub fn configure(&mut self, settings: SuccessSettings) {
        let (instruction, doubted_s) = (self.instruction, self.doubted_s);
        *self = Self { instruction, doubted_s, ..Self::new(settings) };
    }

    /// The instruction was changed in the running episode. Rewards of two instructions cannot be compared, so success is
    /// looked for as at the episode's start, and a declaration of the old task is void. The time since the change
    /// counts from the next reading, which must be of the new instruction.
    pub fn instruction_changed(&mut self) {
        let doubted_s = self.doubted_s;
        *self = Self { instruction: InstructionChange::JustNow, doubted_s, ..Self::new(self.settings) };
    }

    /// Someone vouches that the task of this episode is not done yet, however it looks: success no longer needs that it
    /// first look undone. For the running episode and its present instruction and settings only.
    pub fn declare_open(&mut self) {
        self.declared_open = true;
    }

    /// Just before this time of the episode, in seconds, the camera's clock ran ahead of the receiver's: a hold that began
    /// earlier does not count.
    pub fn doubt(&mut self, time_s: f64) {
        self.doubted_s = self.doubted_s.max(time_s);
    }

    // Every comparison is written so that NaN holds back.
    pub fn push(&mut self, reading: Reading) -> Verdict {
        let since_instruction_s = self.since_instruction(reading.time_s);
        let stale = self.staleness(&reading);
        self.last_time_s = Some(reading.time_s);
        let Some(mean_nats) = self.mean_with(reading.judged()) else { return Verdict::Gathering };
        let SuccessSettings { threshold_nats, max_spread_nats, .. } = self.settings;
        let above = mean_nats >= threshold_nats;
        if !above {
            self.was_below = true;
            self.above_since_s = None;
            return Verdict::Below { mean_nats, threshold_nats };
        }
        if !self.was_below && !self.declared_open {
            return Verdict::TrueFromTheStart { mean_nats };
        }
        if let Some(cause) = stale {
            self.above_since_s = None;
            return Verdict::StaleCamera { mean_nats, cause };
        }
        let spread_nats = reading.spread_nats;
        if exceeds(spread_nats, max_spread_nats) {
            self.above_since_s = None;
            return Verdict::CamerasDisagree { mean_nats, spread_nats, max_spread_nats };
        }
        let since_s = *self.above_since_s.get_or_insert(reading.time_s);
        let held_s = reading.time_s - since_s.max(self.doubted_s);
        self.not_yet(&reading, mean_nats, since_instruction_s, held_s)
    }

    /// The guards that wait for something to be reached, then success.
    fn not_yet(
        &self,
        reading: &Reading,
        mean_nats: f64,
        since_instruction_s: Option<f64>,
        held_s: f64,
    ) -> Verdict {
        let SuccessSettings { hold_s, min_frames, min_change, after_instruction_s, .. } = self.settings;
        let Reading { change, frames, .. } = *reading;
        if let Some(since_s) = since_instruction_s
            && falls_short(since_s, after_instruction_s)
        {
            Verdict::InstructionChanged { mean_nats, since_s, after_instruction_s }
        } else if falls_short(change, min_change) {
            Verdict::UnchangedVideo { mean_nats, change, min_change }
        } else if frames < min_frames {
            Verdict::TooFewFrames { mean_nats, frames, min_frames }
        } else if falls_short(held_s, hold_s) {
            Verdict::Holding { mean_nats, held_s, hold_s }
        } else {
            Verdict::Success { mean_nats }
        }
    }

    fn mean_with(&mut self, judged: f64) -> Option<f64> {
        let window = self.settings.window;
        self.newest.push(judged);
        if self.newest.len() > window {
            self.newest.remove(0);
        }
        (self.newest.len() == window).then(|| self.newest.iter().sum::<f64>() / window as f64)
    }

    fn since_instruction(&mut self, time_s: f64) -> Option<f64> {
        match self.instruction {
            InstructionChange::None => None,
            InstructionChange::At(changed_s) => Some(time_s - changed_s),
            InstructionChange::JustNow => {
                self.instruction = InstructionChange::At(time_s);
                Some(0.0)
            }
        }
    }

    fn staleness(&self, reading: &Reading) -> Option<Staleness> {
        let SuccessSettings { max_age_s, max_gap_s, .. } = self.settings;
        let (age_s, gap_s) = (reading.age_s, reading.time_s - self.last_time_s.unwrap_or(reading.time_s));
        if exceeds(age_s, max_age_s) {
            Some(Staleness::Age { age_s, max_age_s })
        } else if exceeds(gap_s, max_gap_s) {
            Some(Staleness::Gap { gap_s, max_gap_s })
        } else {
            None
        }
    }
}

/// Whether a value lies above a limit, of which 0 is none. A NaN does.
fn exceeds(value: f64, limit: f64) -> bool {
    let within = value <= limit;
    limit != 0.0 && !within
}

/// Whether a value does not reach a least one, of which 0 is none. A NaN does not.
fn falls_short(value: f64, least: f64) -> bool {
    let reached = value >= least;
    least != 0.0 && !reached
}

#[cfg(test)]
mod tests;
