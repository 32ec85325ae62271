//! A running ffmpeg, which ends with whoever reads it.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use super::VideoError;
use super::decoder::{Decoder, open_recording, refusal};
use super::ffmpeg_log::{Errors, LogReader, LoggedFrame};
use super::pixels::Layout;
use super::rational::Rational;
use super::stream::VideoStream;

/// For formats that are not converted here. Without the fast paths, which differ between processors.
const EXACT_SCALER: &str = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";

/// What ffmpeg logs of a file that ends too early and goes on to call it good.
const CUT_SHORT: [&str; 3] = ["ended prematurely", "partial file", "runcat"];
/// What it logs where the codec's decoder was left out of the build, or is only an interface to hardware.
const NO_DECODER: [&str; 3] = ["no decoder found", "Decoder not found", "hardware accelerated AV1"];

/// ffmpeg at work on one file.
pub struct Running {
    child: Ending,
    log: LogReader,
    program: String,
    file: PathBuf,
    codec: String,
}

/// Kills the process when it is dropped, and leaves no zombie.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Decodes the stream, from `seek_s` seconds of the file's time line on, or a key frame before.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start(
        decoder: &Decoder,
        file: &Path,
        stream: &VideoStream,
        seek_s: Option<f64>,
    ) -> Result<Self, VideoError> {
        let mut command = decoder.ffmpeg();
        arrange(&mut command, decoder, file, stream, seek_s);
        let program = decoder.name();
        let mut child = Ending(command.spawn().map_err(|source| refusal(&program, source))?);
        let Some(stderr) = child.0.stderr.take() else {
            return Err(VideoError::Pipe {
                file: file.display().to_string(),
                reason: "no pipe to ffmpeg".to_owned(),
            });
        };
        let log = LogReader::new(stderr);
        Ok(Self { child, log, program, file: file.to_owned(), codec: stream.codec.clone() })
    }

    /// The pixels; empty when taken twice.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.0.stdout.take()
    }

    /// The log's next frame; `None` at the log's end.
    pub fn next_frame(&self) -> Option<LoggedFrame> {
        self.log.frames.recv().ok()
    }

    /// Waits for its end and judges whether all went well. `failed`: why its pixels could not be read.
    ///
    /// # Errors
    /// What it logged of the file, else `failed`.
    pub fn judge(mut self, failed: Option<String>) -> Result<(), VideoError> {
        if failed.is_some() {
            // Its pixels are read no further: it would wait for ever to write them.
            let _ = self.child.0.kill();
        }
        let status = self.child.0.wait();
        let untaken = self.log.frames.try_iter().count();
        let errors = self.log.errors();
        let file = self.file.display().to_string();
        let failed = failed.or((untaken > 0).then(|| format!("{untaken} frames have no pixels")));
        let good = status.as_ref().is_ok_and(ExitStatus::success) && !errors.mention(&CUT_SHORT);
        if good && failed.is_none() {
            if !errors.is_empty() {
                log::warn!("{file}: {} says {}", self.program, errors.one_line());
            }
            return Ok(());
        }
        if errors.mention(&NO_DECODER) {
            let libraries = decoder_libraries(&self.codec);
            return Err(VideoError::NoDecoder { file, program: self.program, codec: self.codec, libraries });
        }
        match failed {
            Some(reason) if errors.is_empty() => Err(VideoError::Pipe { file, reason }),
            _ => Err(VideoError::Program {
                message: without_name(&errors, &file),
                file,
                program: self.program,
            }),
        }
    }
}

/// The errors without the file's name, which the message has.
fn without_name(errors: &Errors, file: &str) -> String {
    errors.one_line().replace(&format!("file:{file}: "), "")
}

fn decoder_libraries(codec: &str) -> &'static str {
    match codec {
        "av1" => "libdav1d or libaom",
        "vp8" | "vp9" => "libvpx or its own VP8 and VP9 decoders",
        _ => "a decoder for it (distributions' builds have it)",
    }
}

fn arrange(command: &mut Command, decoder: &Decoder, file: &Path, stream: &VideoStream, seek_s: Option<f64>) {
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+info", "-xerror", "-copyts"]);
    if let Some(seek_s) = seek_s {
        command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &format!("{seek_s:.6}")]);
    }
    open_recording(command, file);
    command.args(["-map", &format!("0:{}", stream.index)]).args(decoder.every_frame());
    if let Some(Rational { num, den }) = stream.tick {
        // Else times are rounded to the average rate behind the filter, and two frames that share one are complained of.
        command.args(["-enc_time_base", &format!("{num}/{den}")]);
    }
    let log_frames = "showinfo=checksum=0";
    let filters = match Layout::named(&stream.pixel_format) {
        Some(_) => log_frames.to_owned(),
        None => format!("scale=flags={EXACT_SCALER}:sws_dither=none,format=rgb24,{log_frames}"),
    };
    command.args([
        "-sws_flags",
        EXACT_SCALER,
        "-vf",
        &filters,
        "-c:v",
        "rawvideo",
        "-f",
        "rawvideo",
        "pipe:1",
    ]);
    command.env("AV_LOG_FORCE_NOCOLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}
