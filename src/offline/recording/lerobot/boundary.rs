//! Where an episode begins in a video that several share.

use std::path::Path;

use super::LeRobotError;

/// What the dataset says of an episode's part of a video.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Boundary {
    /// `from_timestamp` and `to_timestamp`, seconds of the video.
    pub from_s: f64,
    pub to_s: f64,
    /// Frames of the episodes before it in the video, its own, and those of all episodes in it.
    pub before: u64,
    pub frames: u64,
    pub all: u64,
}

/// How far a boundary may lie from a frame's own time, in frames: sums of durations are not exact.
const ROUNDING: f64 = 0.1;

impl Boundary {
    /// The seconds of the video that are the episode's. Its times say so where counting frames agrees; where it does not,
    /// the frames are counted, if the episodes have as many as the video (`in_video`).
    ///
    /// # Errors
    /// The times lie between two frames and there is no counting, or the video cannot be read.
    pub fn span<E: From<LeRobotError>>(
        self,
        file: &Path,
        episode: u64,
        fps: f64,
        in_video: impl FnOnce() -> Result<usize, E>,
    ) -> Result<(f64, f64), E> {
        let Self { from_s, to_s, before, frames, all } = self;
        let (place, end) = (from_s * fps, to_s * fps);
        if (place - before as f64).abs() < 0.5 && (end - (before + frames) as f64).abs() < 0.5 {
            return Ok((from_s, to_s));
        }
        let in_video = in_video()?;
        if in_video as u64 == all {
            log::warn!(
                "{}: episode {episode} is said to begin at frame {place:.2} of the video; by the lengths of the episodes \
                 before it, that is frame {before}, which is taken",
                file.display()
            );
            return Ok((before as f64 / fps, (before + frames) as f64 / fps));
        }
        // A part of a larger dataset: its own lengths do not count the frames before it.
        if (place - place.round()).abs() < ROUNDING {
            return Ok((from_s, to_s));
        }
        let file = file.display().to_string();
        Err(LeRobotError::Boundary { file, episode, place, before, in_video, all }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second of three episodes of 8, 7 and 6 frames, 10 a second.
    fn span(from_s: f64, in_video: usize) -> Result<(f64, f64), String> {
        between(from_s, from_s + 0.7, in_video)
    }

    fn between(from_s: f64, to_s: f64, in_video: usize) -> Result<(f64, f64), String> {
        let boundary = Boundary { from_s, to_s, before: 8, frames: 7, all: 21 };
        let found = boundary.span(Path::new("file.mp4"), 1, 10.0, || Ok::<_, LeRobotError>(in_video));
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn a_boundary_that_is_off_is_found_by_counting() {
        assert_eq!(span(0.8, 0), Ok((0.8, 0.8 + 0.7)), "nothing is asked of the video");
        assert_eq!(span(0.83, 0), Ok((0.83, 0.83 + 0.7)));
        for off_s in [0.87, 0.72, 1.4] {
            assert_eq!(span(off_s, 21), Ok((0.8, 1.5)), "{off_s}");
        }
        assert_eq!(between(0.8, 1.57, 21), Ok((0.8, 1.5)), "the end is off");
        // Of a larger dataset, whose other episodes are not here.
        assert_eq!(span(12.3, 400), Ok((12.3, 12.3 + 0.7)));
        let told = span(12.37, 400).unwrap_err();
        assert!(told.contains("123.70") && told.contains("frame 8") && told.contains("400"), "{told}");
    }
}
