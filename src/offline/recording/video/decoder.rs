//! The programs that decode: where they are, and whether they are good enough.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::VideoError;
use super::ffmpeg_log::one_line;

/// The environment variable that names ffmpeg where it is not on the path.
pub const VARIABLE: &str = "TOPREWARD_FFMPEG";

static CHOSEN: OnceLock<PathBuf> = OnceLock::new();
/// What has been found good, so that a thousand episodes ask once.
static KNOWN: Mutex<Option<HashMap<PathBuf, Decoder>>> = Mutex::new(None);

/// The programs `ffmpeg` and `ffprobe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoder {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    version: Version,
}

/// A release of ffmpeg, by its own name or, for a build from its repository, by that of its library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

const OLDEST: Version = Version { major: 4, minor: 4 };
/// From here on `-fps_mode` takes the place of `-vsync`, which later ones no longer know.
const FPS_MODE: Version = Version { major: 5, minor: 1 };

impl Decoder {
    /// Lets this process decode with `ffmpeg`, and with the ffprobe beside it. The first choice holds.
    pub fn choose(ffmpeg: &Path) {
        // A second choice is another part of the program that was given the same option.
        let _ = CHOSEN.set(ffmpeg.to_owned());
    }

    /// The one chosen, else the one that the environment names, else the one on the path.
    ///
    /// # Errors
    /// There is none, or it is too old.
    pub fn in_use() -> Result<Self, VideoError> {
        let named = || std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        Self::at(&CHOSEN.get().cloned().or_else(named).unwrap_or_else(|| PathBuf::from("ffmpeg")))
    }

    /// The one of this name or path, with the ffprobe beside it or, where none lies there, on the path.
    ///
    /// # Errors
    /// As [`Decoder::in_use`].
    pub fn at(ffmpeg: &Path) -> Result<Self, VideoError> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(decoder) = known.get(ffmpeg) {
            return Ok(decoder.clone());
        }
        let program = ffmpeg.display().to_string();
        let answer = output(Command::new(ffmpeg).arg("-version"), &program)?;
        let answer = String::from_utf8_lossy(&answer.stdout);
        let version = Version::of(&answer, &program)?;
        let decoder = Self { ffmpeg: ffmpeg.to_owned(), ffprobe: probe_beside(ffmpeg), version };
        known.insert(ffmpeg.to_owned(), decoder.clone());
        Ok(decoder)
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.ffmpeg
    }

    /// A command with nothing on it.
    pub(super) fn ffmpeg(&self) -> Command {
        Command::new(&self.ffmpeg)
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.ffmpeg.display().to_string()
    }

    /// Every decoded frame once, none twice, whatever its time.
    pub(super) fn every_frame(&self) -> [&'static str; 2] {
        let option = if self.version >= FPS_MODE { "-fps_mode" } else { "-vsync" };
        [option, "passthrough"]
    }

    /// What ffprobe answers about a file.
    pub(super) fn ask_probe(&self, file: &Path, arguments: &[&str]) -> Result<Vec<u8>, VideoError> {
        let program = self.ffprobe.display().to_string();
        let mut command = Command::new(&self.ffprobe);
        command.args(["-v", "error"]).args(arguments);
        open_recording(&mut command, file);
        let output = output(&mut command, &program)?;
        if !output.status.success() {
            let shown = file.display().to_string();
            let logged = String::from_utf8_lossy(&output.stderr);
            if logged.contains(NOT_LISTED) {
                return Err(VideoError::Format(shown));
            }
            if logged.contains(NO_INDEX) {
                return Err(VideoError::Unfinished(shown));
            }
            // It begins with the file's name, which the message has.
            let message = one_line(logged.lines().map(|line| {
                let line = line.trim();
                line.strip_prefix(&format!("file:{shown}")).map_or(line, |rest| rest.trim_start_matches(": "))
            }));
            return Err(VideoError::Program { file: shown, program: "ffprobe".to_owned(), message });
        }
        Ok(output.stdout)
    }
}

fn output(command: &mut Command, program: &str) -> Result<Output, VideoError> {
    command.stdin(Stdio::null()).output().map_err(|source| refusal(program, source))
}

/// Why a program did not start.
pub fn refusal(program: &str, source: std::io::Error) -> VideoError {
    match source.kind() {
        ErrorKind::NotFound => VideoError::NoProgram(program.to_owned()),
        _ => VideoError::Start { program: program.to_owned(), source },
    }
}

/// ffmpeg's names of the formats that recordings have: containers, and bare streams of a codec. Play lists and scripts
/// (HLS, DASH, ffconcat, …), which lead to other files, are none of them, whatever their name ends with.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,mxf,nut,ivf,obu,av1,\
     h261,h263,h264,hevc,m4v,mjpeg,mpjpeg,vc1,dv,y4m,yuv4mpegpipe,gif,apng,webp,rm,gxf,wtv";
/// What ffmpeg says of any other.
const NOT_LISTED: &str = "Format not on whitelist";

/// What it says of an MP4 file without an index.
const NO_INDEX: &str = "moov atom not found";

/// Has a program open exactly this file: no name is taken for a protocol, and no format leads elsewhere.
pub fn open_recording(command: &mut Command, file: &Path) {
    let mut name = OsString::from("file:");
    name.push(file);
    command.args(["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i"]).arg(name);
}

fn probe_beside(ffmpeg: &Path) -> PathBuf {
    let beside = ffmpeg.with_file_name("ffprobe");
    if beside.is_file() { beside } else { PathBuf::from("ffprobe") }
}

impl Version {
    fn of(answer: &str, program: &str) -> Result<Self, VideoError> {
        let first = answer.lines().next().unwrap_or_default();
        let Some(name) = first.strip_prefix("ffmpeg version ") else {
            let answer = first.chars().take(80).collect();
            return Err(VideoError::NoFfmpeg { program: program.to_owned(), answer });
        };
        let name = name.split_whitespace().next().unwrap_or_default();
        match Self::release(name).or_else(|| Self::of_library(answer)) {
            Some(version) if version < OLDEST => {
                Err(VideoError::TooOld { program: program.to_owned(), found: name.to_owned() })
            }
            Some(version) => Ok(version),
            // A build that hides both is taken to be a new one: it will say itself what it does not know.
            None => Ok(FPS_MODE),
        }
    }

    /// `5.1.9-0+deb12u1`, `n6.1`, `7.0.2-static`; a date or a commit is no release.
    fn release(name: &str) -> Option<Self> {
        let mut numbers = name.strip_prefix(['n', 'v']).unwrap_or(name).split(['.', '-', '+', '~']);
        let major = numbers.next()?.parse().ok().filter(|major| *major < 1000)?;
        let minor = numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
        Some(Self { major, minor })
    }

    /// By libavutil, whose version every build tells: 56.70 was 4.4's, 57.28 was 5.1's.
    fn of_library(answer: &str) -> Option<Self> {
        let line = answer.lines().find_map(|line| line.trim().strip_prefix("libavutil"))?;
        let mut numbers = line.split('/').next()?.split('.').map(|number| number.trim().parse::<u32>());
        let library = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(match library {
            _ if library >= (57, 28) => FPS_MODE,
            _ if library >= (56, 70) => OLDEST,
            _ => Self { major: 0, minor: 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(answer: &str) -> Result<(u32, u32), VideoError> {
        let found = Version::of(answer, "ffmpeg")?;
        Ok((found.major, found.minor))
    }

    #[test]
    fn releases_and_builds_are_told_apart_by_age() {
        assert_eq!(version("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026").unwrap(), (5, 1));
        assert_eq!(version("ffmpeg version n6.1.1 Copyright").unwrap(), (6, 1));
        assert_eq!(version("ffmpeg version 8 Copyright").unwrap(), (8, 0));
        assert_eq!(version("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright").unwrap(), (4, 4));
        assert!(
            version("ffmpeg version 4.2.7-0ubuntu0.1 Copyright")
                .unwrap_err()
                .to_string()
                .contains("4.2.7-0ubuntu0.1")
        );
        let build = |name: &str, library: &str| {
            version(&format!("ffmpeg version {name} Copyright\nbuilt with gcc\nlibavutil      {library}\n"))
        };
        assert_eq!(build("N-109542-g5d1a64d", "58.  2.100 / 58.  2.100").unwrap(), (5, 1));
        assert_eq!(build("2023-01-30-git-2d202985b7-full_build", "57. 44.100 / 57. 44.100").unwrap(), (5, 1));
        assert_eq!(build("git-2021-09-01", "57.  4.101 / 57.  4.101").unwrap(), (4, 4));
        assert!(
            build("N-90000-gabcdef", "56. 14.100 / 56. 14.100")
                .unwrap_err()
                .to_string()
                .contains("at least 4.4")
        );
        assert_eq!(version("ffmpeg version custom").unwrap(), (5, 1));
    }

    #[test]
    fn another_program_is_named() {
        let error = version("GNU coreutils 9").unwrap_err().to_string();
        assert!(error.contains("GNU coreutils"), "{error}");
        let missing = Decoder::at(Path::new("/no/such/ffmpeg")).unwrap_err();
        assert!(matches!(&missing, VideoError::NoProgram(name) if name == "/no/such/ffmpeg"), "{missing}");
    }
}
