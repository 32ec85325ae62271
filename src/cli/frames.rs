//! Where offline frames come from: a video file (decoded by the `ffmpeg` program) or a folder of pictures.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ::image::RgbImage;
use anyhow::{Context, Result, bail, ensure};

use crate::episode::{Admission, Sampler};
use crate::offline::SampledFrame;

/// The sampler's choice from a stream of `fps` frames a second: frame `i` is at `i / fps` seconds.
struct Schedule {
    sampler: Sampler,
    fps: f64,
    offered: usize,
}

impl Schedule {
    fn new(fps: f64, sample_fps: f64) -> Result<Self> {
        ensure!(fps > 0.0 && fps.is_finite(), "a frame rate of {fps} frames a second makes no sense");
        Ok(Self { sampler: Sampler::new(sample_fps)?, fps, offered: 0 })
    }

    /// The time of the next frame in seconds if it is a sample.
    fn next(&mut self) -> Option<f64> {
        let time_s = self.offered as f64 / self.fps;
        self.offered += 1;
        (self.sampler.admit((time_s * 1e9).round() as i64) == Admission::Take).then_some(time_s)
    }
}

/// Samples a folder of PNG and JPEG pictures, in the order of their names, numbers by value.
pub fn from_folder(folder: &Path, fps: f64, sample_fps: f64) -> Result<Vec<SampledFrame>> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {shown}"))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read the folder {shown}"))?.path();
        if is_picture(&path) {
            files.push(path);
        }
    }
    ensure!(
        !files.is_empty(),
        "the folder {shown} holds no .png, .jpg or .jpeg file: there is nothing to score"
    );
    files.sort_by_cached_key(|path| natural_key(path));
    let mut schedule = Schedule::new(fps, sample_fps)?;
    let mut frames = Vec::new();
    for path in files {
        if let Some(time_s) = schedule.next() {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            let rgb = crate::image::decode_compressed(&extension, &bytes)
                .with_context(|| format!("cannot use {}", path.display()))?;
            frames.push(SampledFrame { rgb: Arc::new(rgb), time_s });
        }
    }
    Ok(frames)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}

/// Sorts `frame_9` before `frame_10`: runs of digits compare by value.
fn natural_key(path: &Path) -> Vec<(u128, String)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut key = vec![(0, String::new())];
    let mut digits = String::new();
    for character in name.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if !digits.is_empty() {
            key.push((digits.parse().unwrap_or(u128::MAX), String::new()));
            digits.clear();
        }
        if let Some((_, text)) = key.last_mut() {
            text.push(character);
        }
    }
    key
}

/// Samples a video file. Every frame counts as `1 / (average frame rate)` seconds, as in the reference.
pub fn from_video(file: &Path, sample_fps: f64) -> Result<Vec<SampledFrame>> {
    let shown = file.display();
    ensure!(file.is_file(), "there is no video file {shown}");
    let mut schedule = Schedule::new(average_frame_rate(file)?, sample_fps)?;
    let mut ffmpeg =
        start(Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-xerror", "-i"]).arg(file).args([
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "image2pipe",
            "-c:v",
            "ppm",
            "-",
        ]))?;
    let errors = collect_errors(&mut ffmpeg);
    let frames = match ffmpeg.stdout.take() {
        Some(output) => read_pictures(BufReader::with_capacity(1 << 20, output), &mut schedule),
        None => bail!("ffmpeg has no output to read"),
    };
    let status = ffmpeg.wait().context("waiting for ffmpeg")?;
    let errors = errors.join().unwrap_or_default();
    ensure!(status.success(), "cannot decode the video {shown}: ffmpeg says {}", one_line(&errors));
    let frames = frames.with_context(|| format!("cannot decode the video {shown}"))?;
    ensure!(!frames.is_empty(), "the video {shown} has no frames");
    Ok(frames)
}

fn start(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            anyhow::anyhow!("videos are decoded by the program {program}, which is not installed (Debian, Ubuntu: apt install ffmpeg)")
        } else {
            anyhow::anyhow!("cannot start {program}: {error}")
        }
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

/// Frames a second of the first video stream.
fn average_frame_rate(file: &Path) -> Result<f64> {
    let shown = file.display();
    let output = start(
        Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-select_streams",
                "v:0",
                "-show_entries",
                "stream=avg_frame_rate",
                "-of",
                "csv=p=0",
            ])
            .arg(file),
    )?
    .wait_with_output()
    .context("waiting for ffprobe")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot read the video {shown}: ffprobe says {}", one_line(&errors));
    let answer = String::from_utf8_lossy(&output.stdout);
    let answer = answer.trim().trim_end_matches(',');
    ensure!(!answer.is_empty(), "{shown} has no video stream");
    let (frames, seconds) = answer.split_once('/').unwrap_or((answer, "1"));
    match (frames.parse::<f64>(), seconds.parse::<f64>()) {
        (Ok(frames), Ok(seconds)) if frames > 0.0 && seconds > 0.0 => Ok(frames / seconds),
        _ => bail!("{shown} gives no frame rate (ffprobe says \"{answer}\")"),
    }
}

/// Reads binary PPM pictures until the stream ends; only sampled ones are kept.
fn read_pictures(mut stream: impl BufRead, schedule: &mut Schedule) -> Result<Vec<SampledFrame>> {
    let mut frames = Vec::new();
    while !stream.fill_buf()?.is_empty() {
        let (width, height) = read_ppm_header(&mut stream)?;
        let mut pixels = vec![0; width as usize * height as usize * 3];
        stream.read_exact(&mut pixels).context("the last picture is cut short")?;
        if let Some(time_s) = schedule.next() {
            let rgb = RgbImage::from_raw(width, height, pixels).context("a picture of no size")?;
            frames.push(SampledFrame { rgb: Arc::new(rgb), time_s });
        }
    }
    Ok(frames)
}

/// `P6`, width, height, 255, each ended by one white space, as ffmpeg writes it.
fn read_ppm_header(stream: &mut impl BufRead) -> Result<(u32, u32)> {
    let mut word = || -> Result<String> {
        let mut text = String::new();
        for byte in stream.by_ref().bytes() {
            match byte? {
                byte if byte.is_ascii_whitespace() => break,
                byte => text.push(char::from(byte)),
            }
            ensure!(text.len() < 16, "not a PPM picture");
        }
        Ok(text)
    };
    let (magic, width, height, depth) = (word()?, word()?, word()?, word()?);
    ensure!(magic == "P6" && depth == "255", "not a PPM picture of 8 bits");
    Ok((width.parse()?, height.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_sort_by_value() {
        let mut names =
            ["f10.png", "f9.png", "f100.png", "a2b3.png", "a2b20.png", "f.png"].map(PathBuf::from);
        names.sort_by_cached_key(|path| natural_key(path));
        let names: Vec<_> = names.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["a2b3.png", "a2b20.png", "f9.png", "f10.png", "f100.png", "f.png"]);
    }

    #[test]
    fn pictures_are_read_from_a_pipe_and_sampled() {
        // Four 2×1 pictures at 4 frames a second, two of them a second: numbers 0 and 2.
        let mut stream = Vec::new();
        for level in 0..4u8 {
            stream.extend_from_slice(b"P6\n2 1\n255\n");
            stream.extend_from_slice(&[level; 6]);
        }
        let mut schedule = Schedule::new(4.0, 2.0).unwrap();
        let frames = read_pictures(stream.as_slice(), &mut schedule).unwrap();
        let seen: Vec<_> = frames.iter().map(|f| (f.rgb.get_pixel(1, 0).0[0], f.time_s)).collect();
        assert_eq!(seen, [(0, 0.0), (2, 0.5)]);
        let cut = read_pictures(&stream[..stream.len() - 1], &mut Schedule::new(4.0, 4.0).unwrap());
        assert!(cut.is_err());
    }
}
