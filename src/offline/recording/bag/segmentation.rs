//! Where the episodes of a bag begin and end.

use std::fmt;
use std::str::FromStr;

use super::camera::CameraTopic;
use super::cdr::{self, EpisodeSummary, Header, ServiceEvent, SuccessDetection, Text, Time};
use super::index::{IndexedMessage, Kind, Topic};
use super::{Bag, BagError, Report, first_of};
use crate::episode::{MAX_STEP_S, Recorder, Signal};

/// How a bag is cut into episodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Cut {
    /// By the episodes that a node reported if exactly one node was recorded, else not at all.
    #[default]
    Auto,
    /// Not at all.
    Whole,
    /// By the messages on this topic; their type says how.
    Topic(String),
    /// By times.
    Spans(Spans),
}

/// A stretch of a bag, in seconds since its first message: from `from_s` on and before `to_s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub from_s: f64,
    /// Infinite: up to the end.
    pub to_s: f64,
}

/// Stretches of a bag, written "0:12.5,20:31"; "40:" goes up to the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Spans(pub Vec<Span>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a span of time: give FROM:TO in seconds since the bag's start, as in 0:12.5,20:31")]
pub struct SpanError(String);

impl FromStr for Spans {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        text.split(',').map(|span| span.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refuse = || SpanError(text.to_owned());
        let (from, to) = text.split_once(':').ok_or_else(refuse)?;
        let from_s: f64 = from.trim().parse().map_err(|_| refuse())?;
        let to_s: f64 = match to.trim() {
            "" => f64::INFINITY,
            to => to.parse().map_err(|_| refuse())?,
        };
        match from_s >= 0.0 && from_s.is_finite() && to_s > from_s {
            true => Ok(Self { from_s, to_s }),
            false => Err(refuse()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_s.is_finite() {
            true => write!(f, "the stretch from {} s to {} s", self.from_s, self.to_s),
            false => write!(f, "the stretch from {} s to the end", self.from_s),
        }
    }
}

/// What becomes an episode.
pub struct Piece {
    pub entries: Vec<IndexedMessage>,
    /// What the node was asked in it.
    pub instruction: Option<String>,
    /// In words, for messages.
    pub what: String,
    /// It is the whole bag.
    pub whole: bool,
}

impl Piece {
    fn whole(camera: &CameraTopic<'_>) -> Self {
        let entries = camera.entries.clone();
        Self { entries, instruction: None, what: "the bag".to_owned(), whole: true }
    }

    /// The frames that were recorded from `from_ns` on and before `to_ns`.
    fn between(camera: &CameraTopic<'_>, from_ns: i64, to_ns: i64, what: String) -> Self {
        let before = |limit_ns: i64| camera.entries.partition_point(|entry| entry.log_ns < limit_ns);
        let (from, to) = (before(from_ns), before(to_ns));
        let entries = camera.entries[from.min(to)..to].to_vec();
        Self { entries, instruction: None, what, whole: false }
    }

    /// When its last frame was recorded, nanoseconds.
    pub fn until_ns(&self) -> i64 {
        self.entries.last().map_or(i64::MIN, |entry| entry.log_ns)
    }
}

/// Cuts the frames of the camera into episodes, which may be empty.
pub fn pieces(
    bag: &Bag,
    camera: &CameraTopic<'_>,
    cut: &Cut,
    report: &mut Report,
) -> Result<Vec<Piece>, BagError> {
    match cut {
        Cut::Whole => Ok(vec![Piece::whole(camera)]),
        Cut::Topic(name) => by_topic(bag, camera, bag.topic(name)?, report),
        Cut::Spans(Spans(spans)) => Ok(by_spans(bag, camera, spans)),
        Cut::Auto => match of_a_node(bag, report) {
            Some(topic) => {
                report.notes.push(format!(
                    "{}: cut into episodes by {}, as the node reported them (--whole-bag: not at all)",
                    bag.shown(),
                    topic.name
                ));
                by_topic(bag, camera, topic, report)
            }
            None => Ok(vec![Piece::whole(camera)]),
        },
    }
}

/// The only topic on which a node reported its episodes or, without one, its successes.
fn of_a_node<'a>(bag: &'a Bag, report: &mut Report) -> Option<&'a Topic> {
    for kind in [Kind::Summary, Kind::Success] {
        let reports = |topic: &&Topic| topic.kind == kind && !topic.entries.is_empty();
        let topics: Vec<&Topic> = bag.index.topics.iter().filter(reports).collect();
        match *topics.as_slice() {
            [] => {}
            [topic] => return Some(topic),
            _ => {
                let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
                report.notes.push(format!(
                    "{}: several nodes reported their episodes, so it is not cut; name a topic with --episode-topic: {}",
                    bag.shown(),
                    names.join(", ")
                ));
                return None;
            }
        }
    }
    None
}

fn by_spans(bag: &Bag, camera: &CameraTopic<'_>, spans: &[Span]) -> Vec<Piece> {
    let start_ns = bag.index.span_ns.map_or(0, |(first, _)| first);
    // A cast of what is too large, or infinite, gives the largest number.
    let at_ns = |time_s: f64| start_ns.saturating_add((time_s * 1e9).round() as i64);
    let piece = |span: &Span| Piece::between(camera, at_ns(span.from_s), at_ns(span.to_s), span.to_string());
    spans.iter().map(piece).collect()
}

fn by_topic(
    bag: &Bag,
    camera: &CameraTopic<'_>,
    topic: &Topic,
    report: &mut Report,
) -> Result<Vec<Piece>, BagError> {
    match topic.kind {
        Kind::Summary => {
            let messages = bag.read(topic, |payload| cdr::decode::<EpisodeSummary>(payload), report)?;
            let reported = messages.into_iter().map(|(log_ns, summary)| NodeEpisode::summary(log_ns, summary)).collect();
            Ok(by_node(bag, camera, reported, report))
        }
        Kind::Success => {
            let messages = bag.read(topic, |payload| cdr::decode::<SuccessDetection>(payload), report)?;
            let reported = messages.into_iter().map(|(log_ns, success)| NodeEpisode::success(log_ns, success)).collect();
            Ok(by_node(bag, camera, reported, report))
        }
        Kind::Text => {
            let words = bag.read(topic, |payload| cdr::decode::<Text>(payload), report)?;
            let words: Vec<(i64, String)> = words.into_iter().map(|(log_ns, text)| (log_ns, text.data)).collect();
            Ok(by_words(bag, camera, topic, &words, report))
        }
        Kind::Mark => {
            let marks: Vec<i64> = topic.entries.iter().map(|entry| entry.log_ns).collect();
            Ok(by_marks(bag, camera, &marks))
        }
        Kind::Call => {
            let events = bag.read(topic, |payload| cdr::decode::<ServiceEvent>(payload), report)?;
            Ok(by_marks(bag, camera, &calls(&events)))
        }
        Kind::RawImage | Kind::CompressedImage | Kind::Other => Err(bag.wrong_type(
            topic,
            "episodes are reported by topreward/msg/EpisodeSummary or SuccessDetection, std_msgs/msg/String, Empty or \
             Bool, or calls of std_srvs/srv/Trigger or Empty (cdr)",
        )),
    }
}

/// One episode as a node reported it.
struct NodeEpisode {
    log_ns: i64,
    episode_id: u64,
    instruction: String,
    /// Stamps of its first frame and of the newest that was scored; none if none was.
    scored_ns: Option<(i64, i64)>,
}

impl NodeEpisode {
    fn summary(log_ns: i64, summary: EpisodeSummary) -> Self {
        let EpisodeSummary { header, episode_id, instruction, episode_time, prefixes, .. } = summary;
        let scored_ns = (prefixes > 0).then(|| scored_ns(&header, episode_time));
        Self { log_ns, episode_id, instruction, scored_ns }
    }

    fn success(log_ns: i64, success: SuccessDetection) -> Self {
        let SuccessDetection { header, episode_id, instruction, episode_time, .. } = success;
        Self { log_ns, episode_id, instruction, scored_ns: Some(scored_ns(&header, episode_time)) }
    }
}

fn scored_ns(header: &Header, episode_time: Time) -> (i64, i64) {
    let newest_ns = header.stamp.ns();
    (newest_ns.saturating_sub(episode_time.ns()), newest_ns)
}

/// The frames of each episode by their stamps: from its first to the newest that was scored.
fn by_node(
    bag: &Bag,
    camera: &CameraTopic<'_>,
    mut reported: Vec<NodeEpisode>,
    report: &mut Report,
) -> Vec<Piece> {
    // What is latched may be recorded twice.
    reported.dedup_by_key(|episode| (episode.episode_id, episode.scored_ns));
    let mut pieces = Vec::new();
    let mut before_ns = i64::MIN;
    for NodeEpisode { log_ns, episode_id, instruction, scored_ns } in reported {
        let what = format!("the node's episode {episode_id}");
        let entries = match scored_ns {
            None => {
                report.notes.push(format!("{}: nothing was scored in {what}: it is left out", bag.shown()));
                before_ns = log_ns;
                continue;
            }
            Some((first_ns, newest_ns)) if camera.stamped => {
                let entries = stamped_between(camera, log_ns, first_ns, newest_ns);
                if entries.first().is_some_and(|entry| entry.stamp_ns > first_ns.saturating_add(SLACK_NS)) {
                    report.problems.push(format!("{}: the first frames of {what} are missing", bag.shown()));
                }
                entries
            }
            Some(_) => {
                let until_ns = log_ns.saturating_add(1);
                Piece::between(camera, before_ns.saturating_add(1), until_ns, String::new()).entries
            }
        };
        before_ns = log_ns;
        let instruction = Some(instruction).filter(|instruction| !instruction.trim().is_empty());
        pieces.push(Piece { entries, instruction, what, whole: false });
    }
    pieces
}

/// The times of the messages went through floating point.
const SLACK_NS: i64 = 1_000;

/// The frames stamped from `first_ns` to `newest_ns` that were recorded before `log_ns`. Where a simulation's clock began
/// anew, so that other episodes have the same stamps, those among which the newest is.
fn stamped_between(
    camera: &CameraTopic<'_>,
    log_ns: i64,
    first_ns: i64,
    newest_ns: i64,
) -> Vec<IndexedMessage> {
    let stamps = first_ns.saturating_sub(SLACK_NS)..=newest_ns;
    let fits = |entry: &&IndexedMessage| entry.log_ns <= log_ns && stamps.contains(&entry.stamp_ns);
    let mut runs: Vec<Vec<IndexedMessage>> = Vec::new();
    for entry in camera.entries.iter().filter(fits) {
        match runs.last_mut().and_then(|run| Some((run.last()?.stamp_ns, run))) {
            Some((before_ns, run))
                if before_ns.saturating_sub(entry.stamp_ns) <= (MAX_STEP_S * 1e9) as i64 =>
            {
                run.push(*entry)
            }
            _ => runs.push(vec![*entry]),
        }
    }
    let has_newest = |run: &Vec<IndexedMessage>| run.iter().any(|entry| entry.stamp_ns == newest_ns);
    match runs.iter().rposition(has_newest) {
        Some(place) => runs.swap_remove(place),
        None => runs.into_iter().max_by_key(Vec::len).unwrap_or_default(),
    }
}

/// As the node follows a recorder: see [`Recorder`].
fn by_words(
    bag: &Bag,
    camera: &CameraTopic<'_>,
    topic: &Topic,
    words: &[(i64, String)],
    report: &mut Report,
) -> Vec<Piece> {
    let (mut pieces, mut unknown, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    let mut recorder = Recorder::default();
    let mut begun_ns = None;
    for (log_ns, word) in words {
        let Some(signal) = Signal::parse(word) else {
            unknown.push(format!("\"{word}\" on {} is not a command of a recorder", topic.name));
            continue;
        };
        match (begun_ns, recorder.follow(signal)) {
            (None, true) => begun_ns = Some(*log_ns),
            (Some(from_ns), false) => {
                let what = format!("the recording from {}", since_start(bag, from_ns));
                pieces.push(Piece::between(camera, from_ns, *log_ns, what));
                begun_ns = None;
            }
            _ => {}
        }
        if word.trim() == "delete" {
            let when = since_start(bag, *log_ns);
            deleted.push(format!("what the recorder discarded at {when} is scored too"));
        }
    }
    if let Some(from_ns) = begun_ns {
        let what = format!("the recording from {}", since_start(bag, from_ns));
        pieces.push(Piece::between(camera, from_ns, i64::MAX, what));
    }
    report.notes.extend([unknown, deleted].into_iter().filter_map(|lines| first_of(&bag.shown(), lines)));
    pieces
}

/// Each mark ends an episode and begins the next. What is before the first and after the last counts if it has frames.
fn by_marks(bag: &Bag, camera: &CameraTopic<'_>, marks: &[i64]) -> Vec<Piece> {
    let from = std::iter::once(i64::MIN).chain(marks.iter().copied());
    let to = marks.iter().copied().chain([i64::MAX]);
    let piece = |(from_ns, to_ns)| {
        let what = match from_ns {
            i64::MIN => "what is before the first mark".to_owned(),
            _ => format!("what follows the mark at {}", since_start(bag, from_ns)),
        };
        Piece::between(camera, from_ns, to_ns, what)
    };
    let mut pieces: Vec<Piece> = from.zip(to).map(piece).collect();
    pieces.pop_if(|piece| piece.entries.is_empty());
    if pieces.first().is_some_and(|piece| piece.entries.is_empty()) {
        pieces.remove(0);
    }
    pieces
}

/// When each call was made; client and server may both have reported it.
fn calls(events: &[(i64, ServiceEvent)]) -> Vec<i64> {
    let mut seen = std::collections::HashSet::new();
    let is_request = |event: &&(i64, ServiceEvent)| event.1.event_type <= 1;
    let requests = events.iter().filter(is_request);
    requests
        .filter(|(_, event)| seen.insert((event.client_gid, event.sequence_number)))
        .map(|(at, _)| *at)
        .collect()
}

/// "12.500 s" since the bag's first message.
fn since_start(bag: &Bag, log_ns: i64) -> String {
    let start_ns = bag.index.span_ns.map_or(log_ns, |(first, _)| first);
    format!("{:.3} s", log_ns.saturating_sub(start_ns) as f64 / 1e9)
}
