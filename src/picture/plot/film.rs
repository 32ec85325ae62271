//! The recording as a video with the live overlay drawn on every frame, as it would have been seen: at each time only
//! what was scored by then.

mod encoder;
mod matroska;

use std::ops::ControlFlow;
use std::path::Path;

use ::image::RgbImage;
use ::image::imageops;

use self::encoder::Stream;
use super::ScoredEpisode;
use crate::episode::CameraFrame;
use crate::files::Unfinished;
use crate::offline::recording::{Footage, RecordingError};
use crate::picture::overlay::{Overlay, draw};
use crate::reward::ScoredPrefix;

pub use encoder::Encoder;

/// Why there is no video.
#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    #[error("{0}: the overlay is written as .mp4; give the file such a name")]
    Ending(String),
    #[error(
        "videos are written by the program {0}, which is not installed (Debian, Ubuntu: apt install ffmpeg)"
    )]
    NoProgram(String),
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{0} can encode neither H.264 nor MPEG-4: install a complete ffmpeg")]
    NoEncoder(String),
    #[error("the video cannot be written: {program} says {message}")]
    Program { program: String, message: String },
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: std::io::Error },
    #[error("none of the recording's frames can be decoded")]
    NoPicture,
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

/// A video that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Film {
    pub frames: usize,
    /// Recorded frames that are not in it: no pictures, or not later than the one before.
    pub left_out: usize,
}

/// Checks that a video can have this name.
///
/// # Errors
/// Any ending but .mp4.
pub fn check_name(file: &Path) -> Result<(), FilmError> {
    let ending = file.extension().unwrap_or_default();
    if ending.eq_ignore_ascii_case("mp4") {
        Ok(())
    } else {
        Err(FilmError::Ending(file.display().to_string()))
    }
}

/// Writes every recorded frame with the overlay on it, each at its own time, as an mp4 that appears only when it is
/// complete. One frame at a time is held in memory. `episode_id` is the number that the overlay shows.
///
/// # Errors
/// An ending that is not .mp4, a recording that cannot be read, no frame in it that is a picture, what ffmpeg says, or
/// what the file system refuses.
pub fn film(
    footage: &dyn Footage,
    scored: &ScoredEpisode<'_>,
    episode_id: u64,
    encoder: &Encoder,
    file: &Path,
) -> Result<Film, FilmError> {
    check_name(file)?;
    let failed = |source| FilmError::Write { file: file.display().to_string(), source };
    // Before anything is decoded or encoded for nothing. The encoder writes into it.
    let unfinished = Unfinished::beside(file).map_err(failed)?;
    let mut writer = Writer {
        overlay: CausalOverlay::new(scored, episode_id),
        encoder,
        file: unfinished.path(),
        stream: None,
        clock: Clock::default(),
        film: Film { frames: 0, left_out: 0 },
    };
    let written = writer.play(footage);
    // It ends ffmpeg, if that still writes.
    drop(writer);
    let film = written?;
    unfinished.finish().map_err(failed)?;
    Ok(film)
}

struct Writer<'a> {
    overlay: CausalOverlay<'a>,
    encoder: &'a Encoder,
    file: &'a Path,
    stream: Option<Stream>,
    clock: Clock,
    film: Film,
}

impl Writer<'_> {
    fn play(&mut self, footage: &dyn Footage) -> Result<Film, FilmError> {
        let mut failed = None;
        footage.play(&mut |frame| match self.show(frame) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.stream.take().ok_or(FilmError::NoPicture)?.finish()?;
        Ok(self.film)
    }

    fn show(&mut self, frame: CameraFrame) -> Result<(), FilmError> {
        // The clock starts with the first frame read, picture or not, as the scores' does.
        let place = self.clock.place(frame.stamp_ns);
        let Some((start_ns, frame)) = place.and_then(|start_ns| Some((start_ns, frame.decode().ok()?)))
        else {
            self.film.left_out += 1;
            return Ok(());
        };
        let picture = self.overlay.draw(&frame.rgb, start_ns as f64 / 1e9);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.encoder.start(self.file, picture.dimensions())?),
        };
        stream.write(start_ns, &picture)?;
        self.clock.newest_ns = Some(start_ns);
        self.film.frames += 1;
        Ok(())
    }
}

/// Closer times would be the same in the video.
const CLOSEST_NS: u64 = 20_000;

/// From stamps to times since the first.
#[derive(Default)]
struct Clock {
    first_ns: Option<i64>,
    /// When the newest frame of the film begins.
    newest_ns: Option<u64>,
}

impl Clock {
    /// When a frame begins, unless that is not later than the newest of the film.
    fn place(&mut self, stamp_ns: i64) -> Option<u64> {
        let first_ns = *self.first_ns.get_or_insert(stamp_ns);
        let start_ns = u64::try_from(i128::from(stamp_ns) - i128::from(first_ns)).ok()?;
        self.newest_ns
            .is_none_or(|newest_ns| start_ns - newest_ns.min(start_ns) >= CLOSEST_NS)
            .then_some(start_ns)
    }
}

/// The overlay as it would have been seen at a time.
struct CausalOverlay<'a> {
    scored: &'a ScoredEpisode<'a>,
    episode_id: u64,
    /// Of the first frame: a video has one.
    size: Option<(u32, u32)>,
}

impl<'a> CausalOverlay<'a> {
    fn new(scored: &'a ScoredEpisode<'a>, episode_id: u64) -> Self {
        Self { scored, episode_id, size: None }
    }

    /// What was scored by then.
    fn known(&self, time_s: f64) -> &'a [ScoredPrefix] {
        let prefixes = self.scored.prefixes;
        &prefixes[..prefixes.partition_point(|prefix| prefix.reading.time_s <= time_s)]
    }

    /// What there is to be seen at `time_s`.
    fn at<'b>(&'b self, frame: &'b RgbImage, time_s: f64) -> Overlay<'b> {
        let success = self.scored.called_s.is_some_and(|called_s| called_s <= time_s);
        Overlay {
            frame,
            instruction: self.scored.instruction,
            episode_id: self.episode_id,
            state: if success { "success" } else { "running" },
            success,
            threshold_nats: self.scored.threshold_nats,
            curve: self.known(time_s),
        }
    }

    fn draw(&mut self, frame: &RgbImage, time_s: f64) -> RgbImage {
        let (width, height) = *self.size.get_or_insert(frame.dimensions());
        if frame.dimensions() == (width, height) {
            return draw(&self.at(frame, time_s));
        }
        let fitted = imageops::resize(frame, width, height, imageops::FilterType::Triangle);
        draw(&self.at(&fitted, time_s))
    }
}

#[cfg(test)]
mod tests;
