use std::sync::Arc;

use super::{Admission, CameraFrame, DropReason, Frame, Sampler};
use crate::episode::image::ImageError;

/// Why an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Success,
    /// Its header time passed `episode.max_duration_s`.
    MaxDuration,
    /// Someone asked for its end, or for the start of another.
    Requested,
    /// It led nowhere: no progress for `failure.stuck_s`.
    Stuck,
    /// The camera's clock was set back.
    TimeJump,
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
    /// The frame was due, and its image cannot be used; it is as if it had not come.
    Undecodable(ImageError),
    /// The frame lies past the longest episode allowed; it is dropped and the episode has ended.
    TooLong,
    /// The camera's clock was set back, to this frame; the episode has ended.
    TimeJump(CameraFrame),
}

/// Bounds on one episode, and which of its prefixes are scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpisodeLimits {
    /// Longest episode in seconds of header time.
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
        let Running { frames, first, newest } = self.running.as_ref()?;
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

    /// Takes a camera frame into the prefix, if it is due; the prefix is asked about with `instruction`.
    pub fn frame(&mut self, frame: CameraFrame, instruction: &Arc<str>) -> Applied {
        let Some(running) = &mut self.running else {
            return Applied::Dropped(DropReason::NoEpisode);
        };
        let episode_size = running.first.as_ref().map(|first| first.size);
        if frame.size.zip(episode_size).is_some_and(|(size, first)| size != first) {
            return Applied::Dropped(DropReason::SizeChanged);
        }
        // A frame that turns out to be of no use must not use up the place in the schedule that it was due for.
        let mut sampler = self.sampler.clone();
        match sampler.admit(frame.stamp_ns) {
            Admission::Duplicate => return Applied::Dropped(DropReason::Duplicate),
            Admission::OutOfOrder => return Applied::Dropped(DropReason::OutOfOrder),
            Admission::TimeJump => {
                self.running = None;
                return Applied::TimeJump(frame);
            }
            Admission::Skip => {
                self.sampler = sampler;
                return Applied::Skipped;
            }
            Admission::Take => {}
        }
        let frame = match frame.decode() {
            Ok(frame) => frame,
            Err(error) => return Applied::Undecodable(error),
        };
        let size = frame.rgb.dimensions();
        if episode_size.is_some_and(|first| size != first) {
            return Applied::Dropped(DropReason::SizeChanged);
        }
        self.sampler = sampler;
        let first = running.first.get_or_insert(First { stamp_ns: frame.stamp_ns, size });
        let time_s = seconds_between(first.stamp_ns, frame.stamp_ns);
        if time_s > self.limits.max_duration_s {
            self.running = None;
            return Applied::TooLong;
        }
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

fn seconds_between(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::RgbImage;

    fn buffer() -> EpisodeBuffer {
        scoring_every(1)
    }

    fn scoring_every(score_every: usize) -> EpisodeBuffer {
        let limits = EpisodeLimits { max_duration_s: 10.0, score_every };
        EpisodeBuffer::new(0, Sampler::new(2.0).unwrap(), limits)
    }

    fn frame(time_s: f64, width: u32) -> CameraFrame {
        let frame = Frame {
            stamp_ns: 5_000_000_000 + (time_s * 1e9) as i64,
            frame_id: "camera".into(),
            rgb: Arc::new(RgbImage::new(width, 4)),
        };
        frame.into()
    }

    fn offer(buffer: &mut EpisodeBuffer, frame: CameraFrame) -> Applied {
        buffer.frame(frame, &"lift the cup".into())
    }

    fn request(applied: Applied) -> PrefixRequest {
        match applied {
            Applied::Request(request) => request,
            other => panic!("expected a request, got {other:?}"),
        }
    }

    #[test]
    fn frames_without_an_episode_are_dropped_by_name() {
        assert!(matches!(offer(&mut buffer(), frame(0.0, 8)), Applied::Dropped(DropReason::NoEpisode)));
    }

    #[test]
    fn a_prefix_grows_by_the_sampled_frames() {
        let mut buffer = buffer();
        buffer.start();
        assert!(buffer.waiting_for_first_frame());
        let first = request(offer(&mut buffer, frame(0.0, 8)));
        assert_eq!((first.episode_id, first.frames, first.time_s), (1, 1, 0.0));
        assert!(matches!(offer(&mut buffer, frame(0.1, 8)), Applied::Skipped));
        assert!(matches!(offer(&mut buffer, frame(0.1, 8)), Applied::Dropped(DropReason::Duplicate)));
        assert!(matches!(offer(&mut buffer, frame(0.05, 8)), Applied::Dropped(DropReason::OutOfOrder)));
        let second = request(offer(&mut buffer, frame(0.5, 8)));
        assert_eq!((second.frames, second.time_s, second.stamp_ns), (2, 0.5, 5_500_000_000));
        assert_eq!(buffer.frames(), 2);
    }

    #[test]
    fn every_frame_is_handed_on_and_every_kth_prefix_scored() {
        let scored = |every| -> Vec<bool> {
            let mut buffer = scoring_every(every);
            buffer.start();
            let mut one = |i: i32| request(offer(&mut buffer, frame(f64::from(i) * 0.5, 8))).score;
            (0..6).map(&mut one).collect()
        };
        assert_eq!(scored(1), [true; 6]);
        assert_eq!(scored(3), [false, false, true, false, false, true]);
        assert_eq!(scored(0), [false; 6]);
        let mut buffer = scoring_every(0);
        buffer.start();
        let instruction = "lift the cup".into();
        assert!(buffer.ask_again(&instruction).is_none(), "there is no frame yet");
        request(offer(&mut buffer, frame(0.0, 8)));
        let asked = buffer.ask_again(&instruction).unwrap();
        assert!(asked.score && asked.new_frame.is_none());
    }

    #[test]
    fn another_size_is_dropped_and_does_not_disturb_the_schedule() {
        let mut buffer = buffer();
        buffer.start();
        request(offer(&mut buffer, frame(0.0, 8)));
        assert!(matches!(offer(&mut buffer, frame(0.5, 16)), Applied::Dropped(DropReason::SizeChanged)));
        assert_eq!(request(offer(&mut buffer, frame(0.5, 8))).frames, 2);
    }

    /// A frame whose size shows only when it is decoded.
    fn undecoded(
        time_s: f64,
        decode: impl FnOnce() -> Result<RgbImage, ImageError> + Send + 'static,
    ) -> CameraFrame {
        let stamp_ns = 5_000_000_000 + (time_s * 1e9) as i64;
        CameraFrame::new(stamp_ns, "camera".into(), None, decode)
    }

    #[test]
    fn only_samples_are_decoded_and_one_that_cannot_be_leaves_its_place_to_the_next() {
        let mut buffer = buffer();
        buffer.start();
        let broken = || Err(ImageError::Empty { width: 0, height: 0 });
        assert!(matches!(offer(&mut buffer, undecoded(0.0, broken)), Applied::Undecodable(_)));
        assert_eq!(request(offer(&mut buffer, undecoded(0.1, || Ok(RgbImage::new(8, 4))))).time_s, 0.0);
        assert!(matches!(
            offer(&mut buffer, undecoded(0.2, || panic!("not to be decoded"))),
            Applied::Skipped
        ));
        assert!(matches!(offer(&mut buffer, undecoded(0.6, broken)), Applied::Undecodable(_)));
        let small = || Ok(RgbImage::new(4, 4));
        assert!(matches!(
            offer(&mut buffer, undecoded(0.65, small)),
            Applied::Dropped(DropReason::SizeChanged)
        ));
        assert_eq!(request(offer(&mut buffer, frame(0.7, 8))).frames, 2);
    }

    #[test]
    fn a_new_instruction_keeps_the_frames_and_asks_again() {
        let mut buffer = buffer();
        assert!(buffer.ask_again(&"a".into()).is_none(), "no episode runs");
        buffer.start();
        assert!(buffer.ask_again(&"b".into()).is_none(), "there is no frame yet");
        request(offer(&mut buffer, frame(0.0, 8)));
        request(offer(&mut buffer, frame(0.5, 8)));
        let again = buffer.ask_again(&"c".into()).unwrap();
        assert_eq!((&*again.instruction, again.frames, again.time_s), ("c", 2, 0.5));
        assert!(again.new_frame.is_none());
    }

    #[test]
    fn a_clock_that_was_set_back_ends_the_episode_and_the_frame_begins_the_next() {
        let mut buffer = buffer();
        buffer.start();
        request(offer(&mut buffer, frame(5.0, 8)));
        assert!(matches!(offer(&mut buffer, frame(3.0, 8)), Applied::Dropped(DropReason::OutOfOrder)));
        let Applied::TimeJump(jumped) = offer(&mut buffer, frame(2.9, 8)) else { panic!("no jump") };
        assert_eq!(buffer.episode_id(), None);
        buffer.start();
        let first = request(offer(&mut buffer, jumped));
        assert_eq!((first.episode_id, first.frames, first.time_s), (2, 1, 0.0));
    }

    #[test]
    fn an_episode_ends_at_its_longest_and_a_new_one_counts_on() {
        let mut buffer = buffer();
        buffer.start();
        request(offer(&mut buffer, frame(0.0, 8)));
        request(offer(&mut buffer, frame(10.0, 8)));
        assert!(matches!(offer(&mut buffer, frame(10.5, 8)), Applied::TooLong));
        assert_eq!(buffer.episode_id(), None);
        buffer.start();
        let first = request(offer(&mut buffer, frame(20.0, 16)));
        assert_eq!((first.episode_id, first.frames, first.time_s), (2, 1, 0.0));
        buffer.end();
        assert!(matches!(offer(&mut buffer, frame(20.5, 16)), Applied::Dropped(DropReason::NoEpisode)));
    }
}
