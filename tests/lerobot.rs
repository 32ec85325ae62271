//! LeRobot datasets that the official library wrote (`tools/lerobot/make_datasets.py`): the same three episodes as v2.1
//! and v3.0 with lossless videos, and as v3.0 with pictures in the data file.

mod common;
#[path = "lerobot/damage.rs"]
mod damage;
#[path = "lerobot/labels.rs"]
mod labels;
#[path = "lerobot/same.rs"]
mod same;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::ffmpeg;
use topreward::offline::recording::lerobot::Dataset;
use topreward::offline::recording::{RecordedEpisode, RecordingError};

const FRONT: &str = "observation.images.front";
const WRIST: &str = "observation.images.wrist";
/// Frames of the three episodes.
const LENGTHS: [usize; 3] = [8, 7, 6];

fn fixture(name: &str) -> PathBuf {
    common::repository().join("tests/lerobot").join(name)
}

fn open(name: &str) -> Dataset {
    Dataset::open(&fixture(name)).unwrap()
}

/// Stamps (nanoseconds) and pixels of every frame.
fn play(episode: &RecordedEpisode) -> Result<Vec<(i64, Vec<u8>)>, RecordingError> {
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
    common::copy_of(&fixture(name))
}
