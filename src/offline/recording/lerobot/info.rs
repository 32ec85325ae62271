//! `meta/info.json`: what the dataset is and where its files lie.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LeRobotError;
use crate::files;

pub(super) const PLACE: &str = "meta/info.json";

/// Bytes of a description that are read; the largest known dataset's need a tenth.
pub(super) const MOST_BYTES: u64 = 256 << 20;

/// A version of the format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// v2.1
    FilePerEpisode,
    /// v3.0
    SharedFiles,
}

/// Where a camera's pictures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    Video,
    /// Single pictures in the data files.
    Image,
}

/// A camera of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameraFeature {
    /// Its feature's name: "observation.images.front".
    pub key: String,
    pub storage: Storage,
    /// Height, width and channels as announced.
    pub shape: Vec<u64>,
    /// The video's codec, where it is announced.
    pub codec: Option<String>,
    /// Whether it shows distances.
    pub depth: bool,
}

impl fmt::Display for CameraFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        // Channels stand first in some datasets, last in most.
        if let [a, b, c] = self.shape[..] {
            let (height, width) = if a <= 4 && c > 4 { (b, c) } else { (a, b) };
            write!(f, ", {width}×{height}")?;
        }
        match (self.storage, &self.codec) {
            (Storage::Video, Some(codec)) => write!(f, ", video ({codec})")?,
            (Storage::Video, None) => write!(f, ", video")?,
            (Storage::Image, _) => write!(f, ", images in the data files")?,
        }
        if self.depth { write!(f, ", depth") } else { Ok(()) }
    }
}

/// The file as it is written; what is not needed is left out.
#[derive(Deserialize)]
struct Written {
    robot_type: Option<String>,
    fps: f64,
    #[serde(default = "thousand")]
    chunks_size: u64,
    data_path: String,
    video_path: Option<String>,
    features: BTreeMap<String, Feature>,
}

#[derive(Deserialize)]
struct Versioned {
    codebase_version: String,
}

#[derive(Deserialize)]
struct Feature {
    dtype: String,
    #[serde(default)]
    shape: serde_json::Value,
    info: Option<serde_json::Value>,
    video_info: Option<serde_json::Value>,
}

fn thousand() -> u64 {
    1000
}

#[derive(Debug, Clone)]
pub(super) struct Info {
    pub format: Version,
    pub version: &'static str,
    pub robot: Option<String>,
    pub fps: f64,
    /// Episodes in a folder of v2.1.
    pub chunk: u64,
    pub data_path: String,
    pub video_path: Option<String>,
    pub cameras: Vec<CameraFeature>,
}

impl Info {
    pub fn read(folder: &Path) -> Result<Self, LeRobotError> {
        let file = folder.join(PLACE);
        let shown = file.display().to_string();
        let text = read_limited(&file)?;
        let wrong = |reason: String| LeRobotError::Json { file: shown.clone(), reason };
        let versioned: Versioned = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        // Before the rest: other versions have other fields.
        let (format, version) = version(&versioned.codebase_version, &shown)?;
        let written: Written = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if !(written.fps > 0.0 && written.fps <= 1e6) {
            return Err(wrong(format!("{} is not a frame rate (fps)", written.fps)));
        }
        let cameras = written.features.into_iter().filter_map(|(key, feature)| camera(key, &feature));
        Ok(Self {
            format,
            version,
            robot: written.robot_type,
            fps: written.fps,
            chunk: written.chunks_size.max(1),
            data_path: written.data_path,
            video_path: written.video_path,
            cameras: cameras.collect(),
        })
    }

    /// The place of a file whose name is a template with these parts.
    pub fn place(
        &self,
        folder: &Path,
        template: &str,
        key: &str,
        numbers: &[(&str, u64)],
    ) -> Result<PathBuf, LeRobotError> {
        let wrong = |reason: &str| LeRobotError::Json {
            file: folder.join(PLACE).display().to_string(),
            reason: format!("the path \"{template}\" {reason}"),
        };
        let name = expand(template, key, numbers).ok_or_else(|| wrong("has a part that is not known"))?;
        let name = PathBuf::from(name);
        // A dataset is someone else's: it must not name files elsewhere.
        match name.components().all(|part| matches!(part, Component::Normal(_))) {
            true => Ok(folder.join(name)),
            false => Err(wrong("leads out of the dataset")),
        }
    }
}

fn version(found: &str, file: &str) -> Result<(Version, &'static str), LeRobotError> {
    let refuse = |advice| LeRobotError::Version { file: file.to_owned(), found: found.to_owned(), advice };
    let mut parts = found.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(2), Some(1)) => Ok((Version::FilePerEpisode, "v2.1")),
        (Some(3), Some(0)) => Ok((Version::SharedFiles, "v3.0")),
        (Some(2), Some(0)) => Err(refuse(
            "convert it with LeRobot 0.3, python -m lerobot.datasets.v21.convert_dataset_v20_to_v21",
        )),
        (Some(0 | 1), _) => Err(refuse(
            "convert it with LeRobot 0.3, first lerobot.datasets.v2.convert_dataset_v1_to_v2, then \
             lerobot.datasets.v21.convert_dataset_v20_to_v21",
        )),
        (Some(_), _) => Err(refuse("it is newer than this program; look for a newer topreward")),
        _ => Err(refuse("codebase_version should be v2.1 or v3.0")),
    }
}

fn camera(key: String, feature: &Feature) -> Option<CameraFeature> {
    let storage = match feature.dtype.as_str() {
        "video" => Storage::Video,
        "image" => Storage::Image,
        _ => return None,
    };
    let about = |name: &str| {
        let sources = [&feature.info, &feature.video_info];
        sources.into_iter().flatten().find_map(|info| info.get(name)).cloned()
    };
    let depth = ["video.is_depth_map", "is_depth_map"].iter().any(|name| about(name) == Some(true.into()));
    let codec = about("video.codec").and_then(|codec| codec.as_str().map(str::to_owned));
    let shape =
        feature.shape.as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
    Some(CameraFeature { key, storage, shape, codec, depth })
}

/// Fills `{name}` and `{name:03d}`, as Python does; `None` if there is a part that it cannot fill.
fn expand(template: &str, key: &str, numbers: &[(&str, u64)]) -> Option<String> {
    let mut rest = template;
    let mut full = String::new();
    while let Some((text, after)) = rest.split_once('{') {
        let (part, after) = after.split_once('}')?;
        full.push_str(text);
        let (name, form) = part.split_once(':').unwrap_or((part, ""));
        if matches!(name, "video_key" | "image_key") {
            full.push_str(key);
        } else {
            let number = numbers.iter().find(|(known, _)| *known == name)?.1;
            let width = match form.strip_suffix('d').unwrap_or(form) {
                "" => 0,
                digits => digits.strip_prefix('0')?.parse::<usize>().ok().filter(|width| *width <= 20)?,
            };
            full.push_str(&format!("{number:0width$}"));
        }
        rest = after;
    }
    full.push_str(rest);
    Some(full)
}

/// The text of a file of no more than [`MOST_BYTES`].
pub(super) fn read_limited(file: &Path) -> Result<String, LeRobotError> {
    let shown = file.display().to_string();
    let unreadable = |source| LeRobotError::Read { file: shown.clone(), source };
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > MOST_BYTES {
        return Err(LeRobotError::TooLarge { file: shown, bytes });
    }
    files::read_text(file, MOST_BYTES).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_as_python_does() {
        let numbers = [("episode_chunk", 1), ("episode_index", 1234567)];
        let full =
            expand("v/chunk-{episode_chunk:03d}/{video_key}/e_{episode_index:06d}.mp4", "o.front", &numbers);
        assert_eq!(full.as_deref(), Some("v/chunk-001/o.front/e_1234567.mp4"));
        assert_eq!(expand("{episode_chunk}", "", &numbers).as_deref(), Some("1"));
        for bad in ["{unknown:03d}", "{episode_chunk", "{episode_chunk:>3}", "{episode_chunk:0999999999d}"] {
            assert_eq!(expand(bad, "", &numbers), None, "{bad}");
        }
    }

    #[test]
    fn other_versions_are_refused_by_name_with_what_to_do() {
        let message = |found: &str| version(found, "info.json").unwrap_err().to_string();
        assert!(
            message("v2.0").contains("\"v2.0\"") && message("v2.0").contains("convert_dataset_v20_to_v21")
        );
        assert!(message("v1.6").contains("\"v1.6\"") && message("v1.6").contains("convert_dataset_v1_to_v2"));
        assert!(message("v3.1").contains("newer") && message("v4.0").contains("newer"));
        assert!(message("latest").contains("should be"));
        assert!(version("v2.1", "").is_ok() && version("3.0", "").is_ok());
    }
}
