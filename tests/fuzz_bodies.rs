//! The bodies of the fuzz targets over mutated seeds: a bounded number, the same ones every time.
//!
//! `TOPREWARD_WRITE_CORPUS=1 cargo test --test fuzz_bodies` writes the seeds to fuzz/corpus, for `cargo fuzz`.

#[path = "../fuzz/src/lib.rs"]
mod bodies;
#[path = "gguf/writer.rs"]
#[allow(dead_code)]
mod gguf;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use candle_core::quantized::GgmlDType;
use topreward::offline::labels::{EpisodeLabels, ProgressFile};
use topreward::random::SplitMix64;

/// Mutated inputs for each seed.
const MUTATIONS: u64 = 80;
/// Hostile bytes may not keep a reader busy: none of these inputs is larger than 700 kB.
const LONGEST: Duration = Duration::from_secs(60);

/// Values at which readers of lengths and counts go wrong.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
const WORDS: [&[u8]; 14] = [
    b"-1",
    b"1e309",
    b"18446744073709551616",
    b"null",
    b"[]",
    b"{}",
    b"\"",
    b"\\ud800",
    b"\xff\xfe",
    b"NaN",
    b"..",
    b"/",
    b"\n",
    b"[[[[[[[[",
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Valid inputs of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "safetensors" => vec![small_safetensors(), file("tests/golden/tied/model.safetensors")],
        "gguf" => gguf_files(),
        "config_json" => vec![file("tests/golden/tied/config.json"), file("tests/golden/untied/config.json")],
        "mcap" => vec![small_bag(), file("models/so101-sim/episodes/03_idle_green.mcap")],
        "cdr" => vec![bodies::TINY_IMAGE.to_vec(), compressed_message(), text_message()],
        "progress_parquet" => vec![progress_file()],
        "lerobot_info" => {
            vec![file("tests/lerobot/v2.1/meta/info.json"), file("tests/lerobot/v3.0/meta/info.json")]
        }
        "lerobot_parquet" => vec![
            file("tests/lerobot/v3.0-images/data/chunk-000/file-000.parquet"),
            file("tests/lerobot/v3.0-images/meta/tasks.parquet"),
            file("tests/lerobot/v3.0-images/meta/episodes/chunk-000/file-000.parquet"),
        ],
        "manifest" => vec![MANIFEST.into()],
        "calibration" => vec![CALIBRATION.into()],
        "parameters" => vec![file("config/topreward.yaml"), file("config/so101_sim.yaml")],
        "raw_image" => [0, 4, 8, 10, 13, 15].map(raw_image).to_vec(),
        "compressed_image" | "picture" => vec![picture(ImageFormat::Jpeg), picture(ImageFormat::Png)],
        "animation" => vec![animation()],
        "sqlite" => vec![database()],
        "bag_metadata" => vec![METADATA.into()],
        "tokenizer" => vec![file("tests/golden/tied/tokenizer.json")],
        _ => panic!("no seeds for {target}"),
    }
}

const MANIFEST: &str = r#"{"episode": "a.mp4", "instruction": "lift the cup", "success": true, "completed_s": 3.5}
{"episode": "b", "fps": 10, "instruction": "lift the cup", "success": false, "progress": [0.0, 0.5, 1.0]}
"#;

const METADATA: &str = "rosbag2_bagfile_information:
  version: 9
  storage_identifier: mcap
  relative_file_paths:
    - bag_0.mcap
  duration:
    nanoseconds: 1
  topics_with_message_count:
    - topic_metadata: {name: /image_raw, type: sensor_msgs/msg/Image, serialization_format: cdr}
      message_count: 1
  compression_format: \"\"
  compression_mode: \"\"
";

/// Two frames of a GIF.
fn animation() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::image::codecs::gif::GifEncoder::new(&mut bytes);
    for level in [40, 200] {
        let picture = ::image::RgbaImage::from_pixel(12, 8, ::image::Rgba([level, level, 90, 255]));
        let delay = ::image::Delay::from_numer_denom_ms(500, 1);
        encoder.encode_frame(::image::Frame::from_parts(picture, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

/// A recording of one image, as rosbag2 of Jazzy makes it.
fn database() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag.db3");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
                serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
             CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
                data BLOB NOT NULL);
             CREATE INDEX timestamp_idx ON messages (timestamp ASC);
             INSERT INTO topics VALUES (1, '/image_raw', 'sensor_msgs/msg/Image', 'cdr', '');",
        )
        .unwrap();
    let insert = "INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?1, ?2)";
    for second in 1..4i64 {
        connection.execute(insert, (second * 1_000_000_000, bodies::TINY_IMAGE)).unwrap();
    }
    connection.close().unwrap();
    std::fs::read(path).unwrap()
}

const CALIBRATION: &str = "version: 1
model: {name: m, fingerprint: abc}
instructions: [lift the cup]
dtype: q8
chat_template: false
max_pixels: 24576
sampling_rate_hz: 2.0
bias_control: static
success: {window: 3, hold_s: 1.0, min_frames: 6}
date: 2026-01-01
episodes: {successes: 78, failures: 122}
auc: {value: 0.99, low: 0.98, high: 1.0}
wanted_false_positive_rate: 0.02
threshold_nats: -0.4
first_nats: -2.5
final_nats: -0.1
";

fn small_safetensors() -> Vec<u8> {
    let header = r#"{"__metadata__": {"format": "pt"}, "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "F32", "shape": [5], "data_offsets": [12, 32]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 32]].concat()
}

fn gguf_files() -> Vec<Vec<u8>> {
    let written = gguf::GgufFolder::of(&repository().join("tests/golden/tied"), &|_, _| GgmlDType::F16);
    let read = |name: &str| std::fs::read(written.folder.path().join(name)).unwrap();
    vec![read(gguf::LANGUAGE_MODEL), read(gguf::VISION_TOWER)]
}

fn small_bag() -> Vec<u8> {
    let (image, text) = (bodies::TINY_IMAGE, text_message());
    let camera = ("/image_raw", "sensor_msgs/msg/Image", image);
    bodies::bag_of(&[("/instruction", "std_msgs/msg/String", &text), camera, camera, camera])
}

fn text_message() -> Vec<u8> {
    [&b"\0\x01\0\0\x05\0\0\0"[..], b"lift\0"].concat()
}

/// `sensor_msgs/msg/CompressedImage`: stamp 1 s, no frame_id, format "png".
fn compressed_message() -> Vec<u8> {
    let png = picture(ImageFormat::Png);
    let head = b"\0\x01\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x04\0\0\0png\0";
    [&head[..], &(png.len() as u32).to_le_bytes(), &png].concat()
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let rgb = RgbImage::from_fn(24, 16, |x, y| Rgb([x as u8 * 10, y as u8 * 16, 90]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(rgb).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// 6 × 4 pixels, rows of 24 bytes.
fn raw_image(encoding: u8) -> Vec<u8> {
    [&[encoding, 0, 6, 0, 4, 0, 24, 0][..], &[77; 24 * 4]].concat()
}

fn progress_file() -> Vec<u8> {
    let episodes = (0..3).map(|episode| EpisodeLabels {
        episode,
        index: (0..5).map(|frame| episode as i64 * 5 + frame).collect(),
        progress: vec![0.0, 0.25, 0.5, 0.75, 1.0],
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.parquet");
    ProgressFile::new("model", episodes.collect()).unwrap().write(&path, &[]).unwrap();
    std::fs::read(path).unwrap()
}

/// A place in the bytes: half of the time near an end, where headers and footers are.
fn place(random: &mut SplitMix64, length: usize) -> usize {
    match random.below(4) {
        0 => random.below(length.min(64)),
        1 => length - 1 - random.below(length.min(2048)),
        _ => random.below(length.min(64 * 1024)),
    }
}

/// One to four changes of the seed.
fn mutated(seed: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = place(random, bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.below(256) as u8,
            3 => {
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                let end = (at + random.below(word.len() + 1)).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
            5 => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

/// Runs a body; a panic or a slow input names the target and the number that makes it again.
fn run(target: &str, body: bodies::Body, seed: usize, mutation: u64, bytes: &[u8]) {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| body(bytes)));
    let which = format!("{target}, seed {seed}, mutation {mutation} ({} bytes)", bytes.len());
    assert!(outcome.is_ok(), "a panic in {which}");
    assert!(begun.elapsed() < LONGEST, "{which} took {:?}", begun.elapsed());
}

fn all_of(target: &str, body: bodies::Body) {
    for (number, seed) in seeds(target).iter().enumerate() {
        run(target, body, number, 0, seed);
        // Large files take longer, and most of their bytes are numbers that no parser looks at.
        let count = if seed.len() > 100_000 { MUTATIONS / 3 } else { MUTATIONS };
        for mutation in 1..=count {
            let bytes = mutated(seed, &mut SplitMix64::new(mutation << 8 | number as u64));
            run(target, body, number, mutation, &bytes);
        }
    }
}

#[test]
fn no_body_panics_or_hangs() {
    if let Some(time) = asked_for() {
        return for_long(time);
    }
    std::thread::scope(|scope| {
        for (target, body) in bodies::BODIES {
            scope.spawn(move || all_of(target, body));
        }
    });
}

/// `TOPREWARD_FUZZ_SECONDS=120`: for so long each target, instead of the bounded number.
fn asked_for() -> Option<Duration> {
    let seconds = std::env::var("TOPREWARD_FUZZ_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("a number of seconds")))
}

/// One target after the other, on one thread, so that the slowest input of each is its own.
fn for_long(time: Duration) {
    for (target, body) in bodies::BODIES {
        let (seeds, begun) = (seeds(target), Instant::now());
        let (mut inputs, mut slowest) = (0u64, Duration::ZERO);
        while begun.elapsed() < time {
            inputs += 1;
            let number = inputs as usize % seeds.len();
            // Other inputs than those of the bounded run.
            let mutation = inputs + (1 << 40);
            let bytes = mutated(&seeds[number], &mut SplitMix64::new(mutation << 8 | number as u64));
            let one = Instant::now();
            run(target, body, number, mutation, &bytes);
            slowest = slowest.max(one.elapsed());
        }
        println!("| `{target}` | {inputs} | {:.0} ms |", slowest.as_secs_f64() * 1e3);
    }
}

#[test]
fn every_target_has_a_file_and_a_program() {
    let cargo = String::from_utf8(file("fuzz/Cargo.toml")).unwrap();
    for (target, _) in bodies::BODIES {
        let source = String::from_utf8(file(&format!("fuzz/fuzz_targets/{target}.rs"))).unwrap();
        assert!(source.contains(&format!("topreward_fuzz::{target}(data)")), "{target}");
        assert!(cargo.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
    }
    let files = std::fs::read_dir(repository().join("fuzz/fuzz_targets")).unwrap().count();
    assert_eq!(files, bodies::BODIES.len());
}

#[test]
fn the_seeds_are_what_their_parsers_take() {
    // A seed that is refused at its first byte would make every mutation of it worthless.
    let calibration = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(calibration.path(), &seeds("calibration")[0]).unwrap();
    topreward::config::calibration_file::read(calibration.path()).unwrap();
    for bytes in seeds("compressed_image") {
        topreward::episode::image::decode_compressed("jpeg", &bytes).unwrap();
    }
    let bag = tempfile::Builder::new().suffix(".mcap").tempfile().unwrap();
    std::fs::write(bag.path(), small_bag()).unwrap();
    let opened = topreward::offline::recording::bag::Bag::open(bag.path()).unwrap();
    assert_eq!(opened.episodes(&Default::default()).unwrap().episodes.len(), 1);
    if std::env::var_os("TOPREWARD_WRITE_CORPUS").is_some() {
        write_corpus();
    }
}

/// The seeds as a corpus, for `cargo fuzz`.
fn write_corpus() {
    for (target, _) in bodies::BODIES {
        let folder = repository().join(Path::new("fuzz/corpus").join(target));
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds(target).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
