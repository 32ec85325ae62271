//! Which camera, which images and which instruction are taken.

use super::fixtures::*;
use crate::episode::{StampRule, StampSource};
use crate::offline::recording::bag::{Bag, Choice, Use, summary};

const START: i64 = 1_000_000_000_000;

fn camera(name: &str) -> Choice {
    Choice { camera: Some(name.to_owned()), ..Choice::default() }
}

#[test]
fn the_only_camera_is_taken_and_several_are_listed() {
    let mut messages = stream("/wrist", START, 3);
    messages.push(Message::text("/words", START, "hello"));
    assert_eq!(levels(&kept(&messages, &Choice::default()).unwrap()), [[0, 1, 2]]);
    messages.extend(stream("/front", START, 2));
    let error = refusal(kept(&messages, &Choice::default()));
    let parts = [
        "--topic",
        "/front (sensor_msgs/msg/Image, 2 messages)",
        "/wrist (sensor_msgs/msg/Image, 3 messages)",
    ];
    assert!(parts.iter().all(|part| error.contains(part)) && !error.contains("/words"), "{error}");
    for name in ["/front", "front"] {
        assert_eq!(levels(&kept(&messages, &camera(name)).unwrap()), [[0, 1]]);
    }
}

#[test]
fn of_one_cameras_two_topics_the_raw_one_is_taken() {
    let mut messages = stream("/front", START, 2);
    let compressed = recorded(3).into_iter().filter(|message| message.topic == CAMERA);
    messages.extend(compressed.map(|message| Message { topic: "/front/compressed", ..message }));
    let found = kept(&messages, &Choice::default()).unwrap();
    assert_eq!(levels(&found), [[0, 1]]);
    assert!(
        found.notes[0].contains("raw") && found.notes[0].contains("/front/compressed"),
        "{:?}",
        found.notes
    );
    let found = kept(&messages, &camera("/front/compressed")).unwrap();
    assert_eq!(frames(&*found.episodes[0].footage).unwrap().len(), 3);
}

#[test]
fn a_camera_that_was_recorded_compressed_is_found_by_its_name() {
    let found = kept(&recorded(3), &camera("/camera/image_raw")).unwrap();
    assert!(found.notes[0].contains("/camera/image_raw/compressed"), "{:?}", found.notes);
}

#[test]
fn wrong_topics_are_refused_by_name() {
    let mut messages = stream("/front", START, 2);
    messages.push(Message::text("/words", START, "hello"));
    let error = refusal(kept(&messages, &camera("/back")));
    assert!(
        error.contains("/back") && error.contains("/front (sensor_msgs/msg/Image, 2 messages)"),
        "{error}"
    );
    let error = refusal(kept(&messages, &camera("/words")));
    assert!(error.contains("/words") && error.contains("std_msgs/msg/String"), "{error}");
    let by = |name: &str| Choice { instruction: Some(name.to_owned()), ..Choice::default() };
    assert!(refusal(kept(&messages, &by("/front"))).contains("sensor_msgs/msg/Image"));
    assert!(refusal(kept(&messages, &by("/absent"))).contains("/absent"));
}

#[test]
fn a_bag_without_images_says_what_it_has() {
    let other = Message::new("/video", "foxglove_msgs/msg/CompressedVideo", START, vec![0, 1, 0, 0]);
    let error = refusal(kept(&[other], &Choice::default()));
    assert!(
        error.contains("no images") && error.contains("/video (foxglove_msgs/msg/CompressedVideo"),
        "{error}"
    );
}

#[test]
fn messages_of_another_encoding_are_not_taken_for_cdr() {
    let place = Place::new();
    let path = place.at("bag.db3");
    let connection = sqlite_open(&path, &stream("/front", START, 2), 4);
    connection.execute("UPDATE topics SET serialization_format = 'protobuf'", ()).unwrap();
    connection.close().unwrap();
    let error = refusal(Bag::open(&path).unwrap().episodes(&camera("/front")));
    assert!(error.contains("(protobuf)"), "{error}");
}

#[test]
fn images_that_lie_about_their_size_are_left_out() {
    let mut messages = stream("/front", START, 4);
    let data_length = messages[2].payload.len() - 16;
    messages[2].payload[data_length..data_length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let found = kept(&messages, &Choice::default()).unwrap();
    assert_eq!(levels(&found), [[0, 1, 3]]);
    assert!(found.problems[0].contains("1 images on /front"), "{:?}", found.problems);
    // 4 billion pixels in each direction, in 12 bytes.
    for message in &mut messages {
        let huge =
            Cdr::little().header(message.log_ns, "camera").u32(u32::MAX).u32(u32::MAX).text("rgb8").u8(0);
        message.payload = huge.u32(u32::MAX).u32(12).bytes(&[0; 12]).done();
    }
    let error = refusal(kept(&messages, &Choice::default()));
    assert!(error.contains("none of the 4 images on /front"), "{error}");
}

#[test]
fn an_encoding_without_colours_is_refused_once_for_all() {
    let depth = |message: Message| {
        let cdr = Cdr::little().header(message.log_ns, "camera").u32(2).u32(2).text("16UC1").u8(0);
        Message { payload: cdr.u32(4).u32(8).bytes(&[0; 8]).done(), ..message }
    };
    let messages: Vec<Message> = stream("/depth", START, 3).into_iter().map(depth).collect();
    let error = refusal(kept(&messages, &Choice::default()));
    assert!(error.contains("none of the 3 images on /depth") && error.contains("16UC1"), "{error}");
}

#[test]
fn both_byte_orders_show_the_same() {
    let little = stream("/front", START, 3);
    let mut big = little.clone();
    for (level, message) in big.iter_mut().enumerate() {
        message.payload = image(Cdr::big(), message.log_ns, level as u8);
    }
    let all = |messages: &[Message]| {
        let found = kept(messages, &Choice::default()).unwrap();
        frames(&*found.episodes[0].footage).unwrap()
    };
    assert!(all(&little) == all(&big));
    assert_eq!(all(&big)[2].0, START + 200_000_000);
}

#[test]
fn unstamped_images_have_the_times_of_their_recording() {
    let mut messages = stream("/front", START, 3);
    messages.iter_mut().for_each(|message| message.payload = image(Cdr::little(), 0, 5));
    let found = kept(&messages, &Choice::default()).unwrap();
    let stamps: Vec<i64> =
        frames(&*found.episodes[0].footage).unwrap().iter().map(|(stamp_ns, _)| *stamp_ns).collect();
    assert_eq!(stamps, [START, START + 100_000_000, START + 200_000_000]);
    assert!(found.notes[0].contains("no stamps"), "{:?}", found.notes);
}

#[test]
fn stamps_decide_and_late_images_are_left_out_as_the_node_does() {
    let mut messages = stream("/front", START, 4);
    for (message, stamp_ns) in messages.iter_mut().zip([50, 250, 150, 350]) {
        message.payload = image(Cdr::little(), stamp_ns * 1_000_000, stamp_ns as u8);
    }
    let found = kept(&messages, &Choice::default()).unwrap();
    assert_eq!(levels(&found), [[50, 250, 94]], "350 is 94 in 8 bits; 150 came too late");
}

/// 2 × 2 pixels of one level, 100 ms after each other by the bag; stamped as told, in seconds.
fn stamped(stamps_s: &[f64]) -> Vec<Message> {
    let message = |(level, stamp_s): (usize, &f64)| {
        let log_ns = START + level as i64 * 100_000_000;
        let payload = image(Cdr::little(), (stamp_s * 1e9).round() as i64, level as u8);
        Message { payload, ..Message::image("/front", log_ns, 0) }
    };
    stamps_s.iter().enumerate().map(message).collect()
}

#[test]
fn odd_stamps_are_left_out_as_the_node_does() {
    const REAL_S: f64 = 1_760_000_000.0;
    let mut stamps_s: Vec<f64> = (0..8).map(|i| REAL_S + f64::from(i) * 0.1).collect();
    (stamps_s[0], stamps_s[3], stamps_s[5], stamps_s[7]) = (0.0, 0.0, REAL_S + 300.0, 0.0);
    let found = kept(&stamped(&stamps_s), &Choice::default()).unwrap();
    assert_eq!(levels(&found), [[1, 2, 4, 6]]);
}

#[test]
fn a_bag_whose_clock_was_set_is_no_episode_but_by_the_times_of_its_recording() {
    let stamps_s = [1.0, 1.1, 301.2, 301.3, 301.4, 301.5];
    let found = kept(&stamped(&stamps_s), &Choice::default()).unwrap();
    let error = frames(&*found.episodes[0].footage).unwrap_err().to_string();
    assert!(error.contains("image 4") && error.contains("(+300.300 s) while 0.300 s passed"), "{error}");
    assert!(error.contains("--stamps receipt") && error.contains("--cut"), "{error}");
    let choice = Choice { rule: StampRule::new(400.0), ..Choice::default() };
    assert_eq!(levels(&kept(&stamped(&stamps_s), &choice).unwrap()), [[0, 1, 2, 3, 4, 5]]);
    for stamps_s in [stamps_s, [7.0; 6], [0.0; 6]] {
        let choice = Choice { stamps: StampSource::Receipt, ..Choice::default() };
        let found = kept(&stamped(&stamps_s), &choice).unwrap();
        let times: Vec<i64> = frames(&*found.episodes[0].footage)
            .unwrap()
            .iter()
            .map(|(stamp_ns, _)| stamp_ns - START)
            .collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 5].map(|i| i * 100_000_000));
        assert!(found.notes.is_empty(), "{:?}", found.notes);
    }
}

#[test]
fn a_pause_of_the_camera_is_none_of_its_clock() {
    let mut messages = stream("/front", START, 3);
    messages.push(Message::image("/front", START + 60_000_000_000, 3));
    assert_eq!(levels(&kept(&messages, &Choice::default()).unwrap()), [[0, 1, 2, 3]]);
}

fn instruction(texts: &[(&'static str, i64, &str)], choice: &Choice) -> Option<String> {
    let mut messages = stream("/front", START, 10);
    messages.extend(
        texts.iter().map(|(topic, after_ms, text)| Message::text(topic, START + after_ms * 1_000_000, text)),
    );
    kept(&messages, choice).unwrap().episodes[0].instruction.clone()
}

#[test]
fn the_instruction_is_the_last_before_the_episode_or_the_first_in_it() {
    let of = |texts: &[(&'static str, i64, &str)]| instruction(texts, &Choice::default());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[("/task", 0, "lift")]), None, "by its name");
    let instructions =
        [("/instruction", -50, "lift"), ("/instruction", 0, "push"), ("/instruction", 300, "pull")];
    assert_eq!(of(&instructions).as_deref(), Some("push"), "sent with the first frame");
    assert_eq!(of(&instructions[..1]).as_deref(), Some("lift"));
    assert_eq!(of(&instructions[2..]).as_deref(), Some("pull"));
    assert_eq!(of(&[("/instruction", 2000, "late")]), None, "the episode lasts 0.9 s");
    assert_eq!(of(&[("/instruction", -9, "lift"), ("/instruction", -5, " \n")]).as_deref(), Some("lift"));
    assert_eq!(of(&[("/topreward/instruction", 0, "lift")]).as_deref(), Some("lift"));
    assert_eq!(of(&[("/a/instruction", 0, "lift"), ("/b/instruction", 0, "push")]), None);
    let named = Choice { instruction: Some("/task".into()), ..Choice::default() };
    assert_eq!(
        instruction(&[("/task", 0, "lift"), ("/instruction", 0, "push")], &named).as_deref(),
        Some("lift")
    );
}

#[test]
fn the_summary_is_what_was_put_in() {
    let mut messages = stream("/front", START, 11);
    messages[4].payload.truncate(30);
    messages.push(Message::text("/words", START + 3_000_000_000, "hello"));
    messages.push(Message::new("/tf", "tf2_msgs/msg/TFMessage", START, vec![0, 1, 0, 0]));
    let place = Place::new();
    mcap(&place.at("bag.mcap"), &messages);
    let found = summary(&place.at("bag.mcap")).unwrap();
    assert_eq!((found.storage, found.files, found.messages), ("mcap", 1, 13));
    assert_eq!((found.start_ns, found.duration_s), (Some(START), 3.0));
    let topics: Vec<_> =
        found.topics.iter().map(|topic| (&*topic.name, topic.messages, topic.usable_as)).collect();
    let expected = [("/front", 11, Some(Use::Camera)), ("/tf", 1, None), ("/words", 1, Some(Use::Text))];
    assert_eq!(topics, expected);
    // 10 of 11 images can be used, the first and the last one second apart.
    assert_eq!(found.topics[0].rate_hz, Some(9.0));
    assert_eq!(found.topics[0].refused.as_ref().map(|(count, _)| *count), Some(1));
    assert!(serde_json::to_string(&found).unwrap().contains("\"usable_as\":\"camera\""));
}
