//! Against videos that ffmpeg makes here; without the program they are skipped and say so.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use ::image::RgbImage;

use super::*;
use crate::recording::sample;

/// A folder with a video made by these arguments of ffmpeg; `None` where the program or an encoder is missing.
fn made(name: &str, arguments: &[&str]) -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    convert(arguments, &file).then_some((folder, file))
}

fn convert(arguments: &[&str], file: &Path) -> bool {
    let ran =
        Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(arguments).arg(file).output();
    match ran {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("Unknown encoder"), "ffmpeg {arguments:?}: {said}");
            println!("skipped: {said}");
            false
        }
        Err(_) => {
            println!("skipped: the program ffmpeg is not installed");
            false
        }
    }
}

/// 64×48 pixels; frame n is a field of grey of level 16 + 4n, modulo 200.
const NUMBERED: &str = "color=c=black:s=64x48:r=30,format=yuv420p,geq=lum='16+mod(4*N,200)':cb=128:cr=128";

/// Stamps in milliseconds, and the number that each frame's grey says.
fn seen(video: &Video) -> Result<Vec<(i64, u32)>, RecordingError> {
    let mut seen = Vec::new();
    video.play(&mut |frame| {
        let stamp_ms = (frame.stamp_ns + 500_000).div_euclid(1_000_000);
        let grey = f64::from(frame.decode().unwrap().rgb.get_pixel(30, 20).0[1]);
        // The grey is stretched from 219 to 255 levels.
        seen.push((stamp_ms, (grey * 219.0 / 255.0 / 4.0).round() as u32));
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

fn open(file: &Path) -> Video {
    Video::open(file).unwrap()
}

fn pictures(video: &Video) -> Vec<(i64, Arc<RgbImage>)> {
    let mut found = Vec::new();
    let mut keep = |frame: CameraFrame| {
        let frame = frame.decode().unwrap();
        found.push((frame.stamp_ns, frame.rgb));
        ControlFlow::Continue(())
    };
    video.play(&mut keep).unwrap();
    found
}

#[test]
fn a_variable_rate_is_told_by_its_times() {
    // Frame n at n²/100 s: 0, 10, 40, 90, …; B-frames put the decoding out of order.
    let setpts = format!("{NUMBERED},setpts='N*N/100/TB',settb=1/1000");
    for (name, codec) in
        [("a.mp4", "libx264"), ("a.mkv", "libx265"), ("b.mp4", "libx265"), ("a.webm", "libvpx-vp9")]
    {
        let arguments =
            ["-f", "lavfi", "-i", &setpts, "-frames:v", "12", "-fps_mode", "passthrough", "-c:v", codec];
        let Some((_folder, file)) = made(name, &[&arguments[..], &["-enc_time_base", "1/1000"]].concat())
        else {
            continue;
        };
        let expected: Vec<(i64, u32)> = (0..12).map(|n| (n * n * 10, n as u32)).collect();
        assert_eq!(seen(&open(&file)).unwrap(), expected, "{name} {codec}");
    }
}

#[test]
fn a_span_has_the_frames_of_the_whole_file() {
    let Some((_folder, file)) = made(
        "a.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=96x64:r=30:d=8",
            "-c:v",
            "libx264",
            "-x264-params",
            "keyint=25:open-gop=1:bframes=3",
        ],
    ) else {
        return;
    };
    let whole = pictures(&open(&file));
    assert_eq!(whole.len(), 240);
    for (from, to) in [(0, 10), (1, 2), (89, 91), (113, 171), (151, 240), (200, 999)] {
        let (from_s, to_s) = (from as f64 / 30.0, to as f64 / 30.0);
        let span = pictures(&open(&file).between(from_s, to_s).unwrap());
        let expected = &whole[from..to.min(240)];
        assert_eq!(span.len(), expected.len(), "{from}..{to}");
        for ((stamp_ns, rgb), (whole_ns, whole_rgb)) in span.iter().zip(expected) {
            assert!((stamp_ns - (whole_ns - expected[0].0)).abs() <= 1);
            assert!(rgb == whole_rgb, "{from}..{to} at {stamp_ns}");
        }
    }
    let nothing = open(&file).between(9.0, 10.0).unwrap();
    assert!(matches!(sample(&nothing, "it", 2.0), Err(RecordingError::Empty(_))));
    for (from_s, to_s) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(open(&file).between(from_s, to_s).is_err());
    }
}
