//! A video file, decoded by the program `ffmpeg`.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ::image::RgbImage;

use super::{Footage, RecordingError, regular_stamp_ns};
use crate::episode::CameraFrame;
use crate::image::ImageError;

/// Why a video cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    #[error("there is no video file {0}")]
    Absent(String),
    #[error(
        "videos are decoded by the program {0}, which is not installed (Debian, Ubuntu: apt install ffmpeg)"
    )]
    NoProgram(String),
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("cannot read the video {file}: {program} says {said}")]
    Program { file: String, program: &'static str, said: String },
    #[error("{0} has no video stream")]
    NoStream(String),
    #[error("{file} gives no frame rate (ffprobe says \"{answer}\")")]
    NoRate { file: String, answer: String },
    #[error("the pictures that ffmpeg makes of {file} cannot be read: {reason}")]
    Pipe { file: String, reason: String },
}

/// A video file of any format that ffmpeg reads.
pub struct Video {
    file: PathBuf,
}

impl Video {
    /// # Errors
    /// There is no such file.
    pub fn open(file: &Path) -> Result<Self, VideoError> {
        if !file.is_file() {
            return Err(VideoError::Absent(file.display().to_string()));
        }
        Ok(Self { file: file.to_owned() })
    }

    fn shown(&self) -> String {
        self.file.display().to_string()
    }

    /// Frames a second of the first video stream.
    fn average_frame_rate(&self) -> Result<f64, VideoError> {
        let arguments = [
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=avg_frame_rate",
            "-of",
            "csv=p=0",
        ];
        let child = start(Command::new("ffprobe").args(arguments).arg(&self.file))?;
        let output = (child.wait_with_output())
            .map_err(|source| VideoError::Start { program: "ffprobe".to_owned(), source })?;
        if !output.status.success() {
            let said = one_line(&String::from_utf8_lossy(&output.stderr));
            return Err(VideoError::Program { file: self.shown(), program: "ffprobe", said });
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        let answer = answer.trim().trim_end_matches(',');
        if answer.is_empty() {
            return Err(VideoError::NoStream(self.shown()));
        }
        let (frames, seconds) = answer.split_once('/').unwrap_or((answer, "1"));
        match (frames.parse::<f64>(), seconds.parse::<f64>()) {
            (Ok(frames), Ok(seconds)) if frames > 0.0 && seconds > 0.0 => Ok(frames / seconds),
            _ => Err(VideoError::NoRate { file: self.shown(), answer: answer.to_owned() }),
        }
    }
}

impl Footage for Video {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        let fps = self.average_frame_rate()?;
        let pipe = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-"];
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-xerror", "-i"]).arg(&self.file).args(pipe);
        let mut ffmpeg = start(&mut command)?;
        let errors = collect_errors(&mut ffmpeg);
        let pictures = match ffmpeg.stdout.take() {
            Some(output) => show_pictures(BufReader::with_capacity(1 << 20, output), fps, show),
            None => Ok(ControlFlow::Continue(())),
        };
        // It writes into a closed pipe if the reader broke off.
        let status =
            ffmpeg.wait().map_err(|source| VideoError::Start { program: "ffmpeg".to_owned(), source })?;
        let said = one_line(&errors.join().unwrap_or_default());
        match pictures {
            Ok(ControlFlow::Break(())) => Ok(()),
            _ if !status.success() => {
                Err(VideoError::Program { file: self.shown(), program: "ffmpeg", said }.into())
            }
            Ok(ControlFlow::Continue(())) => Ok(()),
            Err(error) => Err(VideoError::Pipe { file: self.shown(), reason: error.to_string() }.into()),
        }
    }
}

fn start(command: &mut Command) -> Result<Child, VideoError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    started.map_err(|source| match source.kind() {
        ErrorKind::NotFound => VideoError::NoProgram(program),
        _ => VideoError::Start { program, source },
    })
}

/// Reads stderr on a thread of its own, so that a talkative ffmpeg never blocks.
fn collect_errors(child: &mut Child) -> std::thread::JoinHandle<String> {
    let stderr = child.stderr.take();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            // What was read before a failure is still worth showing.
            let _ = stderr.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        "nothing".to_owned()
    } else {
        format!("\"{}\"", lines[..lines.len().min(3)].join("; "))
    }
}

/// Shows binary PPM pictures until the stream ends or the one who looks has seen enough.
fn show_pictures(
    mut stream: impl BufRead,
    fps: f64,
    show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, std::io::Error> {
    let mut number = 0;
    while !stream.fill_buf()?.is_empty() {
        let (width, height) = read_ppm_header(&mut stream)?;
        let mut pixels = vec![0; width as usize * height as usize * 3];
        stream.read_exact(&mut pixels)?;
        let decode =
            move || RgbImage::from_raw(width, height, pixels).ok_or(ImageError::Empty { width, height });
        let stamp_ns = regular_stamp_ns(number, fps);
        if show(CameraFrame::new(stamp_ns, Arc::from(""), Some((width, height)), decode)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        number += 1;
    }
    Ok(ControlFlow::Continue(()))
}

/// `P6`, width, height, 255, each ended by one white space, as ffmpeg writes it.
fn read_ppm_header(stream: &mut impl BufRead) -> Result<(u32, u32), std::io::Error> {
    let no_picture = || std::io::Error::new(ErrorKind::InvalidData, "not a PPM picture of 8 bits");
    let mut word = || {
        let mut text = String::new();
        for byte in stream.by_ref().bytes() {
            match byte? {
                byte if byte.is_ascii_whitespace() => break,
                byte => text.push(char::from(byte)),
            }
            if text.len() >= 16 {
                return Err(no_picture());
            }
        }
        Ok(text)
    };
    let (magic, width, height, depth) = (word()?, word()?, word()?, word()?);
    match (magic.as_str(), width.parse(), height.parse(), depth.as_str()) {
        ("P6", Ok(width), Ok(height), "255") => Ok((width, height)),
        _ => Err(no_picture()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_read_from_a_pipe() {
        let mut stream = Vec::new();
        for level in 0..4u8 {
            stream.extend_from_slice(b"P6\n2 1\n255\n");
            stream.extend_from_slice(&[level; 6]);
        }
        let seen = |stream: &[u8], most: usize| {
            let mut seen = Vec::new();
            let ended = show_pictures(stream, 4.0, &mut |frame| {
                seen.push((frame.stamp_ns, frame.decode().unwrap().rgb.get_pixel(1, 0).0[0]));
                if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (seen, ended)
        };
        let (all, ended) = seen(&stream, 9);
        assert_eq!(all, [(0, 0), (250_000_000, 1), (500_000_000, 2), (750_000_000, 3)]);
        assert!(ended.unwrap().is_continue());
        let (two, ended) = seen(&stream, 2);
        assert!(two.len() == 2 && ended.unwrap().is_break());
        assert!(seen(&stream[..stream.len() - 1], 9).1.is_err());
        assert!(seen(b"P5\n2 1\n255\n......", 9).1.is_err());
    }
}
