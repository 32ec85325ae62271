//! One run of ffmpeg: what it decodes, as camera frames.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::process::ChildStdout;
use std::sync::Arc;

use super::clock::Clock;
use super::decoder::Decoder;
use super::ffmpeg_log::ToldFrame;
use super::ffmpeg_process::Running;
use super::pixels::{Colours, Layout, to_rgb};
use super::stream::VideoStream;
use super::{Span, Video, VideoError};
use crate::episode::CameraFrame;

type Show<'a> = &'a mut dyn FnMut(CameraFrame) -> ControlFlow<()>;

/// How far before a span ffmpeg is sent: farther than any codec puts the decoding of a frame before its showing.
const SEEK_AHEAD_S: f64 = 1.0;
/// How early a frame may be and still count as reached by a span.
const EARLY_S: f64 = 1e-3;

/// Shows the frames of a video.
///
/// A span that begins late is sought: ffmpeg goes to a key frame well before it. If what comes first does not lie before
/// the span, or does not decode, nothing has been shown yet, and the file is decoded from its start.
///
/// # Errors
/// What ffmpeg cannot decode. Frames shown before are good.
pub fn play(
    decoder: &Decoder,
    video: &Video,
    stream: &VideoStream,
    show: Show<'_>,
) -> Result<(), VideoError> {
    let begin = || Player { decoder, video, stream, clock: stream.clock(), first: None, read: 0, shown: 0 };
    if let Some(seek_s) = seekable(video, stream) {
        let mut player = begin();
        match player.run(Some(seek_s), show) {
            Err(error) if player.shown > 0 => return Err(error),
            Ok(Ended::Told) => {
                player.tell_untimed();
                return Ok(());
            }
            Ok(Ended::Missed) | Err(_) => {}
        }
    }
    let mut player = begin();
    player.run(None, show)?;
    player.tell_untimed();
    Ok(())
}

/// Where to seek to, in containers whose index leads to key frames.
fn seekable(video: &Video, stream: &VideoStream) -> Option<f64> {
    let indexed = ["mov,", "matroska,"].iter().any(|name| stream.container.starts_with(name));
    let seek_s = video.span?.from_s - SEEK_AHEAD_S;
    (indexed && stream.timed && seek_s > SEEK_AHEAD_S).then_some(seek_s)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Told,
    /// The seek led behind the beginning of the span.
    Missed,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Behind,
}

struct Player<'a> {
    decoder: &'a Decoder,
    video: &'a Video,
    stream: &'a VideoStream,
    clock: Clock,
    /// The first frame read: all must look like it.
    first: Option<ToldFrame>,
    read: usize,
    shown: usize,
}

impl Player<'_> {
    fn run(&mut self, seek_s: Option<f64>, show: Show<'_>) -> Result<Ended, VideoError> {
        let mut ffmpeg = Running::start(self.decoder, &self.video.file, self.stream, seek_s)?;
        let Some(output) = ffmpeg.take_output() else { return Ok(Ended::Told) };
        let mut pixels = BufReader::with_capacity(1 << 20, output);
        loop {
            if pixels.fill_buf().is_ok_and(<[u8]>::is_empty) {
                return ffmpeg.judge(None).map(|()| Ended::Told);
            }
            // It says so before the pixels come: no answer means that it has died.
            let Some(told) = ffmpeg.next_frame() else {
                let reason = format!("frame {} has no time", self.read);
                return ffmpeg.judge(Some(reason)).map(|()| Ended::Told);
            };
            let layout = self.check(&told)?;
            let place = self.place(&told);
            if seek_s.is_some() && self.read == 0 && place != Place::Before {
                return Ok(Ended::Missed);
            }
            if place == Place::Behind {
                return Ok(Ended::Told);
            }
            let ended = match self.next(&mut pixels, &told, layout, place, show) {
                Ok(ended) => ended,
                Err(error) => return ffmpeg.judge(Some(error.to_string())).map(|()| Ended::Told),
            };
            self.read += 1;
            if ended.is_break() {
                return Ok(Ended::Told);
            }
        }
    }

    /// How the frame's bytes lie. All frames of a video are alike.
    fn check(&mut self, told: &ToldFrame) -> Result<(Layout, usize), VideoError> {
        let (file, number) = (self.video.shown(), self.read);
        let &ToldFrame { width, height, .. } = told;
        let first = self.first.get_or_insert_with(|| told.clone());
        let shown = |frame: &ToldFrame| format!("{}×{} {}", frame.width, frame.height, frame.format);
        if shown(first) != shown(told) {
            return Err(VideoError::Changed { file, number, from: shown(first), to: shown(told) });
        }
        let layout = Layout::named(&told.format);
        let sized = layout.and_then(|layout| Some((layout, layout.bytes(width, height)?)));
        sized.ok_or(VideoError::Size { file, number, width, height })
    }

    fn place(&self, told: &ToldFrame) -> Place {
        let Some(Span { from_s, to_s }) = self.video.span else { return Place::Within };
        let rate = self.stream.rate().value();
        let time_s = match told.pts.filter(|_| self.stream.timed) {
            Some(pts) => pts as f64 * told.tick.value(),
            None => self.read as f64 / rate,
        };
        let time_s = time_s + EARLY_S.min(0.25 / rate);
        if time_s < from_s {
            Place::Before
        } else if time_s < to_s {
            Place::Within
        } else {
            Place::Behind
        }
    }

    /// Reads the pixels of a frame off the pipe, and shows it if it lies within the span.
    fn next(
        &mut self,
        pixels: &mut BufReader<ChildStdout>,
        told: &ToldFrame,
        (layout, length): (Layout, usize),
        place: Place,
        show: Show<'_>,
    ) -> std::io::Result<ControlFlow<()>> {
        if place == Place::Before {
            let skipped = std::io::copy(&mut pixels.take(length as u64), &mut std::io::sink())?;
            let whole = skipped == length as u64;
            return if whole {
                Ok(ControlFlow::Continue(()))
            } else {
                Err(std::io::ErrorKind::UnexpectedEof.into())
            };
        }
        let mut bytes = vec![0; length];
        pixels.read_exact(&mut bytes)?;
        let size = (told.width, told.height);
        let colours =
            Colours::named(self.stream.colour_space.as_deref(), self.stream.colour_range.as_deref());
        let decode = move || to_rgb(layout, colours, size, bytes);
        let stamp_ns = self.clock.stamp(told.pts, told.tick);
        self.shown += 1;
        Ok(show(CameraFrame::new(stamp_ns, Arc::from(""), Some(size), decode)))
    }

    fn tell_untimed(&self) {
        let (file, rate) = (self.video.shown(), self.stream.rate().value());
        if !self.stream.timed {
            log::warn!("{file} carries no times: its frames are taken as {rate:.3} a second");
        } else if self.clock.untimed > 0 {
            let untimed = self.clock.untimed;
            log::warn!(
                "{file}: {untimed} of {} frames have no time or one that is not after the frame before: each is put 1/{rate:.3} s after it",
                self.shown
            );
        }
    }
}
