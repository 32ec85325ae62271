//! Recordings of rosbag2 as episodes, without ROS: MCAP and SQLite files, single or split, whole or truncated.
//!
//! A bag is read once from its beginning to its end, and only where each message lies is kept; frames are read again when
//! an episode is played.

mod camera;
mod cdr;
mod chunk;
mod folder;
mod index;
mod instruction;
mod mcap_file;
mod segmentation;
mod sqlite_file;
mod storage;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use index::{Index, Topic};
use storage::Storage;

pub use folder::is_bag;
pub use segmentation::{Cut, Span, SpanError, Spans};
pub use summary::{BagSummary, TopicSummary, Use, summary};

use super::RecordedEpisode;
use crate::episode::{ClockStep, StampRule, StampSource};
use camera::{CameraTopic, Film};

/// Why a bag cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{path} cannot be read as a rosbag2 recording: {reason}")]
    NoBag { path: String, reason: String },
    #[error("cannot read {file}: {source}")]
    Sqlite { file: String, source: rusqlite::Error },
    #[error("cannot unpack {file}: {source}")]
    Unpack { file: String, source: std::io::Error },
    #[error("{0} was replaced while it was being read")]
    Changed(String),
    #[error("{bag} has no topic {topic}: {there}")]
    NoTopic { bag: String, topic: String, there: String },
    #[error("the topic {topic} of {bag} is of {type_name} ({encoding}), but {wanted}")]
    WrongType { bag: String, topic: String, type_name: String, encoding: String, wanted: &'static str },
    #[error("{bag} has no images that are understood (sensor_msgs/msg/Image or CompressedImage): {there}")]
    NoImages { bag: String, there: String },
    #[error("{bag} has the images of several cameras; name one with --topic: {there}")]
    SeveralCameras { bag: String, there: String },
    #[error("none of the {count} images on {topic} of {bag} can be used; the first: {reason}")]
    BadImages { bag: String, topic: String, count: u64, reason: String },
    #[error(
        "image {number} of {name} on {topic}: {step}: its clock was set, so it is not one episode; cut it there (--cut), or \
         take the times of its recording (--stamps receipt)"
    )]
    ClockStep { name: String, topic: String, number: usize, step: ClockStep },
    #[error("there is no frame on {topic} in any of the episodes of {bag}; as one episode: --whole-bag")]
    NoEpisodes { bag: String, topic: String },
}

impl BagError {
    fn read(file: &Path, source: std::io::Error) -> Self {
        Self::Read { file: file.display().to_string(), source }
    }

    fn changed(file: &Path) -> Self {
        Self::Changed(file.display().to_string())
    }
}

/// What is to be made of a bag.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The topic of the camera; none: the only one.
    pub camera: Option<String>,
    pub cut: Cut,
    /// Where the times of the images come from: their headers, or the bag.
    pub stamps: StampSource,
    /// Which of them are believed.
    pub rule: StampRule,
    /// The topic of the instruction; none: the only one by the name `instruction`.
    pub instruction: Option<String>,
}

/// The episodes of a bag.
pub struct BagEpisodes {
    /// In order of time, numbered from 0.
    pub episodes: Vec<RecordedEpisode>,
    /// What was chosen where nothing was asked for, one line each.
    pub notes: Vec<String>,
    /// What could not be used, one line each.
    pub problems: Vec<String>,
}

/// A recording whose contents are known.
pub struct Bag {
    path: PathBuf,
    files: Arc<[Box<dyn Storage>]>,
    /// "mcap" or "sqlite3"
    storage: &'static str,
    index: Index,
}

impl Bag {
    /// Opens one .mcap or .db3 file, or a folder with its metadata.yaml, and reads through it.
    ///
    /// # Errors
    /// It is no bag, or nothing of it can be read.
    pub fn open(path: &Path) -> Result<Self, BagError> {
        let folder::Files { storages, storage, problems } = folder::files(path)?;
        let mut index = Index::default();
        index.problems = problems;
        let single = storages.len() == 1;
        for (number, file) in storages.iter().enumerate() {
            match file.scan(u32::try_from(number).unwrap_or(u32::MAX), &mut index) {
                Err(error) if single => return Err(error),
                Err(error) => index.problems.push(error.to_string()),
                Ok(()) => {}
            }
        }
        index.sort();
        Ok(Self { path: path.to_owned(), files: storages.into(), storage, index })
    }

    /// The episodes that the bag is cut into.
    ///
    /// # Errors
    /// A topic that is absent or of another type, no camera or several of them, or no frame in any episode.
    pub fn episodes(&self, choice: &Choice) -> Result<BagEpisodes, BagError> {
        let mut report = Report { notes: Vec::new(), problems: self.index.problems.clone() };
        let camera = CameraTopic::choose(self, choice, &mut report)?;
        let pieces = segmentation::pieces(self, &camera, &choice.cut, &mut report)?;
        let topic = instruction::topic(self, choice.instruction.as_deref(), &mut report)?;
        let whole = pieces.len() == 1 && pieces[0].whole;
        let (mut episodes, mut empty) = (Vec::new(), Vec::new());
        for piece in pieces {
            let Some(first) = piece.entries.first() else {
                empty.push(format!("{} has no frame and is left out", piece.what));
                continue;
            };
            let from_topic = topic.as_ref().and_then(|topic| topic.at(first.log_ns, piece.until_ns()));
            let instruction = match choice.instruction {
                Some(_) => from_topic,
                None => piece.instruction.clone().or(from_topic),
            };
            let index = episodes.len() as u64;
            let name = if whole { self.name() } else { format!("{}-{index:03}", self.name()) };
            let footage = Box::new(Film::new(self, &camera, piece.entries, name.clone()));
            episodes.push(RecordedEpisode { name, index, instruction, footage });
        }
        report.problems.extend(first_of(&self.shown(), empty));
        if episodes.is_empty() {
            return Err(BagError::NoEpisodes { bag: self.shown(), topic: camera.topic.name.to_string() });
        }
        let Report { notes, problems } = report;
        Ok(BagEpisodes { episodes, notes, problems })
    }

    /// The file's name without its endings.
    fn name(&self) -> String {
        let name = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let endings = [".zstd", ".mcap", ".db3"];
        endings.iter().fold(name, |name, ending| name.strip_suffix(ending).unwrap_or(&name).to_owned())
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The topic of this name; with or without its first slash.
    fn topic(&self, name: &str) -> Result<&Topic, BagError> {
        let same = |topic: &&Topic| topic.name.trim_start_matches('/') == name.trim_start_matches('/');
        // Of two types under one name, the one that is understood.
        let named = || self.index.topics.iter().filter(same);
        let topic = named().find(|topic| topic.kind != index::Kind::Other).or_else(|| named().next());
        topic.ok_or_else(|| BagError::NoTopic {
            bag: self.shown(),
            topic: name.to_owned(),
            there: list(self.index.topics.iter()),
        })
    }

    fn wrong_type(&self, topic: &Topic, wanted: &'static str) -> BagError {
        BagError::WrongType {
            bag: self.shown(),
            topic: topic.name.to_string(),
            type_name: topic.type_name.clone(),
            encoding: topic.encoding.clone(),
            wanted,
        }
    }

    /// The messages of a topic that could be read, each with the time of its recording in nanoseconds.
    fn read<'a, T>(
        &'a self,
        topic: &'a Topic,
        decode: impl Fn(&[u8]) -> Result<T, cdr::CdrError>,
        report: &mut Report,
    ) -> Result<Vec<(i64, T)>, BagError> {
        let mut reader = camera::Reader::new(self.files.clone());
        let (mut messages, mut refused) = (Vec::new(), Vec::new());
        for entry in &topic.entries {
            let stored = reader.read(entry)?;
            match cdr::unpacked(&stored).and_then(|payload| decode(&payload)) {
                Ok(message) => messages.push((entry.log_ns, message)),
                Err(error) => refused.push(format!("a message on {} cannot be used: {error}", topic.name)),
            }
        }
        report.problems.extend(first_of(&self.shown(), refused));
        Ok(messages)
    }
}

/// What the user is to know, one line each: what was chosen where nothing was asked for, and what could not be used.
struct Report {
    notes: Vec<String>,
    problems: Vec<String>,
}

/// One line about things of one sort: the first of them, and how many more there are.
fn first_of(bag: &str, lines: Vec<String>) -> Option<String> {
    let first = lines.first()?;
    Some(match lines.len() {
        1 => format!("{bag}: {first}"),
        many => format!("{bag}: {first} (and {} more like this)", many - 1),
    })
}

/// The most topics that an error lists.
const LISTED: usize = 20;

/// "it has /a (type, 3 messages), /b (…)".
fn list<'a>(topics: impl Iterator<Item = &'a Topic>) -> String {
    let one = |topic: &Topic| {
        let Topic { name, type_name, encoding, messages, .. } = topic;
        let encoding = if encoding == "cdr" { String::new() } else { format!(" in {encoding}") };
        format!("{name} ({type_name}{encoding}, {messages} messages)")
    };
    let topics: Vec<String> = topics.map(one).collect();
    match topics.len() {
        0 => "it has no topic at all".to_owned(),
        many if many > LISTED => format!("it has {} and {} more", topics[..LISTED].join(", "), many - LISTED),
        _ => format!("it has {}", topics.join(", ")),
    }
}

#[cfg(test)]
mod tests;
