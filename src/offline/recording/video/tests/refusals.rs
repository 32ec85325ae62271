//! What is no recording, or no picture to score.

use super::*;

#[test]
fn only_recordings_are_opened_whatever_the_name() {
    let Some((folder, file)) = made("a.mp4", &[NUMBERED, &["-t", "1", "-c:v", "libx264"]].concat()) else {
        return;
    };
    let length = std::fs::metadata(&file).unwrap().len();
    let lists = [
        format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-BYTERANGE:{length}@0\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n"
        ),
        "ffconcat version 1.0\nfile a.mp4\n".to_owned(),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.mp4\n".to_owned(),
    ];
    for list in lists {
        let named = folder.path().join("b.mp4");
        std::fs::write(&named, &list).unwrap();
        let refusal = seen(&open(&named)).unwrap_err().to_string();
        assert!(refusal.contains("b.mp4 is no recording but a play list"), "{list}: {refusal}");
    }
    for name in ["a.mov", "a.mkv", "a.avi", "a.ts", "a.flv", "a.nut", "a.h264", "a.3gp", "a.mpg"] {
        let other = folder.path().join(name);
        let codec: &[&str] = if name == "a.mpg" { &["-c:v", "mpeg2video"] } else { &["-c", "copy"] };
        assert!(convert(&[&["-i", file.to_str().unwrap()], codec].concat(), &other));
        assert_eq!(seen(&open(&other)).unwrap().len(), 30, "{name}");
    }
}

#[test]
fn a_recording_that_was_never_finished_says_so() {
    let Some((_folder, file)) = made("a.mp4", &[NUMBERED, &["-t", "1", "-c:v", "libx264"]].concat()) else {
        return;
    };
    // As a killed recorder leaves it: the pictures go on to the end, and no index follows.
    let mut bytes = std::fs::read(&file).unwrap();
    let index = bytes.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let pictures = bytes.windows(4).position(|four| four == b"mdat").unwrap() - 4;
    bytes.truncate(index);
    bytes[pictures..pictures + 4].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    let refusal = seen(&open(&file)).unwrap_err().to_string();
    assert!(refusal.contains("a.mp4 was never finished") && refusal.contains("moov"), "{refusal}");
    // Cut in the middle of the pictures: how to keep what is there.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[pictures..pictures + 4].copy_from_slice(&1_000_000u32.to_be_bytes());
    std::fs::write(&file, &bytes).unwrap();
    let refusal = seen(&open(&file)).unwrap_err().to_string();
    assert!(refusal.contains("cut short") && refusal.contains("-c copy"), "{refusal}");
}

#[test]
fn depth_and_what_is_too_large_are_refused_before_they_are_decoded() {
    let depth =
        [&["-f", "lavfi", "-i", "testsrc2=s=32x32:r=5:d=1"][..], &["-pix_fmt", "gray12le", "-c:v", "ffv1"]];
    let Some((folder, file)) = made("depth.mkv", &depth.concat()) else { return };
    let refusal = seen(&open(&file)).unwrap_err().to_string();
    assert!(refusal.contains("depth.mkv is a depth video") && refusal.contains("gray12le"), "{refusal}");
    let grey = folder.path().join("grey.mkv");
    assert!(convert(&["-i", file.to_str().unwrap(), "-pix_fmt", "gray", "-c:v", "ffv1"], &grey));
    assert_eq!(seen(&open(&grey)).unwrap().len(), 5);
    let wide = folder.path().join("wide.mkv");
    let source = ["-f", "lavfi", "-i", "color=s=9000x16:r=1:d=1", "-c:v", "ffv1"];
    assert!(convert(&source, &wide));
    let refusal = seen(&open(&wide)).unwrap_err().to_string();
    assert!(refusal.contains("9000×16") && refusal.contains("8192"), "{refusal}");
}
