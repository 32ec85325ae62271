use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use ::image::Rgb;

use super::*;
use crate::episode::image::ImageError;
use crate::reward::{Reading, Verdict};

/// Frames at these times; one at a broken place is no picture.
struct Scripted {
    times_s: Vec<f64>,
    size: (u32, u32),
    broken: Option<usize>,
}

impl Footage for Scripted {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        for (number, time_s) in self.times_s.iter().enumerate() {
            let (broken, (width, height)) = (self.broken == Some(number), self.size);
            let decode = move || match broken {
                true => Err(ImageError::Empty { width: 0, height: 7 }),
                false => Ok(RgbImage::from_pixel(width, height, Rgb([(number * 40 % 256) as u8, 80, 80]))),
            };
            let stamp_ns = 1_700_000_000_000_000_000 + (time_s * 1e9).round() as i64;
            if show(CameraFrame::new(stamp_ns, Arc::from(""), None, decode)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

static PREFIXES: LazyLock<[ScoredPrefix; 3]> = LazyLock::new(|| {
    [(0.0, -3.0, 0.1), (0.5, -2.0, 0.5), (1.0, -0.5, 1.0)].map(|(time_s, nats, progress)| {
        let reading = Reading { time_s, ..Reading::of(nats, -1.0, None) };
        ScoredPrefix { reading, progress, verdict: Verdict::Gathering }
    })
});

fn scored() -> ScoredEpisode<'static> {
    ScoredEpisode {
        instruction: "lift the cube",
        model: "a model",
        voc: None,
        prefixes: &*PREFIXES,
        threshold_nats: -1.0,
        called_s: Some(1.0),
        completed_s: None,
    }
}

fn footage(times_s: &[f64]) -> Scripted {
    Scripted { times_s: times_s.to_vec(), size: (65, 49), broken: None }
}

/// A program that answers as ffmpeg does when asked for its encoders, and otherwise with this script.
fn pretender(folder: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("ffmpeg");
    let list = "case \"$*\" in *-encoders*) echo ' V....D mpeg4 MPEG-4 part 2'; exit 0;; esac";
    std::fs::write(&program, format!("#!/bin/sh\n{list}\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn at_each_time_only_what_was_scored_by_then_is_shown() {
    let scored = scored();
    let overlay = CausalOverlay::new(&scored, 7);
    let frame = RgbImage::new(4, 4);
    for (time_s, known, nats, success) in [
        (0.0, 1, Some(-3.0), false),
        (0.499, 1, Some(-3.0), false),
        (0.5, 2, Some(-2.0), false),
        (0.999, 2, Some(-2.0), false),
        (1.0, 3, Some(-0.5), true),
        (9.0, 3, Some(-0.5), true),
    ] {
        let shown = overlay.at(&frame, time_s);
        assert!(shown.curve.iter().all(|prefix| prefix.reading.time_s <= time_s));
        assert_eq!(
            (shown.curve.len(), shown.curve.last().map(|prefix| prefix.reading.log_prob_true), shown.success),
            (known, nats, success),
            "{time_s}"
        );
        assert_eq!((shown.state, shown.episode_id), (if success { "success" } else { "running" }, 7));
    }
    // A first point later than the first frame.
    let late = ScoredEpisode { prefixes: &PREFIXES[1..], ..scored };
    let overlay = CausalOverlay::new(&late, 0);
    assert!(overlay.at(&frame, 0.4).curve.is_empty());
}

#[test]
fn a_later_frame_of_another_size_is_fitted_to_the_first() {
    let scored = scored();
    let mut overlay = CausalOverlay::new(&scored, 0);
    assert_eq!(overlay.draw(&RgbImage::new(641, 481), 0.0).dimensions(), (642, 482));
    assert_eq!(overlay.draw(&RgbImage::new(100, 300), 0.5).dimensions(), (642, 482));
}

#[test]
fn the_clock_counts_from_the_first_frame_and_never_stands() {
    let mut clock = Clock::default();
    assert_eq!(clock.place(5_000), Some(0));
    clock.newest_ns = Some(0);
    assert_eq!(clock.place(1_005_000), Some(1_000_000));
    clock.newest_ns = Some(1_000_000);
    // As late, earlier, before the first, and later by less than the video's clock resolves.
    assert_eq!([1_005_000, 1_004_999, 999, 1_024_999].map(|stamp_ns| clock.place(stamp_ns)), [None; 4]);
    assert_eq!(clock.place(1_025_000), Some(1_020_000));
    assert_eq!(Clock { first_ns: Some(i64::MIN), ..Clock::default() }.place(i64::MAX), Some(u64::MAX));
}

#[test]
fn what_cannot_be_written_is_said_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = Encoder::find("no-such-ffmpeg").unwrap_err().to_string();
    assert!(error.contains("no-such-ffmpeg") && error.contains("apt install ffmpeg"), "{error}");
    let broken = Encoder::find(pretender(folder.path(), "echo 'Disk quota exceeded' >&2; exit 1")).unwrap();
    assert_eq!(broken.codec(), "mpeg4");
    let message = |file: &str| {
        film(&footage(&[0.0, 0.5]), &scored(), 0, &broken, &folder.path().join(file)).unwrap_err().to_string()
    };
    let error = message("out.mp4");
    assert!(error.contains("Disk quota exceeded") && !error.contains('\n'), "{error}");
    assert!(message("out.avi").contains("written as .mp4"));
    assert!(
        message("none/out.mp4").contains("cannot write") && message("none/out.mp4").contains("none/out.mp4")
    );
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ffmpeg"], "no part file is left");
}

#[test]
fn an_ffmpeg_without_encoders_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let program = pretender(folder.path(), "");
    let none = std::fs::read_to_string(&program).unwrap().replace("mpeg4", "gif");
    std::fs::write(&program, none).unwrap();
    assert!(Encoder::find(&program).unwrap_err().to_string().contains("neither H.264 nor MPEG-4"));
}

/// The first stream's entries as ffprobe prints them.
fn probe(file: &Path, entries: &str) -> String {
    let arguments = ["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0", "-show_entries", entries];
    let answer = Command::new("ffprobe").args(arguments).arg(file).output().unwrap();
    String::from_utf8_lossy(&answer.stdout).trim().to_owned()
}

fn installed() -> Option<Encoder> {
    match Encoder::find("ffmpeg") {
        Ok(encoder) => Some(encoder),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

#[test]
fn every_frame_has_its_own_time_in_the_video() {
    let Some(encoder) = installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    // Uneven, with a frame twice and one that is no picture.
    let uneven = Scripted { broken: Some(2), ..footage(&[0.0, 0.1, 0.2, 0.25, 0.25, 0.7, 1.0, 1.1]) };
    let film = film(&uneven, &scored(), 0, &encoder, &file).unwrap();
    assert_eq!(film, Film { frames: 6, left_out: 2 });
    let times: Vec<f64> = probe(&file, "frame=pts_time")
        .lines()
        // An empty line stands for a frame's side data.
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect();
    let expected = [0.0, 0.1, 0.25, 0.7, 1.0, 1.1];
    assert_eq!(times.len(), expected.len(), "{times:?}");
    assert!(times.iter().zip(expected).all(|(time, expected)| (time - expected).abs() < 1e-4), "{times:?}");
    // 65×49 is enlarged to 640×482.
    assert_eq!(probe(&file, "stream=width,height,pix_fmt"), "640,482,yuv420p");
    // The last frame is shown as long as the one before it.
    assert_eq!(probe(&file, "stream=duration").parse(), Ok(1.2));
    let bytes = std::fs::read(&file).unwrap();
    let at = |name: &[u8]| bytes.windows(4).position(|window| window == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"), "what a player needs first stands first");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no part file is left");
}

#[test]
fn a_recording_of_one_frame_is_a_second_long_and_one_without_pictures_no_video() {
    let Some(encoder) = installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    let none = Scripted { broken: Some(0), ..footage(&[0.0]) };
    let error = film(&none, &scored(), 0, &encoder, &file).unwrap_err();
    assert!(matches!(error, FilmError::NoPicture) && !file.exists());
    assert_eq!(film(&footage(&[0.0]), &scored(), 0, &encoder, &file).unwrap().frames, 1);
    assert_eq!(probe(&file, "frame=pts_time").lines().count(), 1);
    assert_eq!(probe(&file, "stream=duration").parse(), Ok(1.0));
}
