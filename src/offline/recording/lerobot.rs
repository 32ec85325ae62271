//! LeRobot datasets in a local folder: versions 2.1 (a file for each episode) and 3.0 (many episodes in a file).
//!
//! A frame's number and time are those of the data files, where the robot's states and actions stand; a camera's pictures
//! are held against them. The same frames therefore have the same stamps in either version, as videos or as pictures.

mod boundary;
mod episodes;
mod footage;
mod info;
mod rows;
mod selection;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::RecordedEpisode;
use crate::offline::columns::ColumnsError;
use episodes::{Described, EpisodeMeta};
use footage::{ImageFootage, VideoFootage};
use info::Info;

pub use info::{CameraFeature, Storage};
pub use rows::Rows;
pub use selection::{Episodes, EpisodesError};

/// Why a dataset, or an episode of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LeRobotError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file} has {bytes} bytes; at most {most} are read", most = info::MOST_BYTES)]
    TooLarge { file: String, bytes: u64 },
    #[error("cannot use {file}: {reason}")]
    Json { file: String, reason: String },
    #[error("{file}: LeRobot datasets of version \"{found}\" are not read, only v2.1 and v3.0: {advice}")]
    Version { file: String, found: String, advice: &'static str },
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error("the dataset {0} has no camera: no feature of it is a video or an image")]
    NoCamera(String),
    #[error("the dataset {folder} has no camera \"{asked}\"; it has {has}")]
    UnknownCamera { folder: String, asked: String, has: String },
    #[error("\"{0}\" is depth, which has no colours: choose a colour camera")]
    Depth(String),
    #[error("the dataset {folder} has several cameras: choose one by --camera: {has}")]
    SeveralCameras { folder: String, has: String },
    #[error("the dataset {folder} has no episode {asked}; it has {has}")]
    UnknownEpisode { folder: String, asked: u64, has: String },
    #[error("{file} does not say in which file the {what} of episode {episode} is")]
    NoPlace { file: String, what: String, episode: u64 },
    #[error("{file} has {found} rows of episode {episode}, but the dataset declares {expected} frames")]
    Length { file: String, episode: u64, found: usize, expected: u64 },
    #[error(
        "the rows of episode {episode} in {file} do not stand together: sort the file by episode_index and frame_index"
    )]
    Scattered { file: String, episode: u64 },
    #[error(
        "the dataset {0} was never finished: it has no folder meta/episodes, which LeRobot writes at the end of a recording (LeRobotDataset.finalize())"
    )]
    Unfinished(String),
    #[error("row {row} of episode {episode} in {file} has frame_index {found}, out of order")]
    Order { file: String, episode: u64, row: usize, found: i64 },
    #[error("frame {row} of episode {episode} in {file} has no time")]
    NoTime { file: String, episode: u64, row: usize },
    #[error(
        "frame {row} of episode {episode} in {file} has the time {found}, which is no time in seconds; if it is in milliseconds or nanoseconds, divide it"
    )]
    NoSeconds { file: String, episode: u64, row: usize, found: f64 },
    #[error(
        "frame {row} of episode {episode} in {file} is timed at {found} s, which cannot follow on the frames before it"
    )]
    OddTime { file: String, episode: u64, row: usize, found: f64 },
    #[error(
        "the time of episode {episode} in {file} stands still: {still} of its {rows} frames have the time of the one before, \
         the last of them {found} s; nothing can be said of its course"
    )]
    StandStill { file: String, episode: u64, still: usize, rows: usize, found: f64 },
    #[error("{file} has {found} frames of episode {episode}, and the data {expected}")]
    FrameCount { file: String, episode: u64, found: usize, expected: usize },
    #[error(
        "frame {frame} of episode {episode} is at {found_s:.3} s in {file}, and at {expected_s:.3} s in the data"
    )]
    FrameTime { file: String, episode: u64, frame: usize, found_s: f64, expected_s: f64 },
    #[error(
        "episode {episode} is said to begin at frame {place:.2} of {file}, between two frames, and by the lengths of the \
         episodes before it at frame {before}; it cannot be counted either, the video has {in_video} frames and its \
         episodes {all}"
    )]
    Boundary { file: String, episode: u64, place: f64, before: u64, in_video: usize, all: u64 },
    #[error("{file} holds no picture of frame {frame} of episode {episode}")]
    NoPicture { file: String, episode: u64, frame: usize },
}

/// A dataset that has been opened: its descriptions are read, its frames are not.
#[derive(Debug)]
pub struct Dataset {
    folder: PathBuf,
    info: Info,
    tasks: Vec<(i64, String)>,
    entries: Vec<EpisodeMeta>,
    problems: Vec<LeRobotError>,
}

impl Dataset {
    /// Whether a folder says that it is a dataset.
    pub fn is_dataset(folder: &Path) -> bool {
        folder.join(info::PLACE).is_file()
    }

    /// Reads what the folder's `meta/` says.
    ///
    /// # Errors
    /// A version that is not read, or descriptions that are missing or damaged.
    pub fn open(folder: &Path) -> Result<Self, LeRobotError> {
        let info = Info::read(folder)?;
        let Described { tasks, entries, problems } = episodes::read(folder, &info)?;
        Ok(Self { folder: folder.to_owned(), info, tasks, entries, problems })
    }

    /// Descriptions that could not be read, and cost the episodes in them.
    pub fn problems(&self) -> &[LeRobotError] {
        &self.problems
    }

    /// The colour cameras.
    pub fn cameras(&self) -> Vec<&CameraFeature> {
        self.info.cameras.iter().filter(|camera| !camera.depth).collect()
    }

    /// The camera that is asked for, or the only one.
    ///
    /// # Errors
    /// No such camera, or several and none asked for: the keys of those that there are.
    pub fn camera(&self, asked: Option<&str>) -> Result<&CameraFeature, LeRobotError> {
        let (folder, cameras) = (self.shown(), self.cameras());
        let keys: Vec<&str> = cameras.iter().map(|camera| camera.key.as_str()).collect();
        let has = keys.join(", ");
        match (asked, &cameras[..]) {
            (Some(asked), _) => match self.info.cameras.iter().find(|camera| camera.key == asked) {
                Some(camera) if camera.depth => Err(LeRobotError::Depth(camera.key.clone())),
                Some(camera) => Ok(camera),
                None if keys.is_empty() => Err(LeRobotError::NoCamera(folder)),
                None => Err(LeRobotError::UnknownCamera { folder, asked: asked.to_owned(), has }),
            },
            (None, []) => Err(LeRobotError::NoCamera(folder)),
            (None, [only]) => Ok(only),
            (None, _) => Err(LeRobotError::SeveralCameras { folder, has }),
        }
    }

    /// The episodes of a camera in the order of their numbers: all, or those chosen. What is wrong with the files of one
    /// shows when it is played.
    ///
    /// # Errors
    /// As [`Self::camera`]; an episode that there is not.
    pub fn episodes(
        &self,
        camera: Option<&str>,
        chosen: Option<&Episodes>,
    ) -> Result<Vec<RecordedEpisode>, LeRobotError> {
        let camera = self.camera(camera)?;
        let known = |number: u64| self.entries.binary_search_by_key(&number, |entry| entry.index).is_ok();
        if let Some(asked) = chosen.and_then(|chosen| chosen.find(|number| !known(number))) {
            let has = match (self.entries.first(), self.entries.last()) {
                (Some(first), Some(last)) => format!("{} to {}", first.index, last.index),
                _ => "none".to_owned(),
            };
            return Err(LeRobotError::UnknownEpisode { folder: self.shown(), asked, has });
        }
        let chosen =
            self.entries.iter().filter(|entry| chosen.is_none_or(|chosen| chosen.contains(entry.index)));
        Ok(chosen.map(|entry| self.episode(entry, camera)).collect())
    }

    /// The rows of an episode in the data files: what its labels are written for.
    ///
    /// # Errors
    /// No such episode, or a data file that cannot be used.
    pub fn rows(&self, episode: u64) -> Result<Rows, LeRobotError> {
        let Ok(place) = self.entries.binary_search_by_key(&episode, |entry| entry.index) else {
            let (folder, has) = (self.shown(), format!("{} episodes", self.entries.len()));
            return Err(LeRobotError::UnknownEpisode { folder, asked: episode, has });
        };
        let entry = &self.entries[place];
        Rows::read(&entry.data_file(&self.folder, &self.info)?, entry, self.info.fps)
    }

    /// What the dataset is, for people and for `topreward inspect`.
    pub fn summary(&self) -> Summary {
        Summary {
            version: self.info.version.to_owned(),
            robot: self.info.robot.clone(),
            fps: self.info.fps,
            episodes: self.entries.len(),
            frames: self.entries.iter().map(|entry| entry.length).sum(),
            tasks: self.tasks.iter().map(|(_, task)| task.clone()).collect(),
            cameras: self.info.cameras.clone(),
        }
    }

    fn shown(&self) -> String {
        self.folder.display().to_string()
    }

    fn episode(&self, entry: &EpisodeMeta, camera: &CameraFeature) -> RecordedEpisode {
        let recorded = footage::Recorded {
            folder: self.folder.clone(),
            info: self.info.clone(),
            entry: entry.clone(),
            camera: camera.key.clone(),
        };
        RecordedEpisode {
            name: format!("episode_{:06}", entry.index),
            index: entry.index,
            instruction: self.instruction(entry),
            footage: match camera.storage {
                Storage::Video => Box::new(VideoFootage(recorded)),
                Storage::Image => Box::new(ImageFootage(recorded)),
            },
        }
    }

    /// The episode's task; of several, that of its first frame, as LeRobot's own labelling takes it.
    fn instruction(&self, entry: &EpisodeMeta) -> Option<String> {
        if let [only] = &entry.tasks[..] {
            return Some(only.clone());
        }
        // A file that cannot be read is an error when the episode is played.
        let number =
            entry.data_file(&self.folder, &self.info).ok().and_then(|file| rows::first_task(&file, entry));
        let task = number.and_then(|number| self.tasks.iter().find(|(index, _)| *index == number));
        let task = task.map(|(_, task)| task).or(entry.tasks.first())?;
        if entry.tasks.len() > 1 {
            log::warn!("episode {} has {} tasks; taken is the first: {task}", entry.index, entry.tasks.len());
        }
        Some(task.clone())
    }
}

/// What a dataset is. As text it is a few lines for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// LeRobot's version of the format.
    pub version: String,
    pub robot: Option<String>,
    /// Frames a second.
    pub fps: f64,
    pub episodes: usize,
    pub frames: u64,
    /// The instructions, each once.
    pub tasks: Vec<String>,
    pub cameras: Vec<CameraFeature>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, robot, fps, episodes, frames, tasks, cameras } = self;
        let robot = robot.as_deref().map(|robot| format!(" of {robot}")).unwrap_or_default();
        writeln!(
            f,
            "LeRobot dataset {version}{robot}: {episodes} episodes, {frames} frames at {fps} Hz, {:.1} s",
            { *frames as f64 / fps }
        )?;
        for camera in cameras {
            writeln!(f, "  camera {camera}")?;
        }
        const SHOWN: usize = 10;
        for task in tasks.iter().take(SHOWN) {
            writeln!(f, "  task \"{task}\"")?;
        }
        if tasks.len() > SHOWN {
            writeln!(f, "  and {} tasks more", tasks.len() - SHOWN)?;
        }
        Ok(())
    }
}
