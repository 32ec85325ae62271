//! Little episodes of the golden frames, and the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

pub const TASK: &str = "put the red cube in the bowl";

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn tiny_model() -> String {
    repository().join("tests/golden/tied").to_str().unwrap().to_owned()
}

pub fn golden_frames() -> PathBuf {
    repository().join("tests/golden/frames/aligned")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topreward"));
    command.args(arguments);
    command
}

pub fn topreward(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
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

pub fn json(output: &Output) -> Value {
    ended(output, 0, &[]);
    serde_json::from_slice(&output.stdout).unwrap()
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

/// A data set of episodes that all differ: the golden frames from different places on, with different lengths and
/// instructions.
pub struct DataSet {
    folder: tempfile::TempDir,
}

impl DataSet {
    pub fn new(episodes: usize) -> Self {
        let set = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(set.manifest(), "").unwrap();
        (0..episodes).for_each(|index| set.add_episode(index));
        set
    }

    pub fn frames(index: usize) -> usize {
        6 + index % 5
    }

    pub fn instruction(index: usize) -> String {
        format!("put the cube number {index} in the bowl")
    }

    pub fn add_episode(&self, index: usize) {
        let name = format!("episode_{index:03}");
        let folder = self.path().join(&name);
        std::fs::create_dir(&folder).unwrap();
        for place in 0..Self::frames(index) {
            let from = golden_frames().join(format!("{}.png", (index + place * (1 + index % 3)) % 7));
            std::fs::copy(from, folder.join(format!("{place}.png"))).unwrap();
        }
        let line =
            json!({"episode": name, "fps": 2, "instruction": Self::instruction(index), "success": true});
        self.add_lines(&[&line.to_string()]);
    }

    pub fn add_lines(&self, lines: &[&str]) {
        let text = std::fs::read_to_string(self.manifest()).unwrap();
        std::fs::write(self.manifest(), format!("{text}{}\n", lines.join("\n"))).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn manifest(&self) -> PathBuf {
        self.path().join("manifest.jsonl")
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.path().join("outs").join(name)
    }

    /// Scores the set by the tiny model.
    pub fn run(&self, more: &[&str]) -> Output {
        let arguments = ["score", self.path().to_str().unwrap(), "--model", &tiny_model()];
        topreward(&[&arguments[..], more].concat())
    }

    /// Scores the set by the tiny model into a folder.
    pub fn score(&self, out: &Path, more: &[&str]) -> Output {
        self.score_by(&tiny_model(), out, more)
    }

    pub fn score_by(&self, model: &str, out: &Path, more: &[&str]) -> Output {
        let (set, out) = (self.path().to_str().unwrap(), out.to_str().unwrap());
        topreward(&[&["score", "--manifest", set, "--model", model, "--out", out], more].concat())
    }

    /// As [`DataSet::score`], without waiting for its end.
    pub fn begin(&self, out: &Path, more: &[&str]) -> Child {
        let (set, out, model) = (self.path().to_str().unwrap(), out.to_str().unwrap(), tiny_model());
        let arguments = ["score", set, "--model", &model, "--out", out];
        let mut command = command(&[&arguments[..], more].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}
