//! What a bag holds: its topics and, for those that are understood, where each message lies.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::cdr::{self, CdrError};
use crate::episode::image::{ImageError, check_compressed, check_raw};

/// What the messages of a topic are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RawImage,
    CompressedImage,
    Text,
    /// `std_msgs/Empty` and `Bool`, of which only the time counts.
    Mark,
    /// Calls of `std_srvs/Trigger` and `Empty`.
    Call,
    Summary,
    Success,
    /// Nothing.
    Other,
}

impl Kind {
    /// `encoding`: of the messages, as the bag names it.
    pub fn of(type_name: &str, encoding: &str) -> Self {
        match &*full_name(type_name) {
            _ if encoding != "cdr" => Self::Other,
            "sensor_msgs/msg/Image" => Self::RawImage,
            "sensor_msgs/msg/CompressedImage" => Self::CompressedImage,
            "std_msgs/msg/String" => Self::Text,
            "std_msgs/msg/Empty" | "std_msgs/msg/Bool" => Self::Mark,
            "std_srvs/srv/Trigger_Event" | "std_srvs/srv/Empty_Event" => Self::Call,
            "topreward/msg/EpisodeSummary" => Self::Summary,
            "topreward/msg/SuccessDetection" => Self::Success,
            _ => Self::Other,
        }
    }

    pub fn is_image(self) -> bool {
        matches!(self, Self::RawImage | Self::CompressedImage)
    }
}

/// `sensor_msgs/Image`, as ROS 1 and some converters name a type, is `sensor_msgs/msg/Image`.
fn full_name(type_name: &str) -> Cow<'_, str> {
    match type_name.split_once('/') {
        Some((package, name)) if !name.contains('/') => Cow::Owned(format!("{package}/msg/{name}")),
        _ => Cow::Borrowed(type_name),
    }
}

/// Where a message lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageLocation {
    /// Bytes of the file.
    At { offset: u64, bytes: u32 },
    /// Message `nth`, from 0, of the compressed chunk that begins there.
    InChunk { offset: u64, nth: u32 },
    /// The row of the table.
    Row(i64),
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedMessage {
    /// When it was recorded, nanoseconds.
    pub log_ns: i64,
    /// When its image was taken, by its header, nanoseconds; 0 for what is no image.
    pub stamp_ns: i64,
    /// Which of the bag's files holds it, from 0.
    pub file: u32,
    pub location: MessageLocation,
}

/// One topic.
#[derive(Debug)]
pub struct Topic {
    pub name: Arc<str>,
    pub type_name: String,
    /// How the messages are encoded, as the bag names it; all that is understood is "cdr".
    pub encoding: String,
    pub kind: Kind,
    /// All its messages.
    pub messages: u64,
    /// Those that can be used, in order of time; none of a topic that is not understood.
    pub entries: Vec<IndexedMessage>,
    /// How many cannot be used, and why the first of them.
    pub refused: Option<(u64, Refusal)>,
}

/// Why a message cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Cdr(#[from] CdrError),
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// A message that was come across.
#[derive(Debug)]
pub struct Found {
    topic: usize,
    entry: IndexedMessage,
    refusal: Option<Refusal>,
}

/// What a bag holds; filled file by file.
#[derive(Debug, Default)]
pub struct Index {
    pub topics: Vec<Topic>,
    by_name: HashMap<(String, String, String), usize>,
    /// Times of the first and the last message, nanoseconds.
    pub span_ns: Option<(i64, i64)>,
    /// What is wrong with the files, one line each.
    pub problems: Vec<String>,
}

impl Index {
    /// The number of a topic; one that is in several files is one topic.
    pub fn topic(&mut self, name: &str, type_name: &str, encoding: &str) -> usize {
        let key = (name.to_owned(), type_name.to_owned(), encoding.to_owned());
        *self.by_name.entry(key).or_insert_with(|| {
            self.topics.push(Topic {
                name: name.into(),
                type_name: type_name.to_owned(),
                encoding: encoding.to_owned(),
                kind: Kind::of(type_name, encoding),
                messages: 0,
                entries: Vec::new(),
                refused: None,
            });
            self.topics.len() - 1
        })
    }

    /// Whether the bytes of the topic's messages must be looked at.
    pub fn wants(&self, topic: usize) -> bool {
        self.topics[topic].kind.is_image()
    }

    /// A message as it was stored; `stored` may be empty where [`Self::wants`] is false.
    pub fn look(
        &self,
        topic: usize,
        file: u32,
        log_ns: i64,
        location: MessageLocation,
        stored: &[u8],
    ) -> Found {
        let (stamp_ns, refusal) = match stamp(self.topics[topic].kind, stored) {
            Ok(stamp_ns) => (stamp_ns, None),
            Err(refusal) => (0, Some(refusal)),
        };
        Found { topic, entry: IndexedMessage { log_ns, stamp_ns, file, location }, refusal }
    }

    pub fn take(&mut self, Found { topic, entry, refusal }: Found) {
        let topic = &mut self.topics[topic];
        topic.messages += 1;
        match (refusal, &mut topic.refused) {
            (None, _) if topic.kind == Kind::Other => {}
            (None, _) => topic.entries.push(entry),
            (Some(_), Some((count, _))) => *count += 1,
            (Some(refusal), none) => *none = Some((1, refusal)),
        }
        let (first, last) = self.span_ns.unwrap_or((entry.log_ns, entry.log_ns));
        self.span_ns = Some((first.min(entry.log_ns), last.max(entry.log_ns)));
    }

    /// Puts the messages in order of time; those of one time stay as they were recorded.
    pub fn sort(&mut self) {
        for topic in &mut self.topics {
            topic.entries.sort_by_key(|entry| entry.log_ns);
        }
        self.topics.sort_by(|a, b| a.name.cmp(&b.name));
        self.by_name.clear();
    }
}

/// The stamp of an image that can be decoded as far as that shows without decoding it, which is all that the node asks of
/// one before it samples.
fn stamp(kind: Kind, stored: &[u8]) -> Result<i64, Refusal> {
    match kind {
        Kind::RawImage => {
            let payload = cdr::unpacked(stored)?;
            let image: cdr::Image = cdr::decode(&payload)?;
            check_raw(image.view())?;
            Ok(image.header.stamp.ns())
        }
        Kind::CompressedImage => {
            let payload = cdr::unpacked(stored)?;
            let image: cdr::CompressedImage = cdr::decode(&payload)?;
            check_compressed(&image.format, image.data)?;
            Ok(image.header.stamp.ns())
        }
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_with_and_without_msg() {
        for name in ["sensor_msgs/CompressedImage", "sensor_msgs/msg/CompressedImage"] {
            assert_eq!(Kind::of(name, "cdr"), Kind::CompressedImage);
        }
        assert_eq!(Kind::of("std_msgs/String", "cdr"), Kind::Text);
        for (name, encoding) in
            [("sensor_msgs/Image", "ros1"), ("Image", "cdr"), ("a/sensor_msgs/Image", "cdr")]
        {
            assert_eq!(Kind::of(name, encoding), Kind::Other, "{name}");
        }
    }
}
