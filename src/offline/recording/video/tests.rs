//! Against videos that ffmpeg makes here; without the program they are skipped and say so.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use ::image::RgbImage;

use super::*;
use crate::offline::recording::sample;

mod refusals;

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
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(message.contains("Unknown encoder"), "ffmpeg {arguments:?}: {message}");
            println!("skipped: {message}");
            false
        }
        Err(_) => {
            println!("skipped: the program ffmpeg is not installed");
            false
        }
    }
}

/// 64×48 pixels; frame n is a field of grey of level 16 + 4n, modulo 200.
const NUMBERED: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "color=c=black:s=64x48:r=30,format=yuv420p,geq=lum='16+mod(4*N,200)':cb=128:cr=128",
];
/// Keeps the times of the frames to the millisecond.
const VARIABLE: &[&str] = &["-fps_mode", "passthrough", "-enc_time_base", "1/1000"];

/// Stamps in milliseconds, and the number that each frame shows as its grey.
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
    let files = [("a.mp4", "libx264"), ("a.mkv", "libx265"), ("b.mp4", "libx265"), ("c.mp4", "libaom-av1")];
    for (name, codec) in files.into_iter().chain([("a.webm", "libvpx-vp9")]) {
        let uneven = [NUMBERED, &["-vf", "settb=1/1000,setpts=N*N/100/TB", "-frames:v", "12"], VARIABLE];
        let Some((_folder, file)) = made(name, &[&uneven.concat()[..], &["-c:v", codec]].concat()) else {
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

#[test]
fn a_time_line_may_begin_anywhere() {
    // Sound from 0 s, pictures from 2 s; then an edit list that cuts the first 1.2 s off, between key frames.
    let arguments = [NUMBERED, &["-t", "2", "-c:v", "libx264", "-bf", "2", "-g", "30"]].concat();
    let Some((folder, plain)) = made("plain.mp4", &arguments) else { return };
    let late = folder.path().join("late.mp4");
    let inputs = ["-f", "lavfi", "-i", "sine=d=3", "-itsoffset", "2", "-i", plain.to_str().unwrap()];
    assert!(convert(&[&inputs[..], &["-c:a", "aac", "-c:v", "copy"]].concat(), &late));
    let frames = |count: u32, from: u32| -> Vec<(i64, u32)> {
        (0..count).map(|n| ((f64::from(n) * 100.0 / 3.0).round() as i64, (n + from) % 50)).collect()
    };
    assert_eq!(seen(&open(&late)).unwrap(), frames(60, 0));
    let span = open(&late).between(2.5, 2.8).unwrap();
    assert_eq!(seen(&span).unwrap(), frames(9, 15));
    let edited = folder.path().join("edited.mp4");
    assert!(convert(&["-ss", "1.2", "-i", plain.to_str().unwrap(), "-c", "copy"], &edited));
    assert_eq!(seen(&open(&edited)).unwrap(), frames(24, 36));
}

#[test]
fn a_bare_stream_and_a_rounded_one_have_the_rate_of_the_exact_one() {
    let Some((folder, file)) =
        made("a.mp4", &[NUMBERED, &["-t", "3", "-c:v", "libx264", "-bf", "2"]].concat())
    else {
        return;
    };
    let exact = sample(&open(&file), "mp4", 4.0).unwrap();
    assert_eq!(exact.numbers[..4], [0, 7, 15, 22]);
    for name in ["a.h264", "a.mkv"] {
        let copy = folder.path().join(name);
        assert!(convert(&["-i", file.to_str().unwrap(), "-c", "copy"], &copy));
        let copied = sample(&open(&copy), name, 4.0).unwrap();
        assert_eq!(copied.numbers, exact.numbers, "{name}");
        let close = copied.recorded_s.iter().zip(&exact.recorded_s).all(|(a, b)| (a - b).abs() < 1e-8);
        assert!(close && copied.recorded_s.len() == 90, "{name}: {:?}", copied.recorded_s);
        let same = copied.frames.iter().zip(&exact.frames).all(|(a, b)| a.rgb == b.rgb);
        assert!(same, "{name}");
        assert_eq!(open(&copy).stream().unwrap().timed, name == "a.mkv");
    }
}

#[test]
fn a_turned_video_is_shown_upright() {
    // Left half dark, right half bright; marked to be turned a quarter clockwise, the bright half is below; the other way round it is above.
    let halves = "color=c=black:s=64x48:r=10,format=yuv420p,geq=lum='if(lt(X,32),16,235)':cb=128:cr=128";
    let Some((folder, file)) = made("a.mp4", &["-f", "lavfi", "-i", halves, "-t", "1", "-c:v", "libx264"])
    else {
        return;
    };
    let turned = folder.path().join("turned.mp4");
    let tag = ["-i", file.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
    assert!(convert(&tag, &turned));
    let stream = open(&turned).stream().unwrap();
    if stream.rotation == 0 {
        println!("skipped: this ffmpeg writes no rotation by its old tag");
        return;
    }
    assert_eq!((stream.width, stream.height), (64, 48));
    // Versions of ffmpeg do not agree on the sense of the tag when they write it.
    let (dark, bright) = if stream.rotation == 90 { (8, 56) } else { (56, 8) };
    assert!(matches!(stream.rotation, 90 | 270));
    let rgb = &pictures(&open(&turned))[0].1;
    assert_eq!(rgb.dimensions(), (48, 64));
    assert!(rgb.get_pixel(24, dark).0[0] < 20 && rgb.get_pixel(24, bright).0[0] > 235);
}

#[test]
fn the_cover_is_not_the_video() {
    let Some((folder, file)) = made("a.mp4", &[NUMBERED, &["-t", "1", "-c:v", "libx264"]].concat()) else {
        return;
    };
    let covered = folder.path().join("covered.mp4");
    let inputs = ["-i", file.to_str().unwrap(), "-f", "lavfi", "-i", "testsrc=s=32x32:d=1", "-map", "0"];
    let outputs = ["-map", "1", "-frames:v:1", "1", "-c:v:1", "mjpeg", "-c:v:0", "copy", "-disposition:v:1"];
    assert!(convert(&[&inputs[..], &outputs, &["attached_pic"]].concat(), &covered));
    let covered = open(&covered);
    assert_eq!(covered.stream().unwrap().codec, "h264");
    assert_eq!(seen(&covered).unwrap(), seen(&open(&file)).unwrap());
}

#[test]
fn what_is_cut_or_spoilt_is_one_clear_line() {
    let source = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=30:d=3", "-c:v", "libx264", "-bf", "2"];
    let Some((folder, file)) = made("a.mp4", &[&source[..], &["-movflags", "faststart"]].concat()) else {
        return;
    };
    let mkv = folder.path().join("a.mkv");
    let live = folder.path().join("live.mkv");
    let copy = ["-i", file.to_str().unwrap(), "-c", "copy"];
    assert!(convert(&copy, &mkv) && convert(&[&copy[..], &["-live", "1", "-f", "matroska"]].concat(), &live));
    let refused = |file: &Path, words: &[&str]| {
        let error = sample(&open(file), "it", 2.0).map(|found| found.recorded_s.len()).unwrap_err();
        let text = error.to_string();
        assert!(text.lines().count() == 1 && text.contains(&*file.display().to_string()), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    for (name, whole, word) in [("c.mp4", &file, "mdat"), ("c.mkv", &mkv, "segment"), ("c2.mkv", &live, "")] {
        let bytes = std::fs::read(whole).unwrap();
        let cut = folder.path().join(name);
        std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
        refused(&cut, &[word]);
    }
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4000].fill(0x55);
    std::fs::write(folder.path().join("spoilt.mp4"), &bytes).unwrap();
    refused(&folder.path().join("spoilt.mp4"), &["ffmpeg says"]);
    std::fs::write(folder.path().join("noise.mp4"), vec![7; 5000]).unwrap();
    refused(&folder.path().join("noise.mp4"), &["ffprobe says"]);
    let sound = folder.path().join("sound.mp4");
    assert!(convert(&["-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac"], &sound));
    refused(&sound, &["no video stream"]);
}

#[test]
fn colours_are_those_of_the_stream() {
    // Red, green, blue, white fields, coded each way: they come back within what 8 bits of YUV can hold.
    let fields = "color=c=red:s=32x32:r=5[a];color=c=lime:s=32x32:r=5[b];color=c=blue:s=32x32:r=5[c];\
                  [a][b][c]hstack=3,format=gbrp";
    let shown = |space: &str, range: &str| format!("scale=out_color_matrix={space}:out_range={range}");
    for (space, range, tag) in [
        ("bt601", "tv", "smpte170m"),
        ("bt709", "tv", "bt709"),
        ("bt709", "pc", "bt709"),
        ("bt601", "pc", "bt470bg"),
    ] {
        for format in ["yuv420p", "yuv444p", "yuv420p10le"] {
            let filter = format!("{},format={format}", shown(space, range));
            let arguments = ["-f", "lavfi", "-i", fields, "-t", "1", "-vf", &filter, "-c:v", "libx264"];
            let tags = ["-qp", "1", "-colorspace", tag, "-color_range", range];
            let Some((_folder, file)) = made("a.mkv", &[&arguments[..], &tags].concat()) else { return };
            let rgb = &pictures(&open(&file))[0].1;
            for (x, expected) in [(16, [255, 0, 0]), (48, [0, 255, 0]), (80, [0, 0, 255])] {
                let found = rgb.get_pixel(x, 16).0;
                let close = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4);
                assert!(close, "{space} {range} {format}: {found:?} for {expected:?}");
            }
        }
    }
}

#[test]
fn whoever_breaks_off_leaves_no_process() {
    let Some((_folder, file)) =
        made("a.mp4", &["-f", "lavfi", "-i", "testsrc2=s=320x240:r=30:d=20", "-c:v", "libx264"])
    else {
        return;
    };
    let running = || {
        let listed = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let named = |path: PathBuf| std::fs::read(path.join("cmdline")).unwrap_or_default();
        let ours = file.display().to_string();
        listed.filter(|entry| String::from_utf8_lossy(&named(entry.path())).contains(&ours)).count()
    };
    let mut seen = 0;
    let broken_off = open(&file).play(&mut |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(broken_off.is_ok() && seen == 3);
    assert_eq!(running(), 0);
    let panicked = std::panic::catch_unwind(|| open(&file).play(&mut |_| panic!("on purpose")));
    assert!(panicked.is_err());
    assert_eq!(running(), 0);
}

/// A stand-in for ffmpeg that says this when it is to decode.
#[cfg(unix)]
#[test]
fn a_program_without_the_decoder_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let Some((folder, file)) =
        made("a.mp4", &[NUMBERED, &["-t", "1", "-c:v", "libaom-av1", "-cpu-used", "8"]].concat())
    else {
        return;
    };
    let program = folder.path().join("ffmpeg");
    // As a build without a software decoder for AV1 ends.
    let script = "#!/bin/sh\n[ \"$1\" = -version ] && exec ffmpeg -version\n\
        echo \"[av1 @ 0x5] [error] Your platform doesn't suppport hardware accelerated AV1 decoding.\" >&2\n\
        exit 69\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let decoder = Decoder::at(&program).unwrap();
    let video = open(&file);
    let stream = VideoStream::probe(&decoder, &file).unwrap();
    let error = player::play(&decoder, &video, &stream, &mut |_| ControlFlow::Continue(())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("libdav1d") && text.contains("av1") && text.contains("a.mp4"), "{text}");
}

/// The real robot episodes, where they stand beside the project: every frame at the time that ffprobe gives it.
#[test]
fn real_robot_videos_are_told_frame_by_frame() {
    let folder = std::env::var_os("TOPREWARD_EPISODES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/episodes"), PathBuf::from);
    let files = [
        ("so101_cube_in_red_box.mp4", 729),
        ("soar_put_green_stick_in_brown_bowl.mp4", 32),
        ("berkeley_rpt_stack_cup.mp4", 32),
        ("jaco_play_pick_up_green_cup.mp4", 64),
        ("g1_pick_bottle_av1.mp4", 221),
    ];
    for (name, count) in files {
        let file = folder.join(name);
        let frames =
            ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0"];
        let probed = Command::new("ffprobe").args(frames).arg(&file).output();
        let Some(probed) = probed.ok().filter(|_| file.is_file()) else {
            println!("skipped: no ffprobe, or no real episode {} (set TOPREWARD_EPISODES)", file.display());
            return;
        };
        let probed = String::from_utf8(probed.stdout).unwrap();
        let probed = probed.lines().filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
        let expected: Vec<f64> = probed.collect();
        let mut stamps_s = Vec::new();
        let mut keep = |frame: CameraFrame| {
            stamps_s.push(frame.stamp_ns as f64 / 1e9);
            ControlFlow::Continue(())
        };
        open(&file).play(&mut keep).unwrap();
        assert_eq!((stamps_s.len(), expected.len()), (count, count), "{name}");
        // ffprobe rounds to microseconds.
        let off = |(stamp, time): (&f64, &f64)| (stamp - (time - expected[0])).abs();
        assert!(stamps_s.iter().zip(&expected).map(off).all(|off| off < 2e-6), "{name}");
        let packets = open(&file).stream().unwrap().packets(&file).unwrap();
        assert_eq!(packets.stamps_ns.len(), count, "{name}");
    }
}
