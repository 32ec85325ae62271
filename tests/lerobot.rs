//! LeRobot datasets that the official library wrote (`tools/lerobot/make_datasets.py`): the same three episodes as v2.1
//! and v3.0 with lossless videos, and as v3.0 with pictures in the data file.

#[path = "lerobot/damage.rs"]
mod damage;
#[path = "lerobot/labels.rs"]
mod labels;
#[path = "lerobot/same.rs"]
mod same;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use topreward::offline::recording::lerobot::Dataset;
use topreward::offline::recording::{Episode, RecordingError};

const FRONT: &str = "observation.images.front";
const WRIST: &str = "observation.images.wrist";
/// Frames of the three episodes.
const LENGTHS: [usize; 3] = [8, 7, 6];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lerobot").join(name)
}

fn open(name: &str) -> Dataset {
    Dataset::open(&fixture(name)).unwrap()
}

/// Videos need the program; a test that cannot run says so.
fn ffmpeg() -> bool {
    let found = ["ffmpeg", "ffprobe"].iter().all(|program| {
        let run = std::process::Command::new(program).arg("-version").output();
        run.is_ok_and(|output| output.status.success())
    });
    if !found {
        eprintln!("skipped: ffmpeg is not installed");
    }
    found
}

/// Stamps (nanoseconds) and pixels of every frame.
fn play(episode: &Episode) -> Result<Vec<(i64, Vec<u8>)>, RecordingError> {
    let mut frames = Vec::new();
    episode.footage.play(&mut |frame| {
        let frame = frame.decode().unwrap();
        frames.push((frame.stamp_ns, frame.rgb.as_raw().clone()));
        ControlFlow::Continue(())
    })?;
    Ok(frames)
}

/// A copy of a fixture that may be damaged.
fn copy(name: &str) -> tempfile::TempDir {
    fn tree(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if path.is_dir() {
                tree(&path, &target);
            } else {
                std::fs::copy(&path, &target).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    tree(&fixture(name), folder.path());
    folder
}
