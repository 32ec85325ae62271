//! The same frames from every kind of recording: the same scores, to the last bit.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use image::{ImageFormat, RgbImage};
use serde_json::Value;
use topreward::offline::labels::{EpisodeLabels, ProgressFile};
use topreward::offline::recording::Footage;
use topreward::offline::recording::lerobot::Dataset;

const CAMERA: &str = "observation.images.front";
const IMAGES: &str = "/camera/image_raw/compressed";
const TASK: &str = "/instruction";
const START_NS: i64 = 1_700_000_000_000_000_000;
/// Messages of the bags: (topic, type), in the order of their numbers.
const TOPICS: [(&str, &str); 2] =
    [(IMAGES, "sensor_msgs/msg/CompressedImage"), (TASK, "std_msgs/msg/String")];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A message in CDR, little endian.
struct Cdr(Vec<u8>);

impl Cdr {
    fn new() -> Self {
        Self(vec![0, 1, 0, 0])
    }

    fn number(mut self, value: u32) -> Self {
        // Alignment counts from behind the four bytes of the encapsulation.
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut cdr = self.number(text.len() as u32 + 1);
        cdr.0.extend_from_slice(text.as_bytes());
        cdr.0.push(0);
        cdr
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut cdr = self.number(bytes.len() as u32);
        cdr.0.extend_from_slice(bytes);
        cdr
    }
}

fn png(rgb: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    rgb.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn image_message(stamp_ns: i64, rgb: &RgbImage) -> Vec<u8> {
    let (sec, nanosec) = (stamp_ns / 1_000_000_000, stamp_ns % 1_000_000_000);
    let header = Cdr::new().number(sec as u32).number(nanosec as u32).text("camera");
    header.text("png").bytes(&png(rgb)).0
}

/// An episode as the messages of a bag: (number of the topic, time, message).
fn messages(task: &str, frames: &[(i64, Arc<RgbImage>)]) -> Vec<(usize, i64, Vec<u8>)> {
    let task = (1, START_NS, Cdr::new().text(task).0);
    let image = |(stamp_ns, rgb): &(i64, Arc<RgbImage>)| {
        let at_ns = START_NS + stamp_ns;
        (0, at_ns, image_message(at_ns, rgb))
    };
    std::iter::once(task).chain(frames.iter().map(image)).collect()
}

fn write_mcap(file: &Path, messages: &[(usize, i64, Vec<u8>)]) {
    let mut writer = mcap::Writer::new(std::fs::File::create(file).unwrap()).unwrap();
    let channels = TOPICS.map(|(topic, type_name)| {
        let schema = writer.add_schema(type_name, "ros2msg", b"").unwrap();
        writer.add_channel(schema, topic, "cdr", &Default::default()).unwrap()
    });
    for (topic, at_ns, data) in messages {
        let header = mcap::records::MessageHeader {
            channel_id: channels[*topic],
            sequence: 0,
            log_time: *at_ns as u64,
            publish_time: *at_ns as u64,
        };
        writer.write_to_known_channel(&header, data).unwrap();
    }
    writer.finish().unwrap();
}

fn write_sqlite(file: &Path, messages: &[(usize, i64, Vec<u8>)]) {
    let bag = rusqlite::Connection::open(file).unwrap();
    bag.execute_batch(
        "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, \
         offered_qos_profiles TEXT); \
         CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB);",
    )
    .unwrap();
    for (number, (topic, type_name)) in TOPICS.iter().enumerate() {
        let row = rusqlite::params![number as i64, topic, type_name];
        bag.execute("INSERT INTO topics VALUES(?1, ?2, ?3, 'cdr', '')", row).unwrap();
    }
    for (topic, at_ns, data) in messages {
        let row = rusqlite::params![*topic as i64, at_ns, data];
        bag.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(?1, ?2, ?3)", row).unwrap();
    }
}

fn run(arguments: &[&str]) -> Output {
    let model = repository().join("tests/golden/tied");
    let common = ["score", "--model", model.to_str().unwrap(), "--sample-fps", "10", "--json"];
    Command::new(env!("CARGO_BIN_EXE_topreward")).args(common).args(arguments).output().unwrap()
}

fn score(arguments: &[&str]) -> Vec<Value> {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    results(&output)
}

/// Scores what can be, and asserts that the rest is one line which holds every one of `named`.
fn score_the_rest(arguments: &[&str], named: &[&str]) -> Vec<Value> {
    let output = run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    for word in named {
        assert!(errors[0].contains(word), "\"{word}\" is not in: {}", errors[0]);
    }
    results(&output)
}

fn results(output: &Output) -> Vec<Value> {
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn frames(footage: &dyn Footage) -> Vec<(i64, Arc<RgbImage>)> {
    let mut frames = Vec::new();
    footage
        .play(&mut |frame| {
            let stamp_ns = frame.stamp_ns;
            frames.push((stamp_ns, frame.decode().unwrap().rgb));
            ControlFlow::Continue(())
        })
        .unwrap();
    frames
}

#[test]
fn datasets_and_bags_of_the_same_frames_have_the_same_scores() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: the program ffmpeg is not installed");
        return;
    }
    let data = repository().join("tests/lerobot");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: String| folder.path().join(name).to_str().unwrap().to_owned();
    let dataset = Dataset::open(&data.join("v3.0-images")).unwrap();
    let (mut mcap_files, mut sqlite_files) = (Vec::new(), Vec::new());
    for episode in dataset.episodes(Some(CAMERA), None).unwrap() {
        let messages = messages(episode.instruction.as_deref().unwrap(), &frames(&*episode.footage));
        mcap_files.push(file(format!("{}.mcap", episode.index)));
        sqlite_files.push(file(format!("{}.db3", episode.index)));
        write_mcap(Path::new(mcap_files.last().unwrap()), &messages);
        write_sqlite(Path::new(sqlite_files.last().unwrap()), &messages);
    }
    let from_dataset = |version: &str| score(&[data.join(version).to_str().unwrap(), "--camera", CAMERA]);
    let from_bags = |files: &[String]| {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        score(&[&["--bag"], &files[..]].concat())
    };
    let expected = from_dataset("v3.0-images");
    assert!(
        expected.len() > 1
            && expected.iter().all(|episode| episode["prefixes"].as_array().unwrap().len() > 3)
    );
    let others = [
        ("v2.1", from_dataset("v2.1")),
        ("v3.0", from_dataset("v3.0")),
        ("mcap", from_bags(&mcap_files)),
        ("sqlite3", from_bags(&sqlite_files)),
    ];
    for (kind, found) in others {
        assert_eq!(found.len(), expected.len(), "{kind}");
        for (found, expected) in found.iter().zip(&expected) {
            for key in ["instruction", "recorded_s", "sampled", "prefixes", "voc"] {
                assert_eq!(found[key], expected[key], "{kind}: {key}");
            }
        }
    }
}

#[test]
fn labels_carry_the_datasets_own_numbers() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: the program ffmpeg is not installed");
        return;
    }
    let data = repository().join("tests/lerobot/v3.0");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let chosen = [data.to_str().unwrap(), "--camera", CAMERA, "--episodes", "1", "--num-samples", "3"];
    score(&[&chosen[..], &["--out", out.to_str().unwrap()]].concat());
    let labels =
        topreward::offline::labels::ProgressFile::read(&out.join("topreward_progress.parquet")).unwrap();
    let [episode] = &labels.episodes[..] else { panic!("{labels:?}") };
    let dataset = Dataset::open(&data).unwrap();
    let before = dataset.rows(0).unwrap().len() as i64;
    assert_eq!((episode.episode, episode.index[0]), (1, before));
    assert_eq!(episode.index, dataset.rows(1).unwrap().index);
    assert_eq!(episode.progress.len(), episode.index.len());
    assert!(episode.progress.contains(&1.0) && episode.progress.contains(&0.0));
}

#[test]
fn what_is_damaged_is_one_line_and_the_rest_is_scored() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: the program ffmpeg is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let dataset = repository().join("tests/lerobot/v2.1");

    let videos = dataset.join("videos/chunk-000").join(CAMERA);
    let (good, cut) = (videos.join("episode_000000.mp4"), file("cut.mp4"));
    let bytes = std::fs::read(videos.join("episode_000001.mp4")).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let arguments = ["--video", &cut, good.to_str().unwrap(), "--instruction", "lift it"];
    assert_eq!(score_the_rest(&arguments, &["cut.mp4"]).len(), 1);

    let bags = repository().join("models/so101-sim/episodes");
    let (good, cut) = (bags.join("03_idle_green.mcap"), file("cut.mcap"));
    let bytes = std::fs::read(bags.join("01_success_red.mcap")).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let arguments = ["--bag", &cut, good.to_str().unwrap(), "--prefixes", "2"];
    let found = score_the_rest(&arguments, &["cut.mcap"]);
    // What lies before the cut is an episode, too.
    assert_eq!(found.len(), 2);
    let frames = |episode: &Value| episode["recorded_s"].as_array().unwrap().len();
    assert!(frames(&found[0]) > 50 && frames(&found[0]) < 104, "{}", frames(&found[0]));

    let copy = folder.path().join("dataset");
    let copied = Command::new("cp").arg("-r").arg(&dataset).arg(&copy).status().unwrap();
    assert!(copied.success());
    // A parquet file of the very frames, but without their times.
    let index = Dataset::open(&dataset).unwrap().rows(1).unwrap().index;
    let progress = vec![0.0; index.len()];
    let rows = ProgressFile::new("none", vec![EpisodeLabels { episode: 1, index, progress }]).unwrap();
    rows.write(&copy.join("data/chunk-000/episode_000001.parquet"), &[]).unwrap();
    let arguments = [copy.to_str().unwrap(), "--camera", CAMERA];
    let found = score_the_rest(&arguments, &["episode_000001.parquet", "timestamp"]);
    let numbers: Vec<u64> = found.iter().map(|episode| episode["index"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 2]);
}

#[test]
fn bags_of_one_name_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let bag = repository().join("models/so101-sim/episodes/03_idle_green.mcap");
    let copies = ["monday", "tuesday"].map(|day| folder.path().join(day).join("pick.mcap"));
    for copy in &copies {
        std::fs::create_dir(copy.parent().unwrap()).unwrap();
        std::fs::copy(&bag, copy).unwrap();
    }
    let [monday, tuesday] = copies.each_ref().map(|copy| copy.to_str().unwrap());
    let found = score(&["--bag", monday, tuesday, "--prefixes", "1"]);
    let named: Vec<(&str, u64)> = found
        .iter()
        .map(|episode| (episode["name"].as_str().unwrap(), episode["index"].as_u64().unwrap()))
        .collect();
    assert_eq!(named, [("pick", 0), ("pick#2", 1)]);
}
