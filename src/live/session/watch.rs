//! Why a camera's images lead to no score: said once in an episode, and shown as long as it lasts.

use std::collections::BTreeSet;
use std::fmt;

use super::*;
use crate::episode::{ClockStep, SizeStep};

/// Images in a row that are left out before that is a trouble.
const SEVERAL: u32 = 5;
/// Seconds without an image before that is said.
const MISSED_AFTER_S: f64 = 3.0;

/// What is wrong with a camera now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// No image has come for so many seconds.
    Silent { for_s: f64 },
    /// So many images in a row were left out, the last one for this reason.
    LeftOut { reason: DropReason, in_a_row: u32 },
    /// The newest picture that the model was given is black.
    Black,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { for_s } => write!(f, "no image for {for_s:.0} s: nothing is scored"),
            Self::LeftOut { reason: DropReason::Duplicate, in_a_row } => write!(
                f,
                "the stamp of its last {in_a_row} images stands still: nothing is scored; if the driver cannot stamp \
                 its images, set camera.<name>.stamps to \"receipt\""
            ),
            Self::LeftOut { reason, in_a_row } => {
                write!(f, "its last {in_a_row} images were left out ({}): nothing is scored", reason.as_str())
            }
            Self::Black => write!(f, "its picture is black: is the lens covered, or the light off?"),
        }
    }
}

/// Something about a camera that the log is to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Notice {
    /// The episode has ended as `time_jump`, and a new one begins.
    ClockStep(ClockStep),
    /// The episode has ended as `size_changed`, and a new one begins.
    Resized(SizeStep),
    /// An image was left out because it has another size than the episode's first.
    OddSize,
    /// An image was left out because of its stamp; the newest one that was believed is beside it, nanoseconds.
    OddStamp {
        reason: DropReason,
        stamp_ns: i64,
        newest_ns: Option<i64>,
    },
    Trouble(Trouble),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockStep(step) => {
                write!(f, "its clock was set: {step}; the episode ends as time_jump, and a new one begins")
            }
            Self::Resized(SizeStep { from, to }) => write!(
                f,
                "its images have {}×{} pixels and had {}×{}: the episode ends as size_changed, and a new one begins",
                to.0, to.1, from.0, from.1
            ),
            Self::OddSize => write!(
                f,
                "an image has another size than the episode's first: it is left out, and counted as size_changed like all \
                 that follow"
            ),
            Self::OddStamp { reason, stamp_ns, newest_ns } => {
                let seconds = |ns: i64| ns as f64 / 1e9;
                write!(f, "an image is stamped {:.3} s", seconds(*stamp_ns))?;
                if let Some(newest_ns) = newest_ns {
                    write!(f, " after one stamped {:.3} s", seconds(*newest_ns))?;
                }
                write!(f, ": it is left out, and counted as {} like all that follow", reason.as_str())
            }
            Self::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

/// By camera, what was said of it.
pub(super) type Said = BTreeSet<(usize, &'static str)>;

/// What is seen of one camera.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    /// When its last image came.
    heard_ns: Option<i64>,
    /// How many of its last images were left out, one after the other.
    left_out: Option<(DropReason, u32)>,
    black: bool,
}

impl Watch {
    /// An image has come.
    pub fn heard(&mut self, now_ns: i64) {
        self.heard_ns = Some(now_ns);
    }

    /// Nothing is wrong with the image.
    pub fn well(&mut self) {
        self.left_out = None;
    }

    /// The model is given the image.
    pub fn sampled(&mut self, black: bool) {
        self.well();
        self.black = black;
    }

    fn left_out(&mut self, reason: DropReason) {
        let before = self.left_out.map_or(0, |(_, in_a_row)| in_a_row);
        self.left_out = Some((reason, before.saturating_add(1)));
    }

    /// What is wrong in an episode that was begun at `begun_ns`.
    fn trouble(&self, now_ns: i64, begun_ns: i64) -> Option<Trouble> {
        let since_ns = self.heard_ns.unwrap_or(begun_ns).max(begun_ns);
        let for_s = now_ns.saturating_sub(since_ns) as f64 / 1e9;
        match self.left_out {
            _ if for_s > MISSED_AFTER_S => Some(Trouble::Silent { for_s }),
            Some((reason, in_a_row)) if in_a_row >= SEVERAL => Some(Trouble::LeftOut { reason, in_a_row }),
            _ => self.black.then_some(Trouble::Black),
        }
    }
}

impl Session {
    /// What is wrong with a camera, while an episode runs.
    pub fn trouble(&self, camera: usize) -> Option<Trouble> {
        self.running()?;
        self.cameras[camera].watch.trouble(self.passing.now_ns(), self.passing.begun_ns())
    }

    pub(super) fn look_at_cameras(&mut self) {
        for camera in 0..self.cameras.len() {
            if let Some(trouble) = self.trouble(camera) {
                let kind = match trouble {
                    Trouble::Silent { .. } => "silent",
                    // The image that cannot be used is logged with what is wrong with it.
                    Trouble::LeftOut { reason: DropReason::Undecodable, .. } => continue,
                    Trouble::LeftOut { reason, .. } => reason.as_str(),
                    Trouble::Black => "black",
                };
                self.say(camera, kind, Notice::Trouble(trouble));
            }
        }
    }

    /// An image of a camera was left out.
    pub(super) fn left_out(&mut self, index: usize, reason: DropReason, stamp_ns: Option<i64>) {
        // One that came before the episode says nothing of it.
        if self.running().is_none() || reason == DropReason::NoEpisode {
            return;
        }
        let camera = &mut self.cameras[index];
        camera.watch.left_out(reason);
        let newest_ns = camera.buffer.newest_ns();
        match (reason, stamp_ns) {
            (DropReason::SizeChanged, _) => self.say(index, reason.as_str(), Notice::OddSize),
            (DropReason::StampUnset | DropReason::StampStep, Some(stamp_ns)) => {
                self.say(index, reason.as_str(), Notice::OddStamp { reason, stamp_ns, newest_ns });
            }
            _ => {}
        }
    }

    fn say(&mut self, camera: usize, kind: &'static str, notice: Notice) {
        if self.said.insert((camera, kind)) {
            self.effects.push(Effect::Notice(camera, notice));
        }
    }

    /// What is wrong is said again.
    pub(super) fn forget_said(&mut self) {
        self.said.clear();
        for camera in &mut self.cameras {
            (camera.watch.left_out, camera.watch.black) = (None, false);
        }
    }
}
