//! A video file, decoded by the program `ffmpeg`.

mod clock;
mod decoder;
mod ffmpeg_log;
mod ffmpeg_process;
mod pixels;
mod player;
mod rational;
mod stream;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::truncation::{self, TruncationError};
use super::{Footage, RecordingError};
use crate::episode::CameraFrame;
use crate::episode::image::{LARGEST_SIDE, MOST_PIXELS};

pub use decoder::Decoder;
pub use stream::{Packets, VideoStream};

/// Why a video cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    #[error("there is no video file {0}")]
    Absent(String),
    #[error(
        "videos are decoded by the program {0}, which is not installed (Debian, Ubuntu: apt install ffmpeg; elsewhere name it by --ffmpeg or {VARIABLE})",
        VARIABLE = decoder::VARIABLE
    )]
    NoProgram(String),
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} is not ffmpeg: it answers -version with \"{answer}\"")]
    NoFfmpeg { program: String, answer: String },
    #[error(
        "{program} is ffmpeg {found}; at least 4.4 is needed, since older versions cannot print each frame's time cheaply"
    )]
    TooOld { program: String, found: String },
    #[error("cannot read the video {file}: {program} says {message}")]
    Program { file: String, program: String, message: String },
    #[error(
        "{program} cannot decode {codec}, the codec of {file}: use an ffmpeg that was built with {libraries}"
    )]
    NoDecoder { file: String, program: String, codec: String, libraries: &'static str },
    #[error(
        "{0} is no recording but a play list, a script or another format that may lead to other files: name the video itself"
    )]
    Format(String),
    #[error(
        "{file} has frames of {width}×{height} pixels: at most {LARGEST_SIDE} a side and {MOST_PIXELS} in all are read"
    )]
    TooLarge { file: String, width: u32, height: u32 },
    #[error(
        "{file} is a depth video: its pixels are one number of more than 8 bits each ({pixel_format}), which has no colours: take the colour camera"
    )]
    Depth { file: String, pixel_format: String },
    #[error(
        "{0} was never finished: its index (moov), which is written at the end of a recording, is missing; copy it again, or rebuild the index from another recording of the same camera (the program untrunc)"
    )]
    Unfinished(String),
    #[error("{0} has no video stream")]
    NoStream(String),
    #[error(transparent)]
    Truncated(#[from] TruncationError),
    #[error("{file}: frame {number} is {width}×{height} pixels, which cannot be read")]
    Size { file: String, number: usize, width: u32, height: u32 },
    #[error("{file} changes its picture from {from} to {to} at frame {number}: it is not one episode")]
    Changed { file: String, number: usize, from: String, to: String },
    #[error("the frames that ffmpeg decodes from {file} cannot be read: {reason}")]
    Pipe { file: String, reason: String },
    #[error("from {from_s} s to {to_s} s is not a span of time in a video")]
    Span { from_s: f64, to_s: f64 },
}

/// A video file of any container that ffmpeg reads, but play lists: its first video stream that is no cover picture.
///
/// A frame's stamp is its presentation time since the first frame shown, whatever the rate. Pictures are
/// turned as the file's display matrix says, and have the pixels that are stored, also where those are not square.
#[derive(Debug, Clone)]
pub struct Video {
    file: PathBuf,
    span: Option<Span>,
}

/// Seconds of the file's own presentation times, the end not included.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from_s: f64,
    to_s: f64,
}

impl Video {
    /// # Errors
    /// There is no such file.
    pub fn open(file: &Path) -> Result<Self, VideoError> {
        if !file.is_file() {
            return Err(VideoError::Absent(file.display().to_string()));
        }
        Ok(Self { file: file.to_owned(), span: None })
    }

    /// Only the frames whose presentation time lies in [from_s, to_s) seconds of the file's own time line, stamped from
    /// the first of them. A time counts as reached up to a millisecond early, so that sums of durations may stand here.
    ///
    /// # Errors
    /// A span that ends before it begins, or no numbers.
    pub fn between(self, from_s: f64, to_s: f64) -> Result<Self, VideoError> {
        if !(from_s.is_finite() && to_s.is_finite() && from_s < to_s) {
            return Err(VideoError::Span { from_s, to_s });
        }
        Ok(Self { span: Some(Span { from_s, to_s }), ..self })
    }

    /// What the file says of its video stream; nothing is decoded.
    ///
    /// # Errors
    /// No ffprobe, or no video.
    pub fn stream(&self) -> Result<VideoStream, VideoError> {
        truncation::check(&self.file)?;
        VideoStream::probe(&Decoder::in_use()?, &self.file)
    }

    fn shown(&self) -> String {
        self.file.display().to_string()
    }
}

impl Footage for Video {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        let decoder = Decoder::in_use()?;
        truncation::check(&self.file)?;
        let stream = VideoStream::probe(&decoder, &self.file)?;
        stream.check(&self.file)?;
        player::play(&decoder, self, &stream, show)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
