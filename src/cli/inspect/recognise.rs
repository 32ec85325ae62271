//! What a path holds, by its content.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::offline::evaluation::MANIFEST_NAME;
use crate::offline::recording::bag::is_bag;
use crate::offline::recording::lerobot::Dataset;
use crate::offline::recording::{Animation, Pictures, Video, VideoError};

pub enum Kind {
    Model,
    Calibration,
    Manifest,
    Video,
    Animation(Animation),
    Pictures,
    Bag,
    LeRobot,
    /// `topreward_progress.parquet`
    Labels,
}

const CAN: &str = "a model folder, a calibration file, a video, an animated GIF or WebP, a folder of PNG or JPEG pictures, \
                   a rosbag2 recording, a LeRobot dataset, topreward_progress.parquet, or a data set (manifest.jsonl)";

/// As much of a text file as tells what it is.
const GLANCE: u64 = 1 << 16;

impl Kind {
    /// # Errors
    /// Nothing there, or nothing that is known: one line says what is.
    pub fn recognise(path: &Path) -> Result<Self> {
        let shown = path.display();
        ensure!(path.exists(), "there is no {shown}");
        let kind = if path.is_dir() { Self::of_folder(path) } else { Self::of_file(path)? };
        match kind {
            Some(kind) => Ok(kind),
            None => bail!("cannot tell what {shown} is; what can be inspected: {CAN}"),
        }
    }

    fn of_folder(folder: &Path) -> Option<Self> {
        let json = |name: &str| {
            let text = std::fs::read(folder.join(name)).ok()?;
            serde_json::from_slice::<Value>(&text).ok()
        };
        if folder.join(MANIFEST_NAME).is_file() {
            Some(Self::Manifest)
        } else if Dataset::is_dataset(folder) {
            Some(Self::LeRobot)
        } else if is_bag(folder) {
            Some(Self::Bag)
        } else if json("config.json").is_some_and(|config| config.get("model_type").is_some())
            || folder.join("adapter_config.json").is_file()
        {
            Some(Self::Model)
        } else {
            Pictures::open(folder, 1.0).ok().map(|_| Self::Pictures)
        }
    }

    fn of_file(file: &Path) -> Result<Option<Self>> {
        if let Some(animation) = Animation::recognise(file)? {
            return Ok(Some(Self::Animation(animation)));
        }
        let mut start = Vec::new();
        (File::open(file).and_then(|opened| opened.take(GLANCE).read_to_end(&mut start)))
            .with_context(|| file.display().to_string())?;
        if is_bag(file) {
            return Ok(Some(Self::Bag));
        }
        if start.starts_with(b"PAR1") {
            return Ok(Some(Self::Labels));
        }
        if start.contains(&0) || std::str::from_utf8(&start).is_err_and(|error| error.error_len().is_some()) {
            // A video is what ffprobe finds one in; what it says of other files helps nobody.
            let video = Video::open(file)?;
            return match video.stream() {
                Ok(_) => Ok(Some(Self::Video)),
                Err(VideoError::Program { .. } | VideoError::Format(_) | VideoError::NoStream(_))
                    if !has_name_of_video(file) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            };
        }
        let text = String::from_utf8_lossy(&start);
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let line = serde_json::from_str::<Value>(first).unwrap_or_default();
        if line.get("episode").is_some() && line.get("instruction").is_some() {
            return Ok(Some(Self::Manifest));
        }
        let calibration = text.contains("threshold_nats") && text.contains("fingerprint");
        Ok(calibration.then_some(Self::Calibration))
    }
}

/// Then an error of ffprobe's is worth more than "cannot tell".
fn has_name_of_video(file: &Path) -> bool {
    let extension = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ["mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mpg", "mpeg", "h264", "hevc"].contains(&&*extension)
}
