//! What several test programs share: this repository's fixtures, the program run as a person runs it, folders to spoil.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;
use topreward::model::qwen3_vl::Qwen3Vl;
use topreward::model::{LogProbs, VideoVlm};

pub const TASK: &str = "put the red cube in the bowl";

// --- Fixtures -------------------------------------------------------------------------------------------------------

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Something of `tests/golden/`: a checkpoint ("tied", "untied") or pictures.
pub fn golden(name: &str) -> PathBuf {
    repository().join("tests/golden").join(name)
}

/// A Qwen3-VL with few and random weights.
pub fn tiny_model() -> PathBuf {
    golden("tied")
}

/// The embedded model, which was trained.
pub fn trained_model() -> PathBuf {
    repository().join("models/so101-sim")
}

/// The folder of seven frames of 96×64 pixels, which the processor takes as they are.
pub fn golden_frames() -> PathBuf {
    golden("frames/aligned")
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn read_json(file: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A copy of a folder, to spoil.
pub fn copy_of(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_tree(folder, copy.path());
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Every file below a folder by its path in it, with its bytes.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// Three frames' score, which changes with anything in a model folder that matters.
pub fn score_three_frames(model: &Qwen3Vl) -> LogProbs {
    let mut episode = model.new_episode();
    for step in 0..3u32 {
        let frame = RgbImage::from_fn(96, 64, |x, y| image::Rgb([x * 2, y * 3, step * 80].map(|v| v as u8)));
        model.append(&mut episode, &frame, f64::from(step) / 2.0).unwrap();
    }
    model.score(&mut episode, TASK).unwrap()
}

/// Videos need the programs; a test that cannot run says so.
pub fn ffmpeg() -> bool {
    let runs = |program: &&str| {
        Command::new(program).arg("-version").output().is_ok_and(|output| output.status.success())
    };
    let found = ["ffmpeg", "ffprobe"].iter().all(runs);
    if !found {
        println!("skipped: ffmpeg is not installed");
    }
    found
}

// --- The program ----------------------------------------------------------------------------------------------------

pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_topreward"))
}

pub fn topreward<A: AsRef<OsStr>>(arguments: &[A]) -> Output {
    command().args(arguments).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asserts the exit code, and that stderr holds every one of `named`.
pub fn ended(output: &Output, code: i32, named: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in named {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
}

/// Asserts exit code 2, an empty stdout and one line on stderr that holds every one of `named`.
pub fn refused(output: &Output, named: &[&str]) {
    ended(output, 2, named);
    assert!(output.stdout.is_empty());
    assert_eq!(stderr(output).trim_end().lines().count(), 1, "{}", stderr(output));
}

/// What a run that succeeded has printed.
pub fn json(output: &Output) -> Value {
    ended(output, 0, &[]);
    serde_json::from_slice(&output.stdout).unwrap()
}
