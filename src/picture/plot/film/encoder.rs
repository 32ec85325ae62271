//! The program ffmpeg, as an encoder.

use std::ffi::{OsStr, OsString};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;

use super::{FilmError, matroska};

/// H.264 where there is an encoder for it; MPEG-4 part 2 is part of every ffmpeg.
const CODECS: [(&str, &[&str]); 3] = [
    ("libx264", &["-preset", "fast", "-crf", "20"]),
    ("libopenh264", &["-b:v", "4M"]),
    ("mpeg4", &["-q:v", "3"]),
];
/// Ticks a second of the file: a frame of 24, 25, 29.97, 30, 50 and 60 a second is a whole number of them.
const TIME_BASE: &str = "60000";
/// How long a frame is shown, in ticks: until the next one; the last as long as the one before it, an only one for a
/// second. Left to itself ffmpeg cuts the last frame short.
const DURATION: &str = "setts=duration='if(gt(NEXT_PTS,PTS),NEXT_PTS-PTS,\
                        if(gte(PREV_INPTS,0)*gt(PTS,PREV_INPTS),PTS-PREV_INPTS,60000))'";

/// How videos are encoded on this machine.
#[derive(Debug, Clone)]
pub struct Encoder {
    program: OsString,
    codec: &'static str,
    settings: &'static [&'static str],
}

impl Encoder {
    /// Asks `program`, a path or a name on the search path, which encoders it has.
    ///
    /// # Errors
    /// It is not there, cannot be started, or has no encoder that fits.
    pub fn find(program: impl AsRef<OsStr>) -> Result<Self, FilmError> {
        let program = program.as_ref().to_owned();
        let mut command = Command::new(&program);
        let asked = command.args(["-nostdin", "-v", "error", "-encoders"]).stdin(Stdio::null()).output();
        let answer = asked.map_err(|source| cannot_start(&program, source))?;
        let answer = String::from_utf8_lossy(&answer.stdout);
        let known: Vec<&str> = answer.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let found = CODECS.into_iter().find(|(codec, _)| known.contains(codec));
        let Some((codec, settings)) = found else { return Err(FilmError::NoEncoder(shown(&program))) };
        Ok(Self { program, codec, settings })
    }

    /// What the videos will be encoded by: "libx264".
    pub fn codec(&self) -> &str {
        self.codec
    }

    /// Starts an mp4 of pictures of this size; both sides are even.
    pub(super) fn start(&self, file: &Path, size: (u32, u32)) -> Result<Stream, FilmError> {
        let mut to = OsString::from("file:");
        to.push(file);
        let mut command = Command::new(&self.program);
        command.args(["-nostdin", "-v", "error", "-y", "-f", "matroska", "-i", "pipe:0"]);
        command
            .args(["-map", "0:v:0", "-an", "-fps_mode", "passthrough", "-c:v", self.codec])
            .args(self.settings);
        // Frames in the order of their times, so that each knows the next one's.
        command.args(["-bf", "0", "-bsf:v", DURATION]);
        // Without it the encoder counts time in frames of the mean rate.
        command.args(["-enc_time_base", &format!("1/{TIME_BASE}"), "-video_track_timescale", TIME_BASE]);
        command.args(["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]);
        command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
        command.args(["-color_range", "tv", "-movflags", "+faststart", "-f", "mp4"]).arg(to);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| cannot_start(&self.program, source))?;
        let said = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What was read before a failure is still worth showing.
                let _ = stderr.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        let pipe = child.stdin.take().map(|pipe| BufWriter::with_capacity(1 << 16, pipe));
        let mut stream = Stream { program: shown(&self.program), child, pipe, said };
        stream.send(|pipe| matroska::write_header(pipe, size))?;
        Ok(stream)
    }
}

/// A video that is being encoded.
pub(super) struct Stream {
    program: String,
    child: Child,
    pipe: Option<BufWriter<ChildStdin>>,
    said: Option<JoinHandle<String>>,
}

impl Stream {
    /// One picture of the stream's size, at a time later than the one before: nanoseconds since the first.
    pub fn write(&mut self, start_ns: u64, rgb: &[u8]) -> Result<(), FilmError> {
        self.send(|pipe| matroska::write_picture(pipe, start_ns, rgb))
    }

    fn send(
        &mut self,
        write: impl FnOnce(&mut BufWriter<ChildStdin>) -> std::io::Result<()>,
    ) -> Result<(), FilmError> {
        let Some(pipe) = &mut self.pipe else { return Err(self.failed("it has ended")) };
        match write(pipe) {
            Ok(()) => Ok(()),
            // It says itself why it no longer listens.
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// Waits for the end of the encoding.
    pub fn finish(mut self) -> Result<(), FilmError> {
        if let Some(mut pipe) = self.pipe.take()
            && let Err(error) = pipe.flush()
        {
            return Err(self.failed(&error.to_string()));
        }
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.failed(&status.to_string())),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// Ends the program and tells its words, or `otherwise` where it said none.
    fn failed(&mut self, otherwise: &str) -> FilmError {
        self.end();
        let text = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
        let said = if lines.is_empty() { otherwise.to_owned() } else { format!("\"{}\"", lines.join("; ")) };
        FilmError::Program { program: self.program.clone(), said }
    }

    /// Closes the pipe and waits; a program that does not end by itself is ended. Errors have no one to be told to.
    fn end(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            // Its buffer is for a reader that is gone.
            drop(pipe.into_parts());
        }
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

fn shown(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

fn cannot_start(program: &OsStr, source: std::io::Error) -> FilmError {
    match source.kind() {
        ErrorKind::NotFound => FilmError::NoProgram(shown(program)),
        _ => FilmError::Start { program: shown(program), source },
    }
}
