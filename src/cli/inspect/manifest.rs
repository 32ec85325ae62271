//! A data set of labelled episodes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::findings::{Findings, counted};
use crate::offline::evaluation::{LabelledEpisode, Manifest};

/// Episodes by their label.
#[derive(Default)]
struct Labels {
    successes: usize,
    failures: usize,
}

impl Labels {
    fn of<'a>(entries: impl Iterator<Item = &'a LabelledEpisode>) -> Self {
        let mut labels = Self::default();
        entries.for_each(|entry| labels.count(entry.success));
        labels
    }

    fn count(&mut self, success: bool) {
        *(if success { &mut self.successes } else { &mut self.failures }) += 1;
    }

    fn json(&self) -> Value {
        json!({ "successes": self.successes, "failures": self.failures })
    }

    fn shown(&self) -> String {
        let successes = counted(self.successes, "success", "successes");
        format!("{successes}, {}", counted(self.failures, "failure", "failures"))
    }
}

pub fn findings(path: &Path) -> Result<Findings> {
    let manifest = Manifest::read(path)?;
    let entries = &manifest.entries;
    let mut found = Findings::new("manifest", "a data set of labelled episodes");
    found.plain("manifest", manifest.file.display().to_string());
    found.plain("episodes", entries.len());
    let labels = Labels::of(entries.iter());
    found.add("labels", labels.json(), labels.shown());
    let mut groups: BTreeMap<&str, Labels> = BTreeMap::new();
    let mut instructions: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        groups.entry(entry.group.as_deref().unwrap_or("(none)")).or_default().count(entry.success);
        *instructions.entry(&entry.instruction).or_default() += 1;
    }
    let lines: Vec<String> =
        groups.iter().map(|(name, labels)| format!("{name}: {}", labels.shown())).collect();
    let object: serde_json::Map<_, _> =
        groups.iter().map(|(name, labels)| ((*name).to_owned(), labels.json())).collect();
    found.add("groups", object, lines.join("\n"));
    let lines: Vec<String> =
        instructions.iter().map(|(text, count)| format!("{count} × \"{text}\"")).collect();
    found.add("instructions", json!(instructions), lines.join("\n"));
    let folders = entries.iter().filter(|entry| entry.fps.is_some()).count();
    let videos = entries.len() - folders;
    let sources =
        format!("{}, {}", counted(videos, "video", "videos"), counted(folders, "folder", "folders"));
    found.add("sources", json!({ "videos": videos, "folders": folders }), sources);
    found
        .plain("with_time_of_completion", entries.iter().filter(|entry| entry.completed_s.is_some()).count());
    found.plain(
        "with_wrong_instruction",
        entries.iter().filter(|entry| entry.wrong_instruction.is_some()).count(),
    );
    if !manifest.errors.is_empty() {
        let errors: Vec<String> = manifest.errors.iter().map(ToString::to_string).collect();
        let shown = errors.join("\n");
        found.add("unusable_lines", errors, shown);
    }
    Ok(found)
}
