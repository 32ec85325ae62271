//! A data set as a file of lines: one JSON object for each episode.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::model::instruction::{InstructionError, InstructionRule};
use crate::random::SplitMix64;

/// Name of the manifest in a data set's folder.
pub const MANIFEST_NAME: &str = "manifest.jsonl";

/// One line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    episode: PathBuf,
    fps: Option<f64>,
    instruction: String,
    success: bool,
    group: Option<String>,
    wrong_instruction: Option<String>,
    completed_s: Option<f64>,
    progress: Option<Vec<f64>>,
}

/// One labelled episode.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledEpisode {
    /// Line in the manifest, from 1.
    pub line: usize,
    /// The episode as the manifest names it.
    pub name: String,
    /// A video file, or a folder of frames if there is `fps`.
    pub path: PathBuf,
    /// Frames a second of a folder.
    pub fps: Option<f64>,
    pub instruction: Arc<str>,
    pub success: bool,
    pub group: Option<String>,
    /// What the robot did not do.
    pub wrong_instruction: Option<Arc<str>>,
    /// When the task was done, seconds since the first frame.
    pub completed_s: Option<f64>,
    /// How far the task really was at each recorded frame, 0 to 1.
    pub progress: Option<Vec<f64>>,
}

/// A line that cannot be used, or whose episode cannot.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file}:{line}: {source}")]
pub struct LineError {
    pub file: String,
    pub line: usize,
    pub source: Arc<LineFault>,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    #[error("{} (column {})", without_line(.0), .0.column())]
    Json(#[from] serde_json::Error),
    #[error("{0} is a folder of frames: \"fps\" is missing")]
    NoRate(String),
    #[error("\"fps\" is {0}, which is not a frame rate")]
    Rate(f64),
    #[error("\"fps\" is for folders of frames; a video has its own")]
    RateOfVideo,
    #[error("there is no video file or folder of frames {0}")]
    Absent(String),
    #[error("\"completed_s\" must be seconds since the first frame")]
    Completed,
    #[error("\"progress\" must be a list of numbers from 0 to 1")]
    Progress,
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    #[error("wrong_instruction: {0}")]
    WrongInstruction(#[source] InstructionError),
    /// Its episode cannot be examined, for this reason.
    #[error("{0}")]
    Episode(String),
}

/// The library's reason without its "line 1", which would be read as the manifest's.
fn without_line(error: &serde_json::Error) -> String {
    error.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read the manifest {file}: {source}")]
    Read { file: String, source: std::io::Error },
}

/// The usable lines of a manifest, and what is wrong with the others.
#[derive(Debug)]
pub struct Manifest {
    pub file: PathBuf,
    pub entries: Vec<LabelledEpisode>,
    pub errors: Vec<LineError>,
}

impl Manifest {
    /// Reads a manifest, or the one in a folder. Paths in it are relative to where it lies.
    ///
    /// # Errors
    /// A file that cannot be read; what is wrong with single lines stands in [`Manifest::errors`].
    pub fn read(dataset: &Path) -> Result<Self, ManifestError> {
        let file = if dataset.is_dir() { dataset.join(MANIFEST_NAME) } else { dataset.to_owned() };
        let bytes = std::fs::read(&file)
            .map_err(|source| ManifestError::Read { file: file.display().to_string(), source })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let mut manifest = Self { file: file.clone(), entries: Vec::new(), errors: Vec::new() };
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match entry(folder, index + 1, line) {
                Ok(entry) => manifest.entries.push(entry),
                Err(fault) => manifest.errors.push(manifest.error(index + 1, fault)),
            }
        }
        Ok(manifest)
    }

    /// An error that names a line of this manifest.
    pub fn error(&self, line: usize, fault: LineFault) -> LineError {
        LineError { file: self.file.display().to_string(), line, source: Arc::new(fault) }
    }

    /// Gives the successes that name no wrong instruction that of another episode, where there is another. The choice
    /// depends on the seed and the manifest alone.
    pub fn choose_wrong_instructions(&mut self, seed: u64) {
        let known: Vec<Arc<str>> = self.entries.iter().map(|entry| entry.instruction.clone()).collect();
        for entry in &mut self.entries {
            if !entry.success || entry.wrong_instruction.is_some() {
                continue;
            }
            let own = plain(&entry.instruction);
            let others: Vec<&Arc<str>> = known.iter().filter(|other| plain(other) != own).collect();
            // A generator for each line: one line more does not change the choices of the others' places.
            let mut random = SplitMix64::new(seed.wrapping_add((entry.line as u64) << 32));
            entry.wrong_instruction = others.get(random.below(others.len())).map(|&other| other.clone());
        }
    }
}

/// What two spellings of one instruction have in common.
fn plain(instruction: &str) -> String {
    let words: Vec<String> = instruction.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

fn entry(folder: &Path, number: usize, text: &[u8]) -> Result<LabelledEpisode, LineFault> {
    let line: Line = serde_json::from_slice(text)?;
    let path = folder.join(&line.episode);
    let shown = || path.display().to_string();
    match (path.is_dir(), path.is_file(), line.fps) {
        (true, _, None) => return Err(LineFault::NoRate(shown())),
        (true, _, Some(fps)) if !(fps > 0.0 && fps.is_finite()) => {
            return Err(LineFault::Rate(fps));
        }
        (_, true, Some(_)) => return Err(LineFault::RateOfVideo),
        (false, false, _) => return Err(LineFault::Absent(shown())),
        _ => {}
    }
    if line.completed_s.is_some_and(|seconds| !(seconds >= 0.0 && seconds.is_finite())) {
        return Err(LineFault::Completed);
    }
    if line.progress.iter().flatten().any(|progress| !(0.0..=1.0).contains(progress)) {
        return Err(LineFault::Progress);
    }
    let rule = InstructionRule::default();
    let instruction = rule.accept(&line.instruction)?;
    let wrong_instruction = (line.wrong_instruction.map(|wrong| rule.accept(&wrong)).transpose())
        .map_err(LineFault::WrongInstruction)?;
    Ok(LabelledEpisode {
        line: number,
        name: line.episode.display().to_string(),
        path,
        fps: line.fps,
        instruction,
        success: line.success,
        group: line.group,
        wrong_instruction,
        completed_s: line.completed_s,
        progress: line.progress,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(lines: &[&str]) -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("frames")).unwrap();
        std::fs::write(folder.path().join("a.mp4"), b"video").unwrap();
        std::fs::write(folder.path().join(MANIFEST_NAME), lines.join("\n")).unwrap();
        let manifest = Manifest::read(folder.path()).unwrap();
        (folder, manifest)
    }

    #[test]
    fn lines_become_episodes_relative_to_the_manifest() {
        let (folder, manifest) = dataset(&[
            r#"{"episode": "frames", "fps": 2, "instruction": " lift\n it ", "success": true, "group": "g"}"#,
            "",
            r#"{"episode": "a.mp4", "instruction": "push", "success": false, "wrong_instruction": "pull"}"#,
        ]);
        assert!(manifest.errors.is_empty());
        let [first, second] = &manifest.entries[..] else { panic!("{manifest:?}") };
        assert_eq!((first.line, first.fps, &*first.instruction), (1, Some(2.0), "lift it"));
        assert_eq!(first.group.as_deref(), Some("g"));
        assert_eq!((second.line, second.path.clone()), (3, folder.path().join("a.mp4")));
        assert_eq!(second.wrong_instruction.as_deref(), Some("pull"));
        let by_file = Manifest::read(&folder.path().join(MANIFEST_NAME)).unwrap();
        assert_eq!(by_file.entries, manifest.entries);
    }

    #[test]
    fn each_bad_line_is_named_and_the_rest_is_kept() {
        let (_folder, manifest) = dataset(&[
            "no json",
            r#"{"episode": "absent.mp4", "instruction": "push", "success": true}"#,
            r#"{"episode": "frames", "instruction": "push", "success": true}"#,
            r#"{"episode": "frames", "fps": -1, "instruction": "push", "success": true}"#,
            r#"{"episode": "a.mp4", "fps": 2, "instruction": "push", "success": true}"#,
            r#"{"episode": "a.mp4", "instruction": "push", "sucess": true}"#,
            r#"{"episode": "a.mp4", "instruction": " ", "success": true}"#,
            r#"{"episode": "a.mp4", "instruction": "push", "success": true, "completed_s": -1}"#,
            r#"{"episode": "a.mp4", "instruction": "push", "success": true, "progress": [0, 1.5]}"#,
            r#"{"episode": "a.mp4", "instruction": "push", "success": true}"#,
        ]);
        assert_eq!(manifest.entries.len(), 1);
        let found: Vec<String> = manifest.errors.iter().map(LineError::to_string).collect();
        let words = [
            "column",
            "absent.mp4",
            "\"fps\"",
            "-1",
            "a video",
            "sucess",
            "empty",
            "completed_s",
            "progress",
        ];
        for (index, word) in words.into_iter().enumerate() {
            let place = format!("{MANIFEST_NAME}:{}: ", index + 1);
            assert!(found[index].contains(&place) && found[index].contains(word), "{}", found[index]);
        }
        let none = Manifest::read(Path::new("/no/such/set")).unwrap_err();
        assert!(none.to_string().contains("/no/such/set"));
    }

    #[test]
    fn wrong_instructions_are_anothers_and_the_same_again() {
        let line = |instruction: &str, success: bool| {
            format!(r#"{{"episode": "a.mp4", "instruction": "{instruction}", "success": {success}}}"#)
        };
        let lines = [line("Push.", true), line("push", true), line("lift", false), line("turn", true)];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let chosen = |seed| -> Vec<Option<String>> {
            let (_folder, mut manifest) = dataset(&lines);
            manifest.choose_wrong_instructions(seed);
            manifest.entries.iter().map(|e| e.wrong_instruction.as_deref().map(str::to_owned)).collect()
        };
        let first = chosen(1);
        assert_eq!(first, chosen(1));
        for wrong in &first[..2] {
            assert!(matches!(wrong.as_deref(), Some("lift" | "turn")), "{wrong:?}");
        }
        assert_eq!(first[2], None, "failures need none");
        assert!((2..20).any(|seed| chosen(seed) != first));
        let (_folder, mut alone) = dataset(&lines[..2]);
        alone.choose_wrong_instructions(1);
        assert!(alone.entries.iter().all(|entry| entry.wrong_instruction.is_none()));
    }
}
