//! Little episodes of the golden frames.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use serde_json::json;

use crate::common::{command, golden_frames, text, tiny_model, topreward};

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
        let model = tiny_model();
        let arguments = ["score", text(self.path()), "--model", text(&model)];
        topreward(&[&arguments[..], more].concat())
    }

    /// Scores the set by the tiny model into a folder.
    pub fn score(&self, out: &Path, more: &[&str]) -> Output {
        self.score_by(text(&tiny_model()), out, more)
    }

    pub fn score_by(&self, model: &str, out: &Path, more: &[&str]) -> Output {
        let (set, out) = (self.path().to_str().unwrap(), out.to_str().unwrap());
        topreward(&[&["score", "--manifest", set, "--model", model, "--out", out], more].concat())
    }

    /// As [`DataSet::score`], without waiting for its end.
    pub fn begin(&self, out: &Path, more: &[&str]) -> Child {
        let model = tiny_model();
        let arguments = ["score", text(self.path()), "--model", text(&model), "--out", text(out)];
        let mut command = command();
        command.args(arguments).args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}
