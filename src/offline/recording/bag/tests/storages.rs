//! The same frames come out of whatever holds them; what is damaged is reported, and the rest is used.

use ::image::RgbImage;
use mcap::{Compression, WriteOptions};

use super::fixtures::*;
use crate::episode::image::decode_compressed;
use crate::offline::recording::bag::cdr::{self, CompressedImage};
use crate::offline::recording::bag::{Bag, is_bag};

const FRAMES: usize = 30;

/// What the recorded messages hold.
fn expected(messages: &[Message]) -> Vec<(i64, RgbImage)> {
    let frame = |message: &Message| {
        let image: CompressedImage = cdr::decode(&message.payload).unwrap();
        (message.log_ns, decode_compressed(&image.format, image.data).unwrap())
    };
    messages.iter().filter(|message| message.topic == CAMERA).map(frame).collect()
}

#[test]
fn the_same_frames_from_every_sort_of_mcap() {
    let place = Place::new();
    let messages = recorded(FRAMES);
    let expected = expected(&messages);
    assert_eq!((expected.len(), expected[1].0), (FRAMES, 1_700_000_000_100_000_000));
    let sorts = [
        options(None),
        options(Some(Compression::Lz4)),
        options(Some(Compression::Zstd)),
        WriteOptions::new().use_chunks(false),
        options(Some(Compression::Zstd)).emit_summary_records(false).emit_message_indexes(false),
        options(None).calculate_chunk_crcs(false).repeat_channels(false).repeat_schemas(false),
    ];
    for (number, sort) in sorts.into_iter().enumerate() {
        let path = place.at(&format!("{number}.mcap"));
        mcap_with(&path, &messages, sort);
        let (found, problems) = one(&path);
        assert!(found == expected, "sort {number}");
        assert!(problems.is_empty(), "{problems:?}");
        assert!(is_bag(&path));
    }
}

#[test]
fn the_same_frames_from_sqlite_and_from_folders() {
    let place = Place::new();
    let messages = recorded(FRAMES);
    let expected = expected(&messages);
    for version in [3, 4] {
        let path = place.at(&format!("{version}.db3"));
        sqlite(&path, &messages, version);
        assert!(one(&path).0 == expected && is_bag(&path), "version {version}");
    }
    // Split, and the second file first by its name.
    let (first, second) = messages.split_at(12);
    for storage in ["mcap", "sqlite3"] {
        let folder = place.at(storage);
        std::fs::create_dir(&folder).unwrap();
        for (name, part) in [("b_0", first), ("a_1", second)] {
            match storage {
                "mcap" => mcap(&folder.join(name), part),
                _ => sqlite(&folder.join(name), part, 4),
            }
        }
        metadata(&folder, storage, &["b_0", "a_1"]);
        let (found, problems) = one(&folder);
        assert!(found == expected && problems.is_empty() && is_bag(&folder), "{storage}: {problems:?}");
    }
}

#[test]
fn old_metadata_puts_the_folders_name_before_the_files() {
    let place = Place::new();
    sqlite(&place.at("bag_0.db3"), &recorded(3), 3);
    metadata(place.path(), "sqlite3", &["bag/bag_0.db3"]);
    assert_eq!(one(place.path()).0.len(), 3);
}

#[test]
fn compressed_bags_are_unpacked() {
    let place = Place::new();
    let messages = recorded(5);
    let expected = expected(&messages);
    for name in ["whole.mcap", "whole.db3"] {
        match name {
            "whole.mcap" => mcap(&place.at(name), &messages),
            _ => sqlite(&place.at(name), &messages, 4),
        }
        let packed = zstd::encode_all(&*std::fs::read(place.at(name)).unwrap(), 1).unwrap();
        let path = place.at(&format!("{name}.zstd"));
        std::fs::write(&path, &packed).unwrap();
        assert!(one(&path).0 == expected && is_bag(&path), "{name}");
        assert_eq!(episodes(&path).unwrap().episodes[0].name, "whole");
    }
    // Truncated: the beginning can be unpacked.
    let path = place.at("whole.mcap.zstd");
    let packed = std::fs::read(&path).unwrap();
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    if let Ok(found) = episodes(&path) {
        assert!(
            found.problems.iter().all(|problem| problem.contains("whole.mcap.zstd")),
            "{:?}",
            found.problems
        );
    }
    let mut single = messages.clone();
    single.iter_mut().for_each(|message| message.payload = zstd::encode_all(&*message.payload, 1).unwrap());
    sqlite(&place.at("single.db3"), &single, 4);
    let (found, problems) = one(&place.at("single.db3"));
    assert!(found == expected && problems.is_empty(), "{problems:?}");
    assert!(episodes(&place.at("single.db3")).unwrap().episodes[0].instruction.is_some());
}

#[test]
fn what_a_recorder_has_not_yet_put_into_the_file_is_read() {
    let place = Place::new();
    let path = place.at("live.db3");
    let messages = recorded(4);
    let recorder = sqlite_open(&path, &messages[..2], 4);
    recorder.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;").unwrap();
    let insert = "INSERT INTO messages (topic_id, timestamp, data) VALUES (2, ?1, ?2)";
    for message in &messages[2..] {
        recorder.execute(insert, (message.log_ns, &message.payload)).unwrap();
    }
    let before = std::fs::read(&path).unwrap();
    assert!(place.at("live.db3-wal").metadata().unwrap().len() > 0);
    assert_eq!(one(&path).0.len(), 4);
    assert!(std::fs::read(&path).unwrap() == before, "the bag is not written to");
    drop(recorder);
}

#[test]
fn of_a_cut_file_what_is_before_is_used() {
    let place = Place::new();
    let messages = recorded(FRAMES);
    let expected = expected(&messages);
    for (compression, least) in [(None, 24), (Some(Compression::Lz4), 20), (Some(Compression::Zstd), 20)] {
        let path = place.at("cut.mcap");
        // One chunk for all, as the recorded episodes have it, and several.
        for chunk in [20_000, 10_000_000] {
            mcap_with(&path, &messages, options(compression).chunk_size(Some(chunk)));
            let whole = std::fs::read(&path).unwrap();
            let keep = whole.len() * 9 / 10;
            std::fs::write(&path, &whole[..keep]).unwrap();
            let (found, problems) = one(&path);
            assert!(found.len() < FRAMES && found == expected[..found.len()]);
            // What is compressed in one block can only be unpacked with its end.
            assert!(found.len() >= least || chunk > 20_000 && compression.is_some(), "{}", found.len());
            assert_eq!(problems.len(), 1, "{problems:?}");
            let expected = [
                format!("truncated: it ends at byte {keep}"),
                format!("the {} messages before", found.len() + 1),
            ];
            assert!(expected.iter().all(|part| problems[0].contains(part)), "{problems:?}");
        }
    }
}

#[test]
fn a_file_may_end_anywhere() {
    let place = Place::new();
    let path = place.at("cut.mcap");
    for compression in [None, Some(Compression::Lz4), Some(Compression::Zstd)] {
        let messages = stream("/camera", 1_000_000_000, 20);
        mcap_with(&path, &messages, options(compression).chunk_size(Some(300)));
        let whole = std::fs::read(&path).unwrap();
        let mut most = 0;
        for keep in (8..=whole.len()).step_by(23) {
            std::fs::write(&path, &whole[..keep]).unwrap();
            let frames =
                Bag::open(&path).unwrap().index.topics.first().map_or(0, |topic| topic.entries.len());
            assert!(frames >= most, "{keep} bytes");
            most = frames;
        }
        assert!(most >= 18, "{most}");
    }
}

#[test]
fn nothing_in_a_file_is_believed() {
    let place = Place::new();
    let messages = stream("/camera", 1_000_000_000, 20);
    mcap_with(&place.at("a"), &messages, options(None).chunk_size(Some(300)));
    mcap_with(&place.at("b"), &messages, options(Some(Compression::Zstd)).chunk_size(Some(300)));
    mcap_with(&place.at("c"), &messages, options(Some(Compression::Lz4)).chunk_size(Some(300)));
    sqlite(&place.at("d"), &messages, 4);
    let mut seed = 1_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize
    };
    let mut used = 0;
    for name in ["a", "b", "c", "d"] {
        let whole = std::fs::read(place.at(name)).unwrap();
        for _ in 0..100 {
            let mut damaged = whole.clone();
            for _ in 0..=random() % 3 {
                let at = random() % (damaged.len() - 16) + 16;
                // Large lengths, mostly.
                let with = [0xFF, 0x7F, 0, random() as u8][random() % 4];
                damaged[at] = with;
            }
            std::fs::write(place.at("damaged"), &damaged).unwrap();
            let Ok(found) = episodes(&place.at("damaged")) else { continue };
            for episode in &found.episodes {
                let _ = episode.footage.play(&mut |_| std::ops::ControlFlow::Continue(()));
            }
            used += 1;
        }
    }
    assert!(used > 200, "{used} of 400 could be used");
}

#[test]
fn a_damaged_chunk_is_left_out() {
    let place = Place::new();
    let path = place.at("bag.mcap");
    let messages = recorded(FRAMES);
    let expected = expected(&messages);
    mcap_with(&path, &messages, options(Some(Compression::Zstd)));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0x55);
    std::fs::write(&path, &bytes).unwrap();
    let (found, problems) = one(&path);
    assert!(found.len() >= FRAMES - 12 && found.len() < FRAMES, "{}", found.len());
    assert!(found.iter().all(|frame| expected.contains(frame)));
    assert!(
        problems.len() == 1 && problems[0].contains("cannot be unpacked and is left out"),
        "{problems:?}"
    );
}

#[test]
fn of_a_cut_database_what_is_before_is_used() {
    let place = Place::new();
    let path = place.at("cut.db3");
    let messages = recorded(FRAMES);
    sqlite(&path, &messages, 4);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    match episodes(&path) {
        Ok(found) => assert!(found.problems[0].contains("truncated or damaged"), "{:?}", found.problems),
        Err(error) => assert!(error.to_string().contains("cut.db3"), "{error}"),
    }
}

#[test]
fn a_file_of_the_bag_that_is_missing_is_told() {
    let place = Place::new();
    mcap(&place.at("a.mcap"), &recorded(3));
    metadata(place.path(), "mcap", &["a.mcap", "b.mcap", "../c.mcap"]);
    let (found, problems) = one(place.path());
    assert_eq!(found.len(), 3);
    assert!(problems[0].contains("b.mcap") && problems[1].contains("is not in the folder"), "{problems:?}");
}

#[test]
fn a_file_may_be_there_under_its_compressed_name() {
    let place = Place::new();
    let messages = recorded(5);
    mcap(&place.at("plain.mcap"), &messages);
    let packed = zstd::encode_all(&*std::fs::read(place.at("plain.mcap")).unwrap(), 1).unwrap();
    for (listed, there, bytes) in [
        ("a.mcap", "a.mcap.zstd", packed.clone()),
        ("b.mcap.zstd", "b.mcap", std::fs::read(place.at("plain.mcap")).unwrap()),
    ] {
        let folder = place.at(&format!("of {there}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(there), bytes).unwrap();
        metadata(&folder, "mcap", &[listed]);
        let (found, problems) = one(&folder);
        assert!(found == expected(&messages) && problems.is_empty(), "{there}: {problems:?}");
    }
}

#[test]
fn a_split_that_the_metadata_does_not_list_is_named() {
    let place = Place::new();
    let messages = recorded(6);
    mcap(&place.at("a_0.mcap"), &messages[..4]);
    mcap(&place.at("a_1.mcap"), &messages[4..]);
    std::fs::write(place.at("._a_0.mcap"), "of macOS").unwrap();
    metadata(place.path(), "mcap", &["a_0.mcap"]);
    let problems = one(place.path()).1;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("a_1.mcap is left out") && problems[0].contains("reindex"), "{problems:?}");
}

#[test]
fn few_bytes_make_little_work() {
    let place = Place::new();
    // A table that is a question without end, and a column that is a gigabyte.
    let topics =
        "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);
         INSERT INTO topics VALUES (1, '/camera', 'sensor_msgs/msg/Image', 'cdr');";
    let endless = "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
         SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n;";
    let computed = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER,
         data BLOB GENERATED ALWAYS AS (zeroblob(999999999)) VIRTUAL);
         INSERT INTO messages VALUES (1, 1, 1);";
    for (name, messages) in [("view.db3", endless), ("computed.db3", computed)] {
        let connection = rusqlite::Connection::open(place.at(name)).unwrap();
        connection.execute_batch(&format!("{topics}{messages}")).unwrap();
        drop(connection);
        let error = refusal(episodes(&place.at(name)));
        assert!(error.contains(name) && error.contains("not one of rosbag2"), "{error}");
    }
    // Half a million messages in a few kilobytes.
    let mark = Message::new("/mark", "std_msgs/msg/Empty", 1, vec![0, 1, 0, 0, 0]);
    let messages: Vec<Message> = std::iter::repeat_n(mark, 530_000).collect();
    let path = place.at("many.mcap");
    mcap_with(
        &path,
        &messages,
        options(Some(Compression::Zstd)).chunk_size(Some(1 << 30)).emit_message_indexes(false),
    );
    let bytes = path.metadata().unwrap().len();
    let problems = Bag::open(&path).unwrap().index.problems;
    assert!(bytes < 2_000_000 && problems[0].contains("more than 524288 messages"), "{bytes}: {problems:?}");
    std::fs::write(place.at("metadata.yaml"), "[".repeat(200_000)).unwrap();
    let error = refusal(episodes(place.path()));
    assert!(error.contains("metadata.yaml") && error.contains("more than 64"), "{error}");
}

#[test]
fn what_is_no_bag_is_refused_by_name() {
    let place = Place::new();
    let refused = |name: &str, bytes: &[u8], part: &str| {
        std::fs::write(place.at(name), bytes).unwrap();
        let error = refusal(episodes(&place.at(name)));
        assert!(error.contains(name) && error.contains(part), "{error}");
        assert!(!is_bag(&place.at(name)));
    };
    refused("ros1.bag", b"#ROSBAG V2.0\n....", "ROS 1");
    refused("empty.mcap", b"", "empty");
    refused("video.mp4", b"....ftypisom....", "neither");
    let error = refusal(episodes(place.path()));
    assert!(error.contains("metadata.yaml") && error.contains("reindex"), "{error}");
    metadata(place.path(), "leveldb", &["a"]);
    assert!(refusal(episodes(place.path())).contains("\"leveldb\""));
    metadata(place.path(), "mcap", &["a"]);
    assert!(refusal(episodes(place.path())).contains("none of its files"));
    assert!(refusal(episodes(&place.at("absent.mcap"))).contains("absent.mcap"));
    rusqlite::Connection::open(place.at("other.db3")).unwrap().execute_batch("CREATE TABLE a(b)").unwrap();
    assert!(refusal(episodes(&place.at("other.db3"))).contains("not one of rosbag2"));
}
