//! What each fuzz target does with its bytes: the parsers of everything that comes from outside, by the library's own
//! doors. Whatever the bytes are, a body must return; errors are fine, panics are not.
//!
//! `tests/fuzz_bodies.rs` runs the same bodies over a bounded number of mutated seeds in every `cargo test`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use topreward::config::Config;
use topreward::config::calibration_file;
use topreward::episode::image::{
    ImageView, check_compressed, check_raw, decode_compressed, decode_picture, decode_raw,
};
use topreward::model::qwen3_vl::config::Qwen3VlConfig;
use topreward::model::qwen3_vl::processor::Processor;
use topreward::model::qwen3_vl::prompt::Prompt;
use topreward::model::qwen3_vl::{ModelFolder, StoredWeights, fingerprint};
use topreward::offline::evaluation::Manifest;
use topreward::offline::labels::{ProgressFile, WeightSettings, Weights};
use topreward::offline::recording::bag::{Bag, Choice, Cut};
use topreward::offline::recording::lerobot::Dataset;
use topreward::offline::recording::{open_file, sample};

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target by its name in `fuzz_targets/`.
pub const BODIES: [(&str, Body); 18] = [
    ("safetensors", safetensors),
    ("gguf", gguf),
    ("config_json", config_json),
    ("mcap", mcap),
    ("cdr", cdr),
    ("progress_parquet", progress_parquet),
    ("lerobot_info", lerobot_info),
    ("lerobot_parquet", lerobot_parquet),
    ("manifest", manifest),
    ("calibration", calibration),
    ("parameters", parameters),
    ("raw_image", raw_image),
    ("compressed_image", compressed_image),
    ("picture", picture),
    ("animation", animation),
    ("sqlite", sqlite),
    ("bag_metadata", bag_metadata),
    ("tokenizer", tokenizer),
];

/// A folder with one file.
fn folder_with(name: &str, data: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, data).unwrap();
    folder
}

fn read_weights(folder: &TempDir) {
    let opened = ModelFolder::open(folder.path()).unwrap();
    let _ = StoredWeights::read(&opened).map(|stored| stored.parameters());
    let _ = fingerprint(&opened);
}

/// A weight file: its header.
pub fn safetensors(data: &[u8]) {
    read_weights(&folder_with("model.safetensors", data));
}

/// llama.cpp's weight file: its header.
pub fn gguf(data: &[u8]) {
    let folder = folder_with("model.gguf", data);
    std::fs::write(folder.path().join("config.json"), MODEL_CONFIG).unwrap();
    read_weights(&folder);
}

/// The description of a small model.
const MODEL_CONFIG: &str = include_str!("../../tests/golden/tied/config.json");

/// A model's config.json, and the frames' processor that it asks for.
pub fn config_json(data: &[u8]) {
    let folder = folder_with("config.json", data);
    let opened = ModelFolder::open(folder.path()).unwrap();
    if let Ok(config) = Qwen3VlConfig::load(&opened) {
        let _ = Processor::load(&opened, &config.vision, None);
    }
}

/// Every frame of every episode of a bag.
fn play(file: &Path) {
    let Ok(bag) = Bag::open(file) else { return };
    let _ = bag.summary();
    for cut in [Cut::default(), Cut::Whole] {
        let Ok(found) = bag.episodes(&Choice { cut, ..Choice::default() }) else { continue };
        for episode in found.episodes {
            let _ = sample(&*episode.footage, &episode.name, 2.0);
        }
    }
}

/// A recording as rosbag2 stores it.
pub fn mcap(data: &[u8]) {
    play(&folder_with("bag.mcap", data).path().join("bag.mcap"));
}

/// A message of a bag: as an image, and as what cuts a bag into episodes.
pub fn cdr(data: &[u8]) {
    for kind in ["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"] {
        play_messages(&[("/image_raw", kind, data)]);
    }
    for kind in ["topreward/msg/EpisodeSummary", "topreward/msg/SuccessDetection", "std_msgs/msg/String"] {
        let topic = if kind.ends_with("String") { "/instruction" } else { "/topreward/episode" };
        play_messages(&[("/image_raw", "sensor_msgs/msg/Image", TINY_IMAGE), (topic, kind, data)]);
    }
}

/// `sensor_msgs/msg/Image` in CDR: stamp 1 s, no frame_id, 1 × 1 pixel in mono8.
pub const TINY_IMAGE: &[u8] = b"\0\x01\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\
    \x06\0\0\0mono8\0\0\0\x01\0\0\0\x01\0\0\0\x80";

fn play_messages(messages: &[(&str, &str, &[u8])]) {
    let folder = folder_with("bag.mcap", &bag_of(messages));
    play(&folder.path().join("bag.mcap"));
}

/// An MCAP recording of these (topic, type, payload), a second apart.
pub fn bag_of(messages: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut writer = ::mcap::WriteOptions::new()
        .compression(None)
        .profile("ros2")
        .create(std::io::Cursor::new(Vec::new()))
        .unwrap();
    for (number, (topic, kind, payload)) in (1u16..).zip(messages) {
        let schema = ::mcap::Schema {
            id: number,
            name: (*kind).to_owned(),
            encoding: "ros2msg".to_owned(),
            data: Cow::Borrowed(b"# left out"),
        };
        let channel = ::mcap::Channel {
            id: number,
            topic: (*topic).to_owned(),
            schema: Some(Arc::new(schema)),
            message_encoding: "cdr".to_owned(),
            metadata: BTreeMap::new(),
        };
        let time = u64::from(number) * 1_000_000_000;
        let message = ::mcap::Message {
            channel: Arc::new(channel),
            sequence: u32::from(number),
            log_time: time,
            publish_time: time,
            data: Cow::Borrowed(payload),
        };
        writer.write(&message).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().into_inner()
}

/// Labels: a parquet file of progress, and the weights made of it.
pub fn progress_parquet(data: &[u8]) {
    let folder = folder_with("topreward_progress.parquet", data);
    if let Ok(labels) = ProgressFile::read(&folder.path().join("topreward_progress.parquet")) {
        let _ = Weights::of(&labels, WeightSettings::default());
    }
}

/// A LeRobot dataset's `meta/info.json`.
pub fn lerobot_info(data: &[u8]) {
    let folder = folder_with("meta/info.json", data);
    open_dataset(folder.path());
}

fn open_dataset(folder: &Path) {
    let Ok(dataset) = Dataset::open(folder) else { return };
    let _ = dataset.summary();
    for episode in dataset.episodes(None, None).into_iter().flatten().take(3) {
        let _ = dataset.rows(episode.index);
        let _ = sample(&*episode.footage, &episode.name, 2.0);
    }
}

const LEROBOT_INFO: &[u8] = include_bytes!("../../tests/lerobot/v3.0-images/meta/info.json");
const LEROBOT_TASKS: &[u8] = include_bytes!("../../tests/lerobot/v3.0-images/meta/tasks.parquet");
const LEROBOT_EPISODES: &[u8] =
    include_bytes!("../../tests/lerobot/v3.0-images/meta/episodes/chunk-000/file-000.parquet");
const LEROBOT_DATA: &[u8] = include_bytes!("../../tests/lerobot/v3.0-images/data/chunk-000/file-000.parquet");

/// The parquet files of a LeRobot dataset, one after the other: tasks, episodes, frames.
pub fn lerobot_parquet(data: &[u8]) {
    let files = [
        ("meta/tasks.parquet", LEROBOT_TASKS),
        ("meta/episodes/chunk-000/file-000.parquet", LEROBOT_EPISODES),
        ("data/chunk-000/file-000.parquet", LEROBOT_DATA),
    ];
    for (hostile, _) in files {
        let folder = folder_with("meta/info.json", LEROBOT_INFO);
        for (name, intact) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, if name == hostile { data } else { intact }).unwrap();
        }
        open_dataset(folder.path());
    }
}

/// Labelled episodes: a manifest.jsonl.
pub fn manifest(data: &[u8]) {
    let folder = folder_with("manifest.jsonl", data);
    if let Ok(mut manifest) = Manifest::read(folder.path()) {
        manifest.choose_wrong_instructions(0);
    }
}

/// A file of `topreward calibrate`.
pub fn calibration(data: &[u8]) {
    let folder = folder_with("calibration.yaml", data);
    let _ = calibration_file::read(&folder.path().join("calibration.yaml"));
}

/// A ROS 2 parameter file.
pub fn parameters(data: &[u8]) {
    let folder = folder_with("parameters.yaml", data);
    if let Ok(config) = Config::from_file(&folder.path().join("parameters.yaml")) {
        let _ = config.to_parameters();
    }
}

const ENCODINGS: [&str; 16] = [
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "rgb16",
    "mono8",
    "mono16",
    "8UC3",
    "yuyv",
    "uyvy",
    "nv12",
    "nv21",
    "nv24",
    "bayer_rggb8",
    "bayer_grbg16",
    "32FC1",
];

/// A raw image message. Of the bytes the first eight are encoding, byte order, width, height and step.
pub fn raw_image(data: &[u8]) {
    let Some((&[encoding, order, w0, w1, h0, h1, s0, s1], pixels)) = data.split_first_chunk() else { return };
    let view = ImageView {
        encoding: ENCODINGS[usize::from(encoding) % ENCODINGS.len()],
        width: u16::from_le_bytes([w0, w1]).into(),
        height: u16::from_le_bytes([h0, h1]).into(),
        step: u16::from_le_bytes([s0, s1]).into(),
        is_bigendian: order % 2 == 1,
        data: pixels,
    };
    assert_eq!(check_raw(view).is_ok(), decode_raw(view).is_ok(), "{view:?}");
}

/// A compressed image message.
pub fn compressed_image(data: &[u8]) {
    for format in ["jpeg", "bayer_rggb8; jpeg compressed ", "mono16; png compressed "] {
        let decoded = decode_compressed(format, data);
        assert!(
            check_compressed(format, data).is_ok() || decoded.is_err(),
            "what is decoded has been checked"
        );
    }
}

/// A picture of a folder or a data set, with its EXIF orientation.
pub fn picture(data: &[u8]) {
    let _ = decode_picture(data);
}

/// An animated GIF or WebP. What is neither is a video, which other programs read.
pub fn animation(data: &[u8]) {
    if !data.starts_with(b"GIF8") && !data.starts_with(b"RIFF") {
        return;
    }
    let folder = folder_with("animation", data);
    if let Ok(footage) = open_file(&folder.path().join("animation")) {
        let _ = sample(&*footage, "animation", 2.0);
    }
}

/// A recording as rosbag2 stores it in SQLite.
pub fn sqlite(data: &[u8]) {
    play(&folder_with("bag.db3", data).path().join("bag.db3"));
}

/// A bag's metadata.yaml, beside a sound file.
pub fn bag_metadata(data: &[u8]) {
    let folder = folder_with("metadata.yaml", data);
    let bag = bag_of(&[("/image_raw", "sensor_msgs/msg/Image", TINY_IMAGE)]);
    std::fs::write(folder.path().join("bag_0.mcap"), bag).unwrap();
    play(folder.path());
}

/// A model's tokenizer.json.
pub fn tokenizer(data: &[u8]) {
    let folder = folder_with("tokenizer.json", data);
    let opened = ModelFolder::open(folder.path()).unwrap();
    if let Ok(prompt) = Prompt::load(&opened, 400, false, 256) {
        let _ = prompt.question("put the red cube on the green marker");
    }
}
