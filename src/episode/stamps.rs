//! Which stamps can be believed. One rule for live streams, bags, datasets and videos: see docs/time.md.

use std::fmt;

use super::DropReason;

/// The year 2000, nanoseconds since 1970. Real clocks say more; less is a clock that was never set, the time since a
/// start, or a simulation's.
pub const YEAR_2000_NS: i64 = 946_684_800_000_000_000;

/// How far a stamp may lie from the one before it unless the receiver's clock says the same, seconds.
pub const MAX_STEP_S: f64 = 2.0;

/// So many stamps in a row that agree with each other show that the clock was set.
const CONFIRMED_BY: u32 = 3;

/// The longest pause that is believed where no receiver's clock can be asked: an hour.
const UNWITNESSED_NS: i64 = 3_600_000_000_000;

/// Frames whose delay is remembered. A late frame does not make the next one, which is in time, look like a step.
const REMEMBERED: usize = 8;

/// Where the time of a frame comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StampSource {
    /// From the camera: its header.
    #[default]
    Header,
    /// From the receiver's clock, for cameras that do not stamp their images.
    Receipt,
}

/// A text that names no [`StampSource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give \"header\" or \"receipt\"")]
pub struct NoStampSource;

impl std::str::FromStr for StampSource {
    type Err = NoStampSource;

    fn from_str(text: &str) -> Result<Self, NoStampSource> {
        match text {
            "header" => Ok(Self::Header),
            "receipt" => Ok(Self::Receipt),
            _ => Err(NoStampSource),
        }
    }
}

/// What is to become of a frame, by its stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It comes after the one before it.
    Good,
    /// As good, but more time has passed by its stamp than by the receiver's clock.
    Doubtful,
    /// It is left out, for this reason.
    LeftOut(DropReason),
    /// The clock was set: what came before this frame is of another time line.
    ClockStep(ClockStep),
}

/// How a clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// The last stamp that was believed, and the first of the new time line that is, nanoseconds.
    pub from_ns: i64,
    pub to_ns: i64,
    /// What passed between the two by the receiver's clock, nanoseconds.
    pub passed_ns: Option<i64>,
}

impl ClockStep {
    /// Whether the stream began with a stamp that was not set.
    pub fn began_unset(self) -> bool {
        self.from_ns < YEAR_2000_NS && self.to_ns >= YEAR_2000_NS
    }
}

impl fmt::Display for ClockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_ns, to_ns, passed_ns } = *self;
        let seconds = |ns: i64| ns as f64 / 1e9;
        let by_s = seconds(to_ns.saturating_sub(from_ns));
        write!(
            f,
            "the stamps went from {:.3} s to {:.3} s ({by_s:+.3} s)",
            seconds(from_ns),
            seconds(to_ns)
        )?;
        match passed_ns {
            Some(passed_ns) => write!(f, " while {:.3} s passed", seconds(passed_ns)),
            None => Ok(()),
        }
    }
}

/// Judges the stamps of one stream, one after the other. It has no clock: it is given when a frame was received.
///
/// A stamp that lies more than the largest step from the one before it is left out, and remembered. When so many in a row
/// agree with each other on that other time line, the clock was set; when the stream returns, they were odd stamps. A
/// pause is no step: the receiver's clock shows it too.
#[derive(Debug, Clone)]
pub struct StampRule {
    max_step_ns: i64,
    line: Option<Line>,
    other: Option<(Line, u32)>,
}

impl Default for StampRule {
    fn default() -> Self {
        Self::new(MAX_STEP_S)
    }
}

impl StampRule {
    pub fn new(max_step_s: f64) -> Self {
        // A cast of what is no number gives 0, of infinity the largest.
        Self { max_step_ns: (max_step_s * 1e9) as i64, line: None, other: None }
    }

    /// Forgets the stream: the next stamp is its first.
    pub fn reset(&mut self) {
        (self.line, self.other) = (None, None);
    }

    /// The newest stamp that was believed.
    pub fn newest_ns(&self) -> Option<i64> {
        self.line.as_ref().map(|line| line.newest_ns)
    }

    /// Judges the next frame. Times in nanoseconds; `received_ns` by a clock that nobody sets, where there is one.
    pub fn judge(&mut self, stamp_ns: i64, received_ns: Option<i64>) -> Judgement {
        let Some(line) = &mut self.line else {
            self.line = Some(Line::begin(stamp_ns, received_ns));
            return Judgement::Good;
        };
        let step_ns = stamp_ns.saturating_sub(line.newest_ns);
        match step_ns {
            0 => return Judgement::LeftOut(DropReason::Duplicate),
            ..0 if step_ns >= -self.max_step_ns => return Judgement::LeftOut(DropReason::OutOfOrder),
            1.. if line.leads_to(stamp_ns, received_ns, self.max_step_ns) => {
                let doubtful = line.is_ahead(stamp_ns, received_ns, self.max_step_ns / 2);
                line.advance(stamp_ns, received_ns);
                self.other = None;
                return if doubtful { Judgement::Doubtful } else { Judgement::Good };
            }
            _ => {}
        }
        let step = ClockStep {
            from_ns: line.newest_ns,
            to_ns: stamp_ns,
            passed_ns: received_ns.zip(line.received_ns).map(|(now, then)| now.saturating_sub(then)),
        };
        // A stream whose first image alone was not stamped has hardly begun.
        let unset_start = line.frames == 1 && step.began_unset();
        if unset_start || self.is_confirmed(stamp_ns, received_ns) {
            self.reset();
            self.line = Some(Line::begin(stamp_ns, received_ns));
            return Judgement::ClockStep(step);
        }
        let unset = stamp_ns < YEAR_2000_NS && step.from_ns >= YEAR_2000_NS;
        Judgement::LeftOut(if unset { DropReason::StampUnset } else { DropReason::StampStep })
    }

    /// Whether a stamp that is off the time line is one of enough that agree with each other.
    fn is_confirmed(&mut self, stamp_ns: i64, received_ns: Option<i64>) -> bool {
        match &mut self.other {
            Some((other, _)) if other.newest_ns == stamp_ns => false,
            Some((other, agreed))
                if stamp_ns > other.newest_ns && other.leads_to(stamp_ns, received_ns, self.max_step_ns) =>
            {
                other.advance(stamp_ns, received_ns);
                *agreed += 1;
                *agreed >= CONFIRMED_BY
            }
            _ => {
                self.other = Some((Line::begin(stamp_ns, received_ns), 1));
                false
            }
        }
    }
}

/// Stamps that follow each other.
#[derive(Debug, Clone)]
struct Line {
    newest_ns: i64,
    received_ns: Option<i64>,
    frames: u64,
    /// Stamp less receipt of the newest frames; the largest is that of the frame with the shortest way.
    offsets_ns: [Option<i64>; REMEMBERED],
}

impl Line {
    fn begin(stamp_ns: i64, received_ns: Option<i64>) -> Self {
        let mut line = Self { newest_ns: stamp_ns, received_ns, frames: 0, offsets_ns: [None; REMEMBERED] };
        line.advance(stamp_ns, received_ns);
        line
    }

    fn advance(&mut self, stamp_ns: i64, received_ns: Option<i64>) {
        let place = (self.frames % REMEMBERED as u64) as usize;
        self.offsets_ns[place] = received_ns.map(|received_ns| stamp_ns.saturating_sub(received_ns));
        (self.newest_ns, self.received_ns) = (stamp_ns, received_ns);
        self.frames += 1;
    }

    /// By how much a stamp runs ahead of the receiver's clock; `None` where there is none.
    fn ahead_ns(&self, stamp_ns: i64, received_ns: Option<i64>) -> Option<i64> {
        let before_ns = self.offsets_ns.iter().flatten().max()?;
        Some(stamp_ns.saturating_sub(received_ns?).saturating_sub(*before_ns))
    }

    fn is_ahead(&self, stamp_ns: i64, received_ns: Option<i64>, by_ns: i64) -> bool {
        let step_ns = stamp_ns.saturating_sub(self.newest_ns);
        step_ns > by_ns && self.ahead_ns(stamp_ns, received_ns).is_some_and(|ahead_ns| ahead_ns > by_ns)
    }

    /// Whether a later stamp can be the next one.
    fn leads_to(&self, stamp_ns: i64, received_ns: Option<i64>, max_step_ns: i64) -> bool {
        let step_ns = stamp_ns.saturating_sub(self.newest_ns);
        match self.ahead_ns(stamp_ns, received_ns) {
            Some(_) => !self.is_ahead(stamp_ns, received_ns, max_step_ns),
            None => step_ns <= max_step_ns.max(UNWITNESSED_NS),
        }
    }
}

/// Which frames of a recorded stream can be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Believed {
    /// Their places in the stream, rising. Repeated stamps are among them.
    pub kept: Vec<usize>,
    /// Why others are left out, and how many.
    pub left_out: Vec<(DropReason, usize)>,
}

/// Judges a whole recorded stream: the stamp and the receipt of each frame, in nanoseconds. A stream that begins with a
/// stamp that was not set begins with the first that was.
///
/// # Errors
/// At which place the clock was set, and how: it is not one stream.
pub fn believed(
    mut rule: StampRule,
    frames: impl IntoIterator<Item = (i64, Option<i64>)>,
) -> Result<Believed, (usize, ClockStep)> {
    let (mut found, mut good) = (Believed::default(), 0);
    let mut leave_out =
        |reason: DropReason, count: usize| match found.left_out.iter_mut().find(|(of, _)| *of == reason) {
            Some((_, so_far)) => *so_far += count,
            None => found.left_out.push((reason, count)),
        };
    for (place, (stamp_ns, received_ns)) in frames.into_iter().enumerate() {
        match rule.judge(stamp_ns, received_ns) {
            Judgement::Good | Judgement::Doubtful => good += 1,
            Judgement::LeftOut(DropReason::Duplicate) => {}
            Judgement::LeftOut(reason) => {
                leave_out(reason, 1);
                continue;
            }
            Judgement::ClockStep(step) if step.began_unset() && good == 1 => {
                leave_out(DropReason::StampUnset, found.kept.len());
                found.kept.clear();
            }
            Judgement::ClockStep(step) => return Err((place, step)),
        }
        found.kept.push(place);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
