//! What a bag holds, for people.

use std::path::Path;

use serde::Serialize;

use super::index::{Kind, Topic};
use super::{Bag, BagError};

/// What a bag holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BagSummary {
    /// "mcap" or "sqlite3"
    pub storage: &'static str,
    pub files: usize,
    pub messages: u64,
    /// Time of the first message, nanoseconds since 1970 (of a simulation: since it began).
    pub start_ns: Option<i64>,
    /// From the first message to the last, seconds.
    pub duration_s: f64,
    /// By name.
    pub topics: Vec<TopicSummary>,
    /// What is wrong with the files, one line each.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopicSummary {
    pub name: String,
    /// As ROS writes it: `sensor_msgs/msg/Image`.
    pub type_name: String,
    pub messages: u64,
    /// Its messages a second, from its first to its last; none of fewer than two, or of what is not understood.
    pub rate_hz: Option<f64>,
    /// What it can be used for.
    pub usable_as: Option<Use>,
    /// How many of its messages cannot be used, and why the first of them.
    pub refused: Option<(u64, String)>,
}

/// What `topreward score` can take a topic for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// `--topic`
    Camera,
    /// `--instruction-topic`, or the words of a recorder for `--episode-topic`.
    Text,
    /// `--episode-topic`
    Episodes,
}

/// Reads through the bag at `path` and sums up what it holds.
///
/// # Errors
/// As [`Bag::open`].
pub fn summary(path: &Path) -> Result<BagSummary, BagError> {
    Ok(Bag::open(path)?.summary())
}

impl Bag {
    /// What it holds.
    pub fn summary(&self) -> BagSummary {
        let span_ns = self.index.span_ns;
        BagSummary {
            storage: self.storage,
            files: self.files.len(),
            messages: self.index.topics.iter().map(|topic| topic.messages).sum(),
            start_ns: span_ns.map(|(first, _)| first),
            duration_s: span_ns.map_or(0.0, |(first, last)| seconds(first, last)),
            topics: self.index.topics.iter().map(of_topic).collect(),
            problems: self.index.problems.clone(),
        }
    }
}

fn of_topic(topic: &Topic) -> TopicSummary {
    let usable_as = match topic.kind {
        Kind::RawImage | Kind::CompressedImage => Some(Use::Camera),
        Kind::Text => Some(Use::Text),
        Kind::Mark | Kind::Call | Kind::Summary | Kind::Success => Some(Use::Episodes),
        Kind::Other => None,
    };
    let rate_hz = match topic.entries.as_slice() {
        [first, .., last] if last.log_ns > first.log_ns => {
            Some((topic.entries.len() - 1) as f64 / seconds(first.log_ns, last.log_ns))
        }
        _ => None,
    };
    TopicSummary {
        name: topic.name.to_string(),
        type_name: topic.type_name.clone(),
        messages: topic.messages,
        rate_hz,
        usable_as,
        refused: topic.refused.as_ref().map(|(count, reason)| (*count, reason.to_string())),
    }
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}
