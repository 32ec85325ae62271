use std::sync::Arc;

use super::{Admission, CameraFrame, ClockStep, DropReason, Frame, Sampler};
use crate::episode::image::ImageError;

/// Why an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Success,
    /// It lasted for more than `episode.max_duration_s`, by the receiver's clock.
    MaxDuration,
    /// Someone asked for its end, or for the start of another.
    Requested,
    /// It led nowhere: no progress for `failure.stuck_s`.
    Stuck,
    /// The camera's clock was set, forward or back.
    TimeJump,
    /// The camera's images changed their size.
    SizeChanged,
    /// The model's device has no room for more of its frames.
    OutOfMemory,
    /// The node was deactivated.
    Deactivated,
    /// The program ended.
    Shutdown,
}

impl EndReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::MaxDuration => "max_duration",
            Self::Requested => "requested",
            Self::Stuck => "stuck",
            Self::TimeJump => "time_jump",
            Self::SizeChanged => "size_changed",
            Self::OutOfMemory => "out_of_memory",
            Self::Deactivated => "deactivated",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Asks the engine to score a prefix: all frames of the episode up to `new_frame`.
#[derive(Debug, Clone)]
pub struct PrefixRequest {
    /// Which camera's frames these are, as counted by the session.
    pub camera: usize,
    pub episode_id: u64,
    pub instruction: Arc<str>,
    /// Whether this prefix is to be scored, or its frame only remembered.
    pub score: bool,
    /// The frame that this request adds; `None` asks again about the frames that are there.
    pub new_frame: Option<Frame>,
    /// Time of the prefix's newest frame, seconds since the episode's first frame.
    pub time_s: f64,
    /// Frames in the prefix, `new_frame` included.
    pub frames: usize,
    /// Stamp and frame of reference of the prefix's newest frame.
    pub stamp_ns: i64,
    pub frame_id: Arc<str>,
}

/// What became of a frame.
#[derive(Debug)]
pub enum Applied {
    /// A prefix to score.
    Request(PrefixRequest),
    /// The frame lies between two samples.
    Skipped,
    Dropped(DropReason),
    /// The frame is due: [`EpisodeBuffer::decoded`] is to be given it next, decoded. Nothing is counted before that.
    Due(DueFrame),
    /// The frame was due, and its image cannot be used; it is as if it had not come.
    Undecodable(ImageError),
    /// The camera's clock was set: this frame is the first of another time line. The episode has ended.
    ClockStep(CameraFrame, ClockStep),
    /// The camera's images have another size from this frame on. The episode has ended.
    Resized(CameraFrame, SizeStep),
}

/// From one (width, height) in pixels to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeStep {
    pub from: (u32, u32),
    pub to: (u32, u32),
}

/// A frame that the model is to see. Decoding may take long, so where that happens is up to the caller.
#[derive(Debug)]
pub struct DueFrame {
    frame: CameraFrame,
    plan: Box<Plan>,
}

/// A [`DueFrame`], decoded or not to be decoded.
#[derive(Debug)]
pub struct DecodedFrame {
    frame: Result<Frame, ImageError>,
    received_ns: Option<i64>,
    plan: Box<Plan>,
}

/// What a due frame is due for.
#[derive(Debug)]
struct Plan {
    episode_id: u64,
    /// As it is with the frame. One that turns out to be of no use must not use up the place that it was due for.
    sampler: Sampler,
}

impl DueFrame {
    pub fn decode(self) -> DecodedFrame {
        let Self { frame, plan } = self;
        let received_ns = frame.received_ns;
        DecodedFrame { frame: frame.decode(), received_ns, plan }
    }
}

impl DecodedFrame {
    /// When the camera took it; `None` where it cannot be decoded.
    pub fn stamp_ns(&self) -> Option<i64> {
        self.frame.as_ref().ok().map(|frame| frame.stamp_ns)
    }
}

/// So many frames in a row of one other size show that the camera has changed it; fewer are odd frames.
const RESIZED_AFTER: u32 = 3;

/// Bounds on one episode, and which of its prefixes are scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpisodeLimits {
    /// Longest episode in seconds of the receiver's clock, which the session looks at.
    pub max_duration_s: f64,
    /// Prefixes of a multiple of this many frames are scored; 0: only those that someone asks for.
    pub score_every: usize,
}

/// One camera's episode as a state machine: idle, or running with an id and a growing prefix.
///
/// The instruction is not kept here: whoever owns it gives it with each question. It stands behind the video, so that one
/// prefix can be asked about with several.
#[derive(Debug)]
pub struct EpisodeBuffer {
    camera: usize,
    sampler: Sampler,
    limits: EpisodeLimits,
    episodes_started: u64,
    running: Option<Running>,
}

#[derive(Debug, Default)]
struct Running {
    frames: usize,
    first: Option<First>,
    newest: Option<(i64, Arc<str>)>,
    /// The newest frames in a row that have another size than the first, and how many there were.
    other_size: Option<((u32, u32), u32)>,
}

#[derive(Debug)]
struct First {
    stamp_ns: i64,
    size: (u32, u32),
}

impl EpisodeBuffer {
    /// Starts idle.
    pub fn new(camera: usize, sampler: Sampler, limits: EpisodeLimits) -> Self {
        Self { camera, sampler, limits, episodes_started: 0, running: None }
    }

    /// Bounds from now on, on the running episode too.
    pub fn set_limits(&mut self, limits: EpisodeLimits) {
        self.limits = limits;
    }

    /// The running episode's id, counted from 1.
    pub fn episode_id(&self) -> Option<u64> {
        self.running.as_ref().map(|_| self.episodes_started)
    }

    /// Episodes since the program began; the newest one's id.
    pub fn episodes_started(&self) -> u64 {
        self.episodes_started
    }

    /// Frames in the running episode's prefix.
    pub fn frames(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.frames)
    }

    /// Whether the episode has not seen a frame yet.
    pub fn waiting_for_first_frame(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.first.is_none())
    }

    /// The newest stamp that was believed.
    pub fn newest_ns(&self) -> Option<i64> {
        self.sampler.newest_ns()
    }

    /// Before which time of the episode, in seconds, more time has passed by the camera's clock than by the receiver's;
    /// the last such time.
    pub fn doubted_s(&self) -> Option<f64> {
        let first = self.running.as_ref()?.first.as_ref()?;
        Some(seconds_between(first.stamp_ns, self.sampler.doubted_ns()?))
    }

    /// Begins a new episode, ending the one that runs; its first frame is the next one that comes.
    pub fn start(&mut self) {
        self.sampler.reset();
        self.episodes_started += 1;
        self.running = Some(Running::default());
    }

    /// Ends the episode.
    pub fn end(&mut self) {
        self.running = None;
    }

    /// Asks for a score of the frames that are there, whatever the schedule; `None` where there are none.
    pub fn ask_again(&self, instruction: &Arc<str>) -> Option<PrefixRequest> {
        let Running { frames, first, newest, .. } = self.running.as_ref()?;
        let (first, (stamp_ns, frame_id)) = (first.as_ref()?, newest.clone()?);
        Some(PrefixRequest {
            camera: self.camera,
            episode_id: self.episodes_started,
            instruction: instruction.clone(),
            score: true,
            new_frame: None,
            time_s: seconds_between(first.stamp_ns, stamp_ns),
            frames: *frames,
            stamp_ns,
            frame_id,
        })
    }

    /// Looks at a camera frame, which is not decoded. After [`Applied::Due`], no other frame may come before
    /// [`EpisodeBuffer::decoded`] was given this one.
    pub fn frame(&mut self, frame: CameraFrame) -> Applied {
        let Some(running) = &mut self.running else {
            return Applied::Dropped(DropReason::NoEpisode);
        };
        if let Some(size) = frame.size
            && let Some(step) = running.other_size(size)
        {
            return self.resized(frame, step);
        }
        let mut sampler = self.sampler.clone();
        let admission = sampler.admit(frame.stamp_ns, frame.received_ns);
        if let Admission::Take = admission {
            let plan = Box::new(Plan { episode_id: self.episodes_started, sampler });
            return Applied::Due(DueFrame { frame, plan });
        }
        if let Admission::ClockStep(step) = admission {
            self.running = None;
            return Applied::ClockStep(frame, step);
        }
        self.sampler = sampler;
        match admission {
            Admission::LeftOut(reason) => Applied::Dropped(reason),
            _ => Applied::Skipped,
        }
    }

    /// Takes a decoded frame into the prefix, which is asked about with `instruction`. Where its episode has ended
    /// meanwhile, it came before the one that runs now.
    pub fn decoded(&mut self, decoded: DecodedFrame, instruction: &Arc<str>) -> Applied {
        let DecodedFrame { frame, received_ns, plan } = decoded;
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Applied::Undecodable(error),
        };
        let Some(running) = self.running.as_mut().filter(|_| plan.episode_id == self.episodes_started) else {
            return Applied::Dropped(DropReason::NoEpisode);
        };
        // A compressed image tells its size only now.
        if let Some(step) = running.other_size(frame.rgb.dimensions()) {
            let mut frame = CameraFrame::from(frame);
            frame.received_ns = received_ns;
            return self.resized(frame, step);
        }
        self.sampler = plan.sampler;
        self.request(frame, instruction)
    }

    /// A frame of another size than the episode's. It is dropped, unless the camera has changed its size.
    fn resized(&mut self, frame: CameraFrame, (step, frames): (SizeStep, u32)) -> Applied {
        if frames < RESIZED_AFTER {
            return Applied::Dropped(DropReason::SizeChanged);
        }
        self.running = None;
        Applied::Resized(frame, step)
    }

    /// Takes the frame into the prefix.
    fn request(&mut self, frame: Frame, instruction: &Arc<str>) -> Applied {
        let Some(running) = &mut self.running else { return Applied::Dropped(DropReason::NoEpisode) };
        let size = frame.rgb.dimensions();
        let first = running.first.get_or_insert(First { stamp_ns: frame.stamp_ns, size });
        let time_s = seconds_between(first.stamp_ns, frame.stamp_ns);
        running.frames += 1;
        running.newest = Some((frame.stamp_ns, frame.frame_id.clone()));
        Applied::Request(PrefixRequest {
            camera: self.camera,
            episode_id: self.episodes_started,
            instruction: instruction.clone(),
            score: running.frames.checked_rem(self.limits.score_every) == Some(0),
            time_s,
            frames: running.frames,
            stamp_ns: frame.stamp_ns,
            frame_id: frame.frame_id.clone(),
            new_frame: Some(frame),
        })
    }
}

impl Running {
    /// Counts a frame of another size than the first one's, if it has one: how many in a row have it by now.
    fn other_size(&mut self, size: (u32, u32)) -> Option<(SizeStep, u32)> {
        let from = self.first.as_ref()?.size;
        if size == from {
            self.other_size = None;
            return None;
        }
        let before = self.other_size.filter(|(other, _)| *other == size).map_or(0, |(_, frames)| frames);
        self.other_size = Some((size, before + 1));
        Some((SizeStep { from, to: size }, before + 1))
    }
}

fn seconds_between(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

#[cfg(test)]
mod tests;
