use std::fmt;

/// What the detector says after a reading. Only [`Verdict::Success`] may move a robot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Too few rewards yet for a mean.
    Gathering,
    /// The mean lies below the threshold.
    Below { mean_nats: f64, threshold_nats: f64 },
    /// The mean has been above the threshold ever since it could be taken: the task looked done before the robot
    /// did anything. Not a success.
    TrueFromTheStart { mean_nats: f64 },
    /// Above the threshold, but the cameras do not deliver in time.
    StaleCamera { mean_nats: f64, cause: Staleness },
    /// Above the threshold, but some camera says otherwise.
    CamerasDisagree { mean_nats: f64, spread_nats: f64, max_spread_nats: f64 },
    /// Above the threshold, too soon after the instruction was changed.
    InstructionChanged { mean_nats: f64, since_s: f64, after_instruction_s: f64 },
    /// Above the threshold, but in a video in which nothing has happened. Changes in 8-bit levels.
    UnchangedVideo { mean_nats: f64, change: f64, min_change: f64 },
    /// Above the threshold, but with too few frames.
    TooFewFrames { mean_nats: f64, frames: usize, min_frames: usize },
    /// Above the threshold, not yet for long enough.
    Holding { mean_nats: f64, held_s: f64, hold_s: f64 },
    /// Held for long enough. Given at every reading from then on until something holds it back again.
    Success { mean_nats: f64 },
}

/// In which way the cameras were late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Staleness {
    /// The score came so long after its frame.
    Age { age_s: f64, max_age_s: f64 },
    /// So much header time lies between this reading and the one before.
    Gap { gap_s: f64, max_gap_s: f64 },
}

impl Verdict {
    pub fn is_success(self) -> bool {
        matches!(self, Self::Success { .. })
    }

    /// The mean of the newest rewards, once there are enough of them.
    pub fn mean_nats(self) -> Option<f64> {
        match self {
            Self::Gathering => None,
            Self::Below { mean_nats, .. }
            | Self::TrueFromTheStart { mean_nats }
            | Self::StaleCamera { mean_nats, .. }
            | Self::CamerasDisagree { mean_nats, .. }
            | Self::InstructionChanged { mean_nats, .. }
            | Self::UnchangedVideo { mean_nats, .. }
            | Self::TooFewFrames { mean_nats, .. }
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
            Self::StaleCamera { .. } => "stale_camera",
            Self::CamerasDisagree { .. } => "cameras_disagree",
            Self::InstructionChanged { .. } => "instruction_changed",
            Self::UnchangedVideo { .. } => "unchanged_video",
            Self::TooFewFrames { .. } => "too_few_frames",
            Self::Holding { .. } => "holding",
            Self::Success { .. } => "success",
        }
    }
}

/// One line for a person, with the numbers and the parameter behind it.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gathering => write!(f, "gathering the first rewards (success.window)"),
            Self::Below { mean_nats, threshold_nats } => {
                write!(
                    f,
                    "not done: the mean reward is {mean_nats:.2} nats, success.threshold_nats is {threshold_nats}"
                )
            }
            Self::TrueFromTheStart { .. } => write!(
                f,
                "held back: the task has looked done since the episode began; it must first look undone, or the \
                 episode be declared open"
            ),
            Self::StaleCamera { cause, .. } => write!(f, "held back: {cause}"),
            Self::CamerasDisagree { spread_nats, max_spread_nats, .. } => write!(
                f,
                "held back: the cameras' rewards lie {spread_nats:.2} nats apart, success.max_spread_nats is \
                 {max_spread_nats}"
            ),
            Self::InstructionChanged { since_s, after_instruction_s, .. } => write!(
                f,
                "held back: the instruction was changed {since_s:.1} s ago, success.after_instruction_s is \
                 {after_instruction_s}"
            ),
            Self::UnchangedVideo { change, min_change, .. } => write!(
                f,
                "held back: the picture has changed by {change:.1} of 255 levels since the episode began, \
                 success.min_change is {min_change}"
            ),
            Self::TooFewFrames { frames, min_frames, .. } => {
                write!(f, "held back: the episode has {frames} frames, success.min_frames is {min_frames}")
            }
            Self::Holding { held_s, hold_s, .. } => {
                write!(f, "looks done: held for {held_s:.1} s, success.hold_s is {hold_s}")
            }
            Self::Success { mean_nats } => write!(f, "success: the mean reward is {mean_nats:.2} nats"),
        }
    }
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age { age_s, max_age_s } => {
                write!(f, "the score came {age_s:.1} s after its frame, success.max_age_s is {max_age_s}")
            }
            Self::Gap { gap_s, max_gap_s } => {
                write!(f, "{gap_s:.1} s without a scored frame, success.max_gap_s is {max_gap_s}")
            }
        }
    }
}
