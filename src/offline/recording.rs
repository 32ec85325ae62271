//! Recorded episodes. What lies on disk is played as camera frames in order of time, and the node's own sampler chooses
//! from them: the same frames, the same choice, the same pixels as live.

mod animation;
pub mod bag;
pub mod lerobot;
mod pictures;
mod truncation;
mod video;

use std::ops::ControlFlow;
use std::path::Path;

use crate::episode::image::ImageError;
use crate::episode::{Admission, CameraFrame, ClockStep, DropReason, Sampler, SamplerError};
use crate::offline::SampledFrame;

pub use animation::{Animation, AnimationError};
pub use bag::{Bag, BagError};
pub use pictures::Pictures;
pub use truncation::TruncationError;
pub use video::{Decoder, Packets, Video, VideoError, VideoStream};

/// Where the frames of one episode lie.
pub trait Footage: Send + Sync {
    /// Shows every frame, oldest first, until `show` breaks off. Pictures are decoded only where `show` asks for them.
    ///
    /// # Errors
    /// What cannot be read, by name. Frames that were shown before are good.
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError>;
}

/// One episode of a recording.
pub struct RecordedEpisode {
    /// Its name, unlike that of any other in the same input.
    pub name: String,
    /// Its number in the input: the data set's own, else counted from 0.
    pub index: u64,
    /// What the robot was to do, where the recording says so.
    pub instruction: Option<String>,
    pub footage: Box<dyn Footage>,
}

/// Why an episode cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error(transparent)]
    Rate(#[from] SamplerError),
    #[error("frame {number} at {time_s:.3} s: {source}")]
    Image { number: usize, time_s: f64, source: ImageError },
    #[error(
        "frame {number} is stamped {back_s:.3} s before the one before it: the recording is not one episode"
    )]
    Backwards { number: usize, back_s: f64 },
    #[error("frame {number} is of another time: {step}; the recording is not one episode")]
    ClockStep { number: usize, step: ClockStep },
    #[error(
        "frame {number} is stamped {stamp_s:.3} s after the first, and the one before it {before_s:.3} s: that cannot be"
    )]
    OddStamp { number: usize, stamp_s: f64, before_s: f64 },
    #[error(
        "the time of {name} stands still: {still} of its {frames} frames have the time of the one before; a bag can be \
         scored by the times of its recording (--stamps receipt)"
    )]
    StandStill { name: String, still: usize, frames: usize },
    #[error("{0} has no frames")]
    Empty(String),
    #[error("a frame rate of {0} frames a second makes no sense")]
    FrameRate(f64),
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("the folder {0} holds no .png, .jpg or .jpeg file: there is nothing to score")]
    NoPictures(String),
    #[error(transparent)]
    Bag(#[from] BagError),
    #[error(transparent)]
    Video(#[from] VideoError),
    #[error(transparent)]
    Animation(#[from] AnimationError),
    #[error(transparent)]
    Truncated(#[from] TruncationError),
    #[error(transparent)]
    LeRobot(#[from] lerobot::LeRobotError),
}

/// The footage in a single file, recognised by its first bytes: an animated picture, else a video.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn open_file(file: &Path) -> Result<Box<dyn Footage>, RecordingError> {
    let video = Video::open(file)?;
    Ok(match Animation::recognise(file)? {
        Some(animation) => Box::new(animation),
        None => Box::new(video),
    })
}

/// What the model will see of an episode.
#[derive(Debug)]
pub struct Sampled {
    pub frames: Vec<SampledFrame>,
    /// Which of the recorded frames each of them is, from 0.
    pub numbers: Vec<usize>,
    /// When each recorded frame was taken, seconds since the first.
    pub recorded_s: Vec<f64>,
}

/// Samples an episode at `rate_hz` samples a second of its own time, by the rule of the node.
///
/// # Errors
/// An episode that cannot be read, holds no frame, runs backwards, stands still or jumps in time, or has a frame among the
/// samples that is no picture.
pub fn sample(footage: &dyn Footage, name: &str, rate_hz: f64) -> Result<Sampled, RecordingError> {
    let mut collector = Collector {
        sampler: Sampler::new(rate_hz)?,
        first_ns: None,
        newest_ns: 0,
        still: 0,
        sampled: Sampled { frames: Vec::new(), numbers: Vec::new(), recorded_s: Vec::new() },
    };
    let mut failed = None;
    footage.play(&mut |frame| match collector.offer(frame) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None if collector.sampled.frames.is_empty() => Err(RecordingError::Empty(name.to_owned())),
        None => collector.finish(name),
    }
}

struct Collector {
    sampler: Sampler,
    first_ns: Option<i64>,
    newest_ns: i64,
    /// Frames with the time of the one before.
    still: usize,
    sampled: Sampled,
}

impl Collector {
    fn offer(&mut self, frame: CameraFrame) -> Result<(), RecordingError> {
        let number = self.sampled.recorded_s.len();
        let first_ns = *self.first_ns.get_or_insert(frame.stamp_ns);
        let time_s = frame.stamp_ns.saturating_sub(first_ns) as f64 / 1e9;
        let admission = self.sampler.admit(frame.stamp_ns, frame.received_ns);
        let before_s = self.newest_ns.saturating_sub(first_ns) as f64 / 1e9;
        match admission {
            Admission::Take | Admission::Skip => {}
            Admission::LeftOut(DropReason::Duplicate) => self.still += 1,
            Admission::LeftOut(_) if time_s < before_s => {
                return Err(RecordingError::Backwards { number, back_s: before_s - time_s });
            }
            Admission::LeftOut(_) => {
                return Err(RecordingError::OddStamp { number, stamp_s: time_s, before_s });
            }
            Admission::ClockStep(step) => return Err(RecordingError::ClockStep { number, step }),
        }
        self.newest_ns = frame.stamp_ns;
        self.sampled.recorded_s.push(time_s);
        if admission == Admission::Take {
            let frame = frame.decode().map_err(|source| RecordingError::Image { number, time_s, source })?;
            self.sampled.frames.push(SampledFrame { rgb: frame.rgb, time_s });
            self.sampled.numbers.push(number);
        }
        Ok(())
    }

    fn finish(self, name: &str) -> Result<Sampled, RecordingError> {
        let (still, frames) = (self.still, self.sampled.recorded_s.len());
        // A topic that was recorded twice has each frame twice.
        if still * 2 > frames {
            return Err(RecordingError::StandStill { name: name.to_owned(), still, frames });
        }
        if still > 0 {
            log::warn!(
                "{name}: {still} of {frames} frames have the time of the one before, and are not looked at"
            );
        }
        Ok(self.sampled)
    }
}

/// The stamp of frame `number` of a stream of `fps` frames a second, nanoseconds.
fn regular_stamp_ns(number: usize, fps: f64) -> i64 {
    (number as f64 / fps * 1e9).round() as i64
}

#[cfg(test)]
mod tests;
