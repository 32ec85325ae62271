//! Which episodes there are, what their tasks are and where their frames lie.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::LeRobotError;
use super::boundary::Boundary;
use super::info::{Info, Storage, Version, read_limited};
use crate::files;
use crate::offline::columns::Table;

/// What the descriptions say.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// By their numbers.
    pub tasks: Vec<(i64, String)>,
    /// In the order of their numbers.
    pub entries: Vec<EpisodeMeta>,
    /// What could not be read, and cost the episodes in it alone.
    pub problems: Vec<LeRobotError>,
}

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
    /// The file that holds its rows. In v3.0 the place that is written down may be stale (merged and converted datasets),
    /// and LeRobot does not read it: what has no row of the episode is not its file, and another that has is.
    pub fn data_file(&self, folder: &Path, info: &Info) -> Result<PathBuf, LeRobotError> {
        let announced = info.place(folder, &info.data_path, "", &self.numbers(info, self.data))?;
        if info.format == Version::FilePerEpisode || self.lies_in(&announced) {
            return Ok(announced);
        }
        let mut files = Vec::new();
        // What cannot be listed has no such file either; the announced one's own error says more.
        let _ = find_tables(&folder.join("data"), 0, &mut files);
        files.sort();
        match files.into_iter().find(|file| *file != announced && self.lies_in(file)) {
            Some(found) => {
                log::info!(
                    "episode {} lies in {}, not in {}, as the dataset says",
                    self.index,
                    found.display(),
                    announced.display()
                );
                Ok(found)
            }
            None => Ok(announced),
        }
    }

    fn lies_in(&self, file: &Path) -> bool {
        let rows = |table: Table| table.rows_with("episode_index", i64::try_from(self.index).ok()?).ok();
        Table::open(file).ok().and_then(rows).is_some_and(|rows| !rows.is_empty())
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
///
/// # Errors
/// Descriptions that are missing, or of which nothing can be read.
pub(super) fn read(folder: &Path, info: &Info) -> Result<Described, LeRobotError> {
    let mut described = match info.format {
        Version::FilePerEpisode => read_lines(folder)?,
        Version::SharedFiles => read_tables(folder, info)?,
    };
    if described.entries.is_empty() && !described.problems.is_empty() {
        return Err(described.problems.swap_remove(0));
    }
    described.entries.sort_by_key(|entry| entry.index);
    count_before(&mut described.entries);
    let same = |pair: &[EpisodeMeta]| (pair[0].index == pair[1].index).then_some(pair[0].index);
    let mut twice: Vec<u64> = described.entries.windows(2).filter_map(same).collect();
    twice.dedup();
    for episode in twice {
        let file = folder.join("meta").display().to_string();
        let reason = format!("it has episode {episode} twice, which is left out");
        described.problems.push(LeRobotError::Json { file, reason });
        described.entries.retain(|entry| entry.index != episode);
    }
    Ok(described)
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
    tasks: Tasks,
    length: u64,
}

/// Several, or one by itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tasks {
    One(String),
    Several(Vec<String>),
}

impl Default for Tasks {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

fn read_lines(folder: &Path) -> Result<Described, LeRobotError> {
    let mut problems = Vec::new();
    let tasks: Vec<TaskLine> = lines(&folder.join("meta/tasks.jsonl"), &mut problems)?;
    let episodes: Vec<EpisodeLine> = lines(&folder.join("meta/episodes.jsonl"), &mut problems)?;
    let entry = |line: EpisodeLine| {
        let EpisodeLine { episode_index, tasks, length } = line;
        let tasks = match tasks {
            Tasks::One(task) => vec![task],
            Tasks::Several(tasks) => tasks,
        };
        EpisodeMeta { index: episode_index, tasks, length, data: None, videos: Vec::new() }
    };
    let tasks = tasks.into_iter().map(|line| (line.task_index, line.task)).collect();
    Ok(Described { tasks, entries: episodes.into_iter().map(entry).collect(), problems })
}

/// The lines of a file. One that cannot be read is a problem of that line alone.
fn lines<T: for<'de> Deserialize<'de>>(
    file: &Path,
    problems: &mut Vec<LeRobotError>,
) -> Result<Vec<T>, LeRobotError> {
    let text = read_limited(file)?;
    let mut parsed = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(line) => parsed.push(line),
            Err(error) => {
                let (file, error) = (file.display().to_string(), error.to_string());
                let reason = error.split(" at line ").next().unwrap_or_default().to_owned();
                problems.push(LeRobotError::Json { file: format!("{file}:{}", number + 1), reason });
            }
        }
    }
    Ok(parsed)
}

fn read_tasks(folder: &Path) -> Result<Vec<(i64, String)>, LeRobotError> {
    let table = Table::open(&folder.join("meta/tasks.parquet"))?;
    let numbers = table.integers("task_index", 0..table.rows())?;
    // The task is the data frame's index: named in newer files, unnamed in older ones.
    let name = if table.has("task") { "task" } else { "__index_level_0__" };
    let texts = table.texts(name)?.into_iter().map(|texts| texts.into_iter().next().unwrap_or_default());
    Ok(numbers.into_iter().zip(texts).collect())
}

fn read_tables(folder: &Path, info: &Info) -> Result<Described, LeRobotError> {
    let mut files = Vec::new();
    find_tables(&folder.join("meta/episodes"), 0, &mut files).map_err(|error| match error {
        LeRobotError::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
            LeRobotError::Unfinished(folder.display().to_string())
        }
        other => other,
    })?;
    files.sort();
    let mut described = Described { tasks: read_tasks(folder)?, ..Described::default() };
    for file in files {
        match read_table(&file, info) {
            Ok(entries) => described.entries.extend(entries),
            Err(problem) => described.problems.push(problem),
        }
    }
    Ok(described)
}

/// All parquet files below a folder, but hidden ones; the format has them two deep.
fn find_tables(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), LeRobotError> {
    let unreadable = |source| LeRobotError::Read { file: folder.display().to_string(), source };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if files::is_hidden(&path) {
            continue;
        }
        if path.is_dir() && depth < 3 {
            find_tables(&path, depth + 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(())
}

fn read_table(file: &Path, info: &Info) -> Result<Vec<EpisodeMeta>, LeRobotError> {
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
    let mut entries = Vec::new();
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
        for (row, entry) in entries.iter_mut().enumerate() {
            let camera = camera.key.clone();
            let (chunk, file, from_s, to_s) = (chunks[row], files[row], from_s[row], to_s[row]);
            let boundary = Boundary { from_s, to_s, ..Boundary::default() };
            entry.videos.push(VideoPart { camera, chunk, file, boundary });
        }
    }
    Ok(entries)
}
