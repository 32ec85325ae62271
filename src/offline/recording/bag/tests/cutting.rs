//! Where episodes begin and end. The frames of all bags here are 100 ms apart; the level of each is its number.

use super::fixtures::*;
use crate::offline::recording::bag::{Choice, Cut};

const START: i64 = 1_000_000_000_000;
const SUMMARY: &str = "topreward/msg/EpisodeSummary";
const SUCCESS: &str = "topreward/msg/SuccessDetection";

/// 20 frames and more.
fn bag(more: Vec<Message>, choice: &Choice) -> Kept {
    let mut messages = stream("/front", START, 20);
    messages.extend(more);
    messages.sort_by_key(|message| message.log_ns);
    kept(&messages, choice).unwrap()
}

fn at(ms: i64) -> i64 {
    START + ms * 1_000_000
}

fn by(topic: &str) -> Choice {
    cut(Cut::Topic(topic.to_owned()))
}

/// What a node publishes at `published_ms` of an episode from `from_ms` to `to_ms`.
fn summary(topic: &'static str, published_ms: i64, id: u64, stamps_ns: (i64, i64), prefixes: u32) -> Message {
    let (first_ns, newest_ns) = stamps_ns;
    let cdr = Cdr::little().header(newest_ns, "camera").u64(id).text(&format!("task {id}")).u8(1);
    let cdr = cdr.text("success").u32(9).u32(prefixes).f64(-0.5).f64(0.9).f64(0.8);
    let cdr = cdr.u32(2).f64(0.0).f64(0.5).u32(2).f64(-3.0).f64(-0.5).time(newest_ns - first_ns);
    Message::new(topic, SUMMARY, at(published_ms), cdr.done())
}

fn success(published_ms: i64, id: u64, from_ms: i64, to_ms: i64) -> Message {
    let cdr = Cdr::little().header(at(to_ms), "camera").u64(id).text(&format!("task {id}"));
    let cdr = cdr.f64(-0.5).f64(-1.0).u32(9).time((to_ms - from_ms) * 1_000_000);
    Message::new("/topreward/success", SUCCESS, at(published_ms), cdr.done())
}

fn range(from: u8, to: u8) -> Vec<u8> {
    (from..=to).collect()
}

#[test]
fn uncut_a_bag_is_one_episode_by_the_files_name() {
    let found = bag(Vec::new(), &Choice::default());
    assert_eq!(levels(&found), [range(0, 19)]);
    assert_eq!((&*found.episodes[0].name, found.episodes[0].index), ("bag", 0));
    assert!(found.notes.is_empty() && found.problems.is_empty());
}

#[test]
fn a_nodes_episodes_are_its_scored_frames() {
    let messages = vec![
        summary("/topreward/episode", 950, 1, (at(200), at(800)), 4),
        summary("/topreward/episode", 1000, 2, (0, 0), 0),
        summary("/topreward/episode", 1850, 3, (at(1000), at(1700)), 4),
        Message::text("/instruction", START, "another task"),
    ];
    for choice in [Choice::default(), by("/topreward/episode")] {
        let found = bag(messages.clone(), &choice);
        assert_eq!(levels(&found), [range(2, 8), range(10, 17)]);
        let instructions: Vec<_> =
            found.episodes.iter().map(|episode| episode.instruction.as_deref()).collect();
        assert_eq!(instructions, [Some("task 1"), Some("task 3")]);
        let names: Vec<_> = found.episodes.iter().map(|episode| (&*episode.name, episode.index)).collect();
        assert_eq!(names, [("bag-000", 0), ("bag-001", 1)]);
        assert!(found.notes.iter().any(|note| note.contains("nothing was scored in the node's episode 2")));
        let says_how =
            found.notes.iter().any(|note| note.contains("cut into episodes by /topreward/episode"));
        assert_eq!(says_how, choice.cut == Cut::Auto);
    }
    assert_eq!(levels(&bag(messages.clone(), &cut(Cut::Whole))), [range(0, 19)]);
    let named = Choice { instruction: Some("/instruction".into()), ..Choice::default() };
    assert_eq!(
        bag(messages, &named).episodes[0].instruction.as_deref(),
        Some("another task"),
        "it was asked for"
    );
}

#[test]
fn successes_cut_where_no_summaries_are() {
    let mut messages =
        vec![success(900, 1, 200, 800), success(910, 1, 200, 800), success(1900, 2, 1500, 1800)];
    // One that was latched before the bag began.
    messages.insert(0, success(0, 9, -9000, -5000));
    let found = bag(messages.clone(), &Choice::default());
    assert_eq!(levels(&found), [range(2, 8), range(15, 18)]);
    assert!(
        found.problems.len() == 1 && found.problems[0].contains("episode 9 has no frame"),
        "{:?}",
        found.problems
    );
    messages.push(summary("/topreward/episode", 950, 1, (at(300), at(800)), 4));
    assert_eq!(levels(&bag(messages, &Choice::default())), [range(3, 8)], "summaries name all episodes");
}

#[test]
fn two_nodes_are_not_chosen_between() {
    let messages = vec![
        summary("/a/episode", 950, 1, (at(200), at(800)), 4),
        summary("/b/episode", 950, 1, (at(300), at(800)), 4),
    ];
    let found = bag(messages.clone(), &Choice::default());
    assert_eq!(levels(&found), [range(0, 19)]);
    assert!(found.notes[0].contains("/a/episode, /b/episode"), "{:?}", found.notes);
    assert_eq!(levels(&bag(messages, &by("/b/episode"))), [range(3, 8)]);
}

#[test]
fn an_episode_that_began_before_the_bag_is_told() {
    let found = bag(vec![summary("/topreward/episode", 950, 1, (at(-500), at(800)), 4)], &Choice::default());
    assert_eq!(levels(&found), [range(0, 8)]);
    assert!(
        found.problems[0].contains("first frames of the node's episode 1 are missing"),
        "{:?}",
        found.problems
    );
}

#[test]
fn a_clock_that_begins_anew_does_not_mix_episodes() {
    // Two runs of a simulation, each stamped 0 s, 0.5 s, …, 4.5 s; the node publishes the first when the second begins.
    let mut messages: Vec<Message> = (0..20)
        .map(|i| Message {
            payload: image(Cdr::little(), i % 10 * 500_000_000, i as u8),
            ..Message::image("/front", at(i * 100), 0)
        })
        .collect();
    messages.push(summary("/topreward/episode", 1010, 1, (0, 4_000_000_000), 4));
    messages.push(summary("/topreward/episode", 1990, 2, (0, 4_500_000_000), 4));
    messages.sort_by_key(|message| message.log_ns);
    let found = kept(&messages, &Choice::default()).unwrap();
    assert_eq!(levels(&found), [range(0, 8), range(10, 19)]);
}

#[test]
fn a_recorders_words_begin_and_end() {
    let words = [
        (150, "record"),
        (450, "record"),
        (500, "save"),
        (800, "record"),
        (1250, "delete"),
        (1700, "record"),
    ];
    let mut words: Vec<Message> = words.map(|(ms, word)| Message::text("/words", at(ms), word)).into();
    let found = bag(words.clone(), &by("/words"));
    assert_eq!(levels(&found), [range(2, 4), range(8, 12), range(17, 19)]);
    assert!(
        found.notes[0].contains("discarded at") && found.notes[0].contains("1.250 s"),
        "{:?}",
        found.notes
    );
    words.push(Message::text("/words", at(900), "pause"));
    let found = bag(words, &by("/words"));
    assert_eq!(found.episodes.len(), 3);
    assert!(found.notes.iter().any(|note| note.contains("\"pause\"")), "{:?}", found.notes);
}

#[test]
fn each_mark_ends_one_and_begins_the_next() {
    let marks = |type_name: &'static str, at_ms: &[i64]| {
        let mark = |ms: &i64| Message::new("/mark", type_name, at(*ms), vec![0, 1, 0, 0, 1]);
        bag(at_ms.iter().map(mark).collect(), &by("/mark"))
    };
    for type_name in ["std_msgs/msg/Empty", "std_msgs/msg/Bool"] {
        let found = marks(type_name, &[500, 1250]);
        assert_eq!(levels(&found), [range(0, 4), range(5, 12), range(13, 19)]);
        assert!(found.problems.is_empty());
    }
    // One before the first frame and one after the last mark no episode of their own.
    assert_eq!(levels(&marks("std_msgs/msg/Empty", &[-10, 1000, 2500])), [range(0, 9), range(10, 19)]);
    let found = marks("std_msgs/msg/Empty", &[510, 520]);
    assert_eq!(levels(&found), [range(0, 5), range(6, 19)]);
    assert!(found.problems[0].contains("the mark at 0.510 s has no frame"), "{:?}", found.problems);
}

#[test]
fn calls_of_a_service_are_marks() {
    let event = |ms: i64, kind: u8, call: u64| {
        let cdr = Cdr::little().u8(kind).time(at(ms)).bytes(&[7; 16]).u64(call).u32(0).u32(0);
        Message::new("/next/_service_event", "std_srvs/srv/Trigger_Event", at(ms), cdr.done())
    };
    // Client and server both record the first call and of its answer.
    let messages =
        vec![event(500, 0, 1), event(510, 1, 1), event(520, 2, 1), event(610, 3, 1), event(1250, 1, 2)];
    assert_eq!(
        levels(&bag(messages, &by("/next/_service_event"))),
        [range(0, 4), range(5, 12), range(13, 19)]
    );
}

#[test]
fn times_are_seconds_since_the_first_message() {
    // The bag begins half a second before the camera.
    let before = vec![Message::text("/words", at(-500), "hello")];
    let spans = |text: &str| bag(before.clone(), &cut(Cut::Spans(text.parse().unwrap())));
    assert_eq!(levels(&spans("0:1,1.2:1.4,2:")), [range(0, 4), range(7, 8), range(15, 19)]);
    let found = spans("0:0.5,0.5:1");
    assert_eq!(levels(&found), [range(0, 4)]);
    assert!(found.problems[0].contains("from 0 s to 0.5 s has no frame"), "{:?}", found.problems);
    assert_eq!(found.episodes[0].index, 0);
}

#[test]
fn a_cut_without_frames_is_an_error() {
    let messages = stream("/front", START, 5);
    let found = kept(&messages, &cut(Cut::Spans("10:20".parse().unwrap())));
    assert!(refusal(found).contains("no frame on /front"));
    let found = kept(&messages, &by("/front"));
    assert!(refusal(found).contains("sensor_msgs/msg/Image"));
    let found = kept(&messages, &by("/absent"));
    assert!(refusal(found).contains("no topic /absent"));
}

#[test]
fn a_message_that_cannot_be_read_is_left_out() {
    let mut broken = summary("/topreward/episode", 950, 1, (at(200), at(800)), 4);
    broken.payload.truncate(40);
    let messages = vec![broken, summary("/topreward/episode", 1850, 2, (at(1000), at(1700)), 4)];
    let found = bag(messages, &Choice::default());
    assert_eq!(levels(&found), [range(10, 17)]);
    assert!(found.problems[0].contains("/topreward/episode cannot be used"), "{:?}", found.problems);
}
