//! Which episodes there are, what their tasks are and where their frames lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::LeRobotError;
use super::boundary::Boundary;
use super::info::{Info, Storage, Version, read_limited};
use crate::offline::columns::Table;

/// Tasks by their numbers, and episodes in the order of theirs.
pub(super) type Described = (Vec<(i64, String)>, Vec<EpisodeMeta>);

/// One episode.
#[derive(Debug, Clone)]
pub(super) struct EpisodeMeta {
    pub index: u64,
    pub tasks: Vec<String>,
    /// Frames.
    pub length: u64,
    /// Chunk and file of its data; in v2.1 they follow from its number.
    data: Option<(u64, u64)>,
    /// Where each camera's video of it lies in v3.0.
    pub videos: Vec<VideoPart>,
}

/// The part of a video file that is one episode's.
#[derive(Debug, Clone)]
pub(super) struct VideoPart {
    pub camera: String,
    pub chunk: u64,
    pub file: u64,
    pub boundary: Boundary,
}

impl EpisodeMeta {
    pub fn data_file(&self, folder: &Path, info: &Info) -> Result<PathBuf, LeRobotError> {
        info.place(folder, &info.data_path, "", &self.numbers(info, self.data))
    }

    /// The file of a camera's video, and which part of it is this episode's: `None` for the whole file.
    pub fn video(
        &self,
        folder: &Path,
        info: &Info,
        camera: &str,
    ) -> Result<(PathBuf, Option<Boundary>), LeRobotError> {
        let unknown = || LeRobotError::NoPlace {
            file: folder.join("meta").display().to_string(),
            what: format!("video of {camera}"),
            episode: self.index,
        };
        let template = info.video_path.as_deref().ok_or_else(unknown)?;
        let place = match info.format {
            Version::FilePerEpisode => None,
            Version::SharedFiles => {
                Some(self.videos.iter().find(|place| place.camera == camera).ok_or_else(unknown)?)
            }
        };
        let numbers = self.numbers(info, place.map(|place| (place.chunk, place.file)));
        let file = info.place(folder, template, camera, &numbers)?;
        Ok((file, place.map(|place| place.boundary)))
    }

    fn numbers(&self, info: &Info, place: Option<(u64, u64)>) -> [(&'static str, u64); 4] {
        let (chunk, file) = place.unwrap_or_default();
        let own = [("episode_chunk", self.index / info.chunk), ("episode_index", self.index)];
        [own[0], own[1], ("chunk_index", chunk), ("file_index", file)]
    }
}

/// Reads the descriptions of all episodes.
pub(super) fn read(folder: &Path, info: &Info) -> Result<Described, LeRobotError> {
    let (tasks, mut entries) = match info.format {
        Version::FilePerEpisode => read_lines(folder)?,
        Version::SharedFiles => (read_tasks(folder)?, read_tables(folder, info)?),
    };
    entries.sort_by_key(|entry| entry.index);
    count_before(&mut entries);
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].index == pair[1].index) {
        let file = folder.join("meta").display().to_string();
        return Err(LeRobotError::Json { file, reason: format!("it has episode {} twice", pair[0].index) });
    }
    Ok((tasks, entries))
}

/// Counts the frames before each episode in each video file. The episodes of a file lie there in the order of their times.
fn count_before(entries: &mut [EpisodeMeta]) {
    let mut files: BTreeMap<(String, u64, u64), Vec<(usize, usize)>> = BTreeMap::new();
    for (row, entry) in entries.iter().enumerate() {
        for (part, video) in entry.videos.iter().enumerate() {
            files.entry((video.camera.clone(), video.chunk, video.file)).or_default().push((row, part));
        }
    }
    for parts in files.values_mut() {
        parts.sort_by(|a, b| {
            let from_s = |(row, part): (usize, usize)| entries[row].videos[part].boundary.from_s;
            from_s(*a).total_cmp(&from_s(*b))
        });
        let all = parts.iter().map(|(row, _)| entries[*row].length).sum();
        let mut before = 0;
        for (row, part) in parts {
            let frames = entries[*row].length;
            let boundary = &mut entries[*row].videos[*part].boundary;
            (boundary.before, boundary.frames, boundary.all) = (before, frames, all);
            before += frames;
        }
    }
}

#[derive(Deserialize)]
struct TaskLine {
    task_index: i64,
    task: String,
}

#[derive(Deserialize)]
struct EpisodeLine {
    episode_index: u64,
    #[serde(default)]
    tasks: Vec<String>,
    length: u64,
}

fn read_lines(folder: &Path) -> Result<Described, LeRobotError> {
    let tasks: Vec<TaskLine> = lines(&folder.join("meta/tasks.jsonl"))?;
    let episodes: Vec<EpisodeLine> = lines(&folder.join("meta/episodes.jsonl"))?;
    let entry = |line: EpisodeLine| {
        let EpisodeLine { episode_index, tasks, length } = line;
        EpisodeMeta { index: episode_index, tasks, length, data: None, videos: Vec::new() }
    };
    let tasks = tasks.into_iter().map(|line| (line.task_index, line.task)).collect();
    Ok((tasks, episodes.into_iter().map(entry).collect()))
}

fn lines<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Vec<T>, LeRobotError> {
    let bytes = read_limited(file)?;
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let parsed = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(number, line)| {
        serde_json::from_slice(line).map_err(|error| {
            let (file, error) = (file.display().to_string(), error.to_string());
            let reason = error.split(" at line ").next().unwrap_or_default();
            LeRobotError::Json { file: format!("{file}:{}", number + 1), reason: reason.to_owned() }
        })
    });
    parsed.collect()
}

fn read_tasks(folder: &Path) -> Result<Vec<(i64, String)>, LeRobotError> {
    let table = Table::open(&folder.join("meta/tasks.parquet"))?;
    let numbers = table.integers("task_index", 0..table.rows())?;
    // The task is the data frame's index: named in newer files, unnamed in older ones.
    let name = if table.has("task") { "task" } else { "__index_level_0__" };
    let texts = table.texts(name)?.into_iter().map(|texts| texts.into_iter().next().unwrap_or_default());
    Ok(numbers.into_iter().zip(texts).collect())
}

fn read_tables(folder: &Path, info: &Info) -> Result<Vec<EpisodeMeta>, LeRobotError> {
    let mut files = Vec::new();
    find_tables(&folder.join("meta/episodes"), 0, &mut files)?;
    files.sort();
    let mut entries = Vec::new();
    for file in files {
        read_table(&file, info, &mut entries)?;
    }
    Ok(entries)
}

/// All parquet files below a folder; the format has them two deep.
fn find_tables(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), LeRobotError> {
    let unreadable = |source| LeRobotError::Read { file: folder.display().to_string(), source };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() && depth < 3 {
            find_tables(&path, depth + 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(())
}

fn read_table(file: &Path, info: &Info, entries: &mut Vec<EpisodeMeta>) -> Result<(), LeRobotError> {
    let table = Table::open(file)?;
    let unsigned = |column: &str| -> Result<Vec<u64>, LeRobotError> {
        let numbers = table.integers(column, 0..table.rows())?;
        let number = |number: i64| {
            u64::try_from(number).map_err(|_| LeRobotError::Json {
                file: file.display().to_string(),
                reason: format!("its column \"{column}\" has {number}"),
            })
        };
        numbers.into_iter().map(number).collect()
    };
    let (numbers, lengths) = (unsigned("episode_index")?, unsigned("length")?);
    let (chunks, files) = (unsigned("data/chunk_index")?, unsigned("data/file_index")?);
    let tasks = if table.has("tasks") { table.texts("tasks")? } else { vec![Vec::new(); table.rows()] };
    let first = entries.len();
    for (row, tasks) in tasks.into_iter().enumerate() {
        let data = Some((chunks[row], files[row]));
        entries.push(EpisodeMeta {
            index: numbers[row],
            tasks,
            length: lengths[row],
            data,
            videos: Vec::new(),
        });
    }
    for camera in info.cameras.iter().filter(|camera| camera.storage == Storage::Video) {
        let column = |part: &str| format!("videos/{}/{part}", camera.key);
        // One camera that is not described must not keep the others from being read.
        if !table.has(&column("from_timestamp")) {
            continue;
        }
        let (chunks, files) = (unsigned(&column("chunk_index"))?, unsigned(&column("file_index"))?);
        let from_s = table.numbers(&column("from_timestamp"), 0..table.rows())?;
        let to_s = table.numbers(&column("to_timestamp"), 0..table.rows())?;
        for (row, entry) in entries[first..].iter_mut().enumerate() {
            let camera = camera.key.clone();
            let (chunk, file, from_s, to_s) = (chunks[row], files[row], from_s[row], to_s[row]);
            let boundary = Boundary { from_s, to_s, ..Boundary::default() };
            entry.videos.push(VideoPart { camera, chunk, file, boundary });
        }
    }
    Ok(())
}
