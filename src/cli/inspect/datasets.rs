//! Recordings of many episodes, and the labels made of them.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::findings::{Findings, counted};
use crate::offline::labels::ProgressFile;
use crate::offline::recording::bag::{self, TopicSummary, Use};
use crate::offline::recording::lerobot::Dataset;

pub fn bag(path: &Path) -> Result<Findings> {
    let summary = bag::summary(path)?;
    let mut found = Findings::new("bag", format!("a rosbag2 recording ({})", summary.storage));
    found.plain("files", summary.files);
    found.plain("messages", summary.messages);
    found.add("duration_s", summary.duration_s, format!("{:.3} s", summary.duration_s));
    let lines: Vec<String> = summary.topics.iter().map(topic).collect();
    found.add("topics", json!(summary.topics), lines.join("\n"));
    if !summary.problems.is_empty() {
        found.add("problems", json!(summary.problems), summary.problems.join("\n"));
    }
    Ok(found)
}

fn topic(topic: &TopicSummary) -> String {
    let TopicSummary { name, type_name, messages, rate_hz, usable_as, refused } = topic;
    let rate = rate_hz.map(|rate_hz| format!(", {rate_hz:.1} Hz")).unwrap_or_default();
    let usable = match usable_as {
        Some(Use::Camera) => " (--topic)",
        Some(Use::Text) => " (--instruction-topic)",
        Some(Use::Episodes) => " (--episode-topic)",
        None => "",
    };
    let refused =
        refused.as_ref().map(|(count, why)| format!("; {count} cannot be used: {why}")).unwrap_or_default();
    format!("{name}: {messages} × {type_name}{rate}{usable}{refused}")
}

pub fn lerobot(folder: &Path) -> Result<Findings> {
    let dataset = Dataset::open(folder)?;
    let summary = dataset.summary();
    let mut found = Findings::new("lerobot", format!("a LeRobot dataset, version {}", summary.version));
    if let Some(robot) = &summary.robot {
        found.plain("robot", robot.as_str());
    }
    found.plain("episodes", summary.episodes);
    let shown = format!("{} at {} Hz", summary.frames, summary.fps);
    found.add("frames", json!({ "count": summary.frames, "fps": summary.fps }), shown);
    let cameras: Vec<String> = summary.cameras.iter().map(ToString::to_string).collect();
    found.add("cameras", json!(summary.cameras), cameras.join("\n"));
    found.add("tasks", json!(summary.tasks), summary.tasks.join("\n"));
    let problems: Vec<String> = dataset.problems().iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        found.add("problems", json!(problems), problems.join("\n"));
    }
    Ok(found)
}

pub fn labels(file: &Path) -> Result<Findings> {
    let labels = ProgressFile::read(file)?;
    let mut found = Findings::new("labels", "progress labels of a dataset");
    found.plain("model", labels.vlm_name.clone().unwrap_or_else(|| "not named".to_owned()));
    found.plain("episodes", labels.episodes.len());
    found.add("frames", labels.frames(), counted(labels.frames(), "frame", "frames"));
    Ok(found)
}
