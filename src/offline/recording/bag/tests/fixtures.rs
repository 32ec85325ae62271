//! Bags of all sorts, written without the code that reads them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::image::RgbImage;
use mcap::{Channel, Compression, MessageStream, Schema, WriteOptions};
use rusqlite::Connection;

use crate::offline::recording::bag::{Bag, BagEpisodes, BagError, Choice, Cut};
use crate::offline::recording::{Footage, RecordingError};

pub const CAMERA: &str = "/camera/image_raw/compressed";
pub const COMPRESSED_IMAGE: &str = "sensor_msgs/msg/CompressedImage";
pub const IMAGE: &str = "sensor_msgs/msg/Image";
pub const STRING: &str = "std_msgs/msg/String";

/// One message of a bag.
#[derive(Clone)]
pub struct Message {
    pub topic: &'static str,
    pub type_name: &'static str,
    pub log_ns: i64,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn new(topic: &'static str, type_name: &'static str, log_ns: i64, payload: Vec<u8>) -> Self {
        Self { topic, type_name, log_ns, payload }
    }

    pub fn text(topic: &'static str, log_ns: i64, text: &str) -> Self {
        Self::new(topic, STRING, log_ns, Cdr::little().text(text).done())
    }

    /// 2 × 2 pixels of one colour, stamped as it is recorded.
    pub fn image(topic: &'static str, log_ns: i64, level: u8) -> Self {
        Self::new(topic, IMAGE, log_ns, image(Cdr::little(), log_ns, level))
    }
}

pub fn image(cdr: Cdr, stamp_ns: i64, level: u8) -> Vec<u8> {
    let cdr = cdr.header(stamp_ns, "camera").u32(2).u32(2).text("rgb8").u8(0);
    cdr.u32(6).u32(12).bytes(&[level; 12]).done()
}

/// Writes CDR.
pub struct Cdr {
    bytes: Vec<u8>,
    big: bool,
}

impl Cdr {
    pub fn little() -> Self {
        Self { bytes: vec![0, 1, 0, 0], big: false }
    }

    pub fn big() -> Self {
        Self { bytes: vec![0, 0, 0, 0], big: true }
    }

    fn number<const N: usize>(mut self, little: [u8; N]) -> Self {
        while !(self.bytes.len() - 4).is_multiple_of(N) {
            self.bytes.push(0);
        }
        match self.big {
            true => self.bytes.extend(little.iter().rev()),
            false => self.bytes.extend(little),
        }
        self
    }

    pub fn u8(self, value: u8) -> Self {
        self.number([value])
    }

    pub fn u32(self, value: u32) -> Self {
        self.number(value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.number(value.to_le_bytes())
    }

    pub fn f64(self, value: f64) -> Self {
        self.number(value.to_le_bytes())
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.u32(text.len() as u32 + 1).bytes(text.as_bytes()).u8(0)
    }

    pub fn time(self, ns: i64) -> Self {
        self.u32((ns / 1_000_000_000) as u32).u32((ns % 1_000_000_000) as u32)
    }

    pub fn header(self, stamp_ns: i64, frame_id: &str) -> Self {
        self.time(stamp_ns).text(frame_id)
    }

    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}

/// The camera's first `count` frames of a recorded episode, 10 a second from 1.7e18 ns on, and its instruction.
pub fn recorded(count: usize) -> Vec<Message> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/so101-sim/episodes/01_success_red.mcap");
    let bytes = std::fs::read(path).unwrap();
    let (mut messages, mut frames) = (Vec::new(), 0);
    for message in MessageStream::new(&bytes).unwrap() {
        let message = message.unwrap();
        let (topic, type_name) = match message.channel.topic.as_str() {
            CAMERA if frames < count => (CAMERA, COMPRESSED_IMAGE),
            "/instruction" => ("/instruction", STRING),
            _ => continue,
        };
        frames += usize::from(topic == CAMERA);
        messages.push(Message::new(topic, type_name, message.log_time as i64, message.data.into_owned()));
    }
    assert_eq!(frames, count);
    messages
}

/// 10 frames a second from `from_ns` on; the level of each is its number.
pub fn stream(topic: &'static str, from_ns: i64, frames: usize) -> Vec<Message> {
    (0..frames).map(|i| Message::image(topic, from_ns + i as i64 * 100_000_000, i as u8)).collect()
}

pub fn mcap_with(path: &Path, messages: &[Message], options: WriteOptions) {
    let mut writer = options.profile("ros2").create(File::create(path).unwrap()).unwrap();
    let mut channels = BTreeMap::new();
    for (number, message) in messages.iter().enumerate() {
        let id = channels.len() as u16 + 1;
        let channel = channels.entry(message.topic).or_insert_with(|| {
            let schema = Schema {
                id,
                name: message.type_name.to_owned(),
                encoding: "ros2msg".to_owned(),
                data: Cow::Borrowed(b"# left out"),
            };
            Arc::new(Channel {
                id,
                topic: message.topic.to_owned(),
                schema: Some(Arc::new(schema)),
                message_encoding: "cdr".to_owned(),
                metadata: BTreeMap::new(),
            })
        });
        let message = mcap::Message {
            channel: channel.clone(),
            sequence: number as u32,
            log_time: message.log_ns as u64,
            publish_time: message.log_ns as u64,
            data: Cow::Borrowed(&message.payload),
        };
        writer.write(&message).unwrap();
    }
    writer.finish().unwrap();
}

pub fn options(compression: Option<Compression>) -> WriteOptions {
    WriteOptions::new().compression(compression).chunk_size(Some(20_000))
}

pub fn mcap(path: &Path, messages: &[Message]) {
    mcap_with(path, messages, options(None));
}

/// The tables as rosbag2 of Humble (version 3) or Jazzy (4) makes them.
pub fn sqlite_open(path: &Path, messages: &[Message], version: u8) -> Connection {
    let connection = Connection::open(path).unwrap();
    let hash = if version >= 4 { ", type_description_hash TEXT NOT NULL" } else { "" };
    connection
        .execute_batch(&format!(
            "CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
             CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
             CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
                serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL{hash});
             CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
                data BLOB NOT NULL);
             CREATE INDEX timestamp_idx ON messages (timestamp ASC);
             INSERT INTO schema VALUES ({version}, 'a distribution');"
        ))
        .unwrap();
    let mut topics: Vec<&str> = Vec::new();
    for message in messages {
        let place = topics.iter().position(|topic| *topic == message.topic).unwrap_or_else(|| {
            let hash = if version >= 4 { ", ''" } else { "" };
            let insert = format!("INSERT INTO topics VALUES (?1, ?2, ?3, 'cdr', ''{hash})");
            let row = (topics.len() as i64 + 1, message.topic, message.type_name);
            connection.execute(&insert, row).unwrap();
            topics.push(message.topic);
            topics.len() - 1
        });
        let insert = "INSERT INTO messages (topic_id, timestamp, data) VALUES (?1, ?2, ?3)";
        connection.execute(insert, (place as i64 + 1, message.log_ns, &message.payload)).unwrap();
    }
    connection
}

pub fn sqlite(path: &Path, messages: &[Message], version: u8) {
    sqlite_open(path, messages, version).close().unwrap();
}

/// The metadata of a bag of these files.
pub fn metadata(folder: &Path, storage: &str, files: &[&str]) {
    let files: String = files.iter().map(|file| format!("    - {file}\n")).collect();
    let text = format!(
        "rosbag2_bagfile_information:\n  version: 9\n  storage_identifier: {storage}\n  relative_file_paths:\n{files}  \
         duration:\n    nanoseconds: 1\n  compression_format: \"\"\n  compression_mode: \"\"\n"
    );
    std::fs::write(folder.join("metadata.yaml"), text).unwrap();
}

/// A folder for one test.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// The episodes of a bag that is there until they are dropped.
pub struct Kept {
    found: BagEpisodes,
    _place: Place,
}

impl Deref for Kept {
    type Target = BagEpisodes;

    fn deref(&self) -> &BagEpisodes {
        &self.found
    }
}

/// The episodes of a bag of these messages.
pub fn kept(messages: &[Message], choice: &Choice) -> Result<Kept, BagError> {
    let place = Place::new();
    mcap(&place.at("bag.mcap"), messages);
    let found = Bag::open(&place.at("bag.mcap"))?.episodes(choice)?;
    Ok(Kept { found, _place: place })
}

pub fn cut(cut: Cut) -> Choice {
    Choice { cut, ..Choice::default() }
}

pub fn episodes(path: &Path) -> Result<BagEpisodes, BagError> {
    Bag::open(path)?.episodes(&Choice::default())
}

/// The stamps and pixels of all frames.
pub fn frames(footage: &dyn Footage) -> Result<Vec<(i64, RgbImage)>, RecordingError> {
    let mut frames = Vec::new();
    footage.play(&mut |frame| {
        let frame = frame.decode().unwrap();
        assert_eq!(&*frame.frame_id, "camera");
        frames.push((frame.stamp_ns, Arc::unwrap_or_clone(frame.rgb)));
        ControlFlow::Continue(())
    })?;
    Ok(frames)
}

/// The levels of frames of one colour, for each episode.
pub fn levels(found: &BagEpisodes) -> Vec<Vec<u8>> {
    let of_one =
        |frames: Vec<(i64, RgbImage)>| frames.iter().map(|(_, rgb)| rgb.get_pixel(0, 0).0[0]).collect();
    found.episodes.iter().map(|episode| of_one(frames(&*episode.footage).unwrap())).collect()
}

/// The one episode of a bag.
pub fn one(path: &Path) -> (Vec<(i64, RgbImage)>, Vec<String>) {
    let mut found = episodes(path).unwrap();
    assert_eq!(found.episodes.len(), 1);
    let episode = found.episodes.remove(0);
    let once = frames(&*episode.footage).unwrap();
    assert!(once == frames(&*episode.footage).unwrap(), "played twice, it is the same");
    (once, found.problems)
}

/// The error of a bag that cannot be used.
pub fn refusal<T>(found: Result<T, BagError>) -> String {
    match found {
        Ok(_) => panic!("it can be used"),
        Err(error) => error.to_string(),
    }
}
