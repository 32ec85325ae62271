//! Topics of plain text that steer the session: what the robot is to do, and when episodes begin and end.

use std::time::{Duration, Instant};

use futures::stream::select;
use futures::{Stream, StreamExt};
use r2r::std_msgs::msg::String as Text;
use r2r::{Node, QosProfile};

use super::driver::{Input, Inputs};
use super::graph::Listening;
use super::names::Names;

/// What an episode signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Begins an episode, or ends the running one.
    Record,
    /// The running episode ends: its recording is kept, thrown away, or was the last one.
    End,
}

impl Signal {
    /// The words of the recorders in use: "record" is one key for both start and stop.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim() {
            "record" => Some(Self::Record),
            "save" | "delete" | "exit" => Some(Self::End),
            _ => None,
        }
    }
}

const INSTRUCTION_TOPIC: &str = "~/instruction";

/// What the graph is to be watched for.
pub fn listening(signal_topic: &str, names: &Names) -> Vec<Listening> {
    let topics = [INSTRUCTION_TOPIC, signal_topic].into_iter().filter(|topic| !topic.is_empty());
    let listening = |topic| Listening {
        topic: names.resolve(topic),
        message_type: "std_msgs/msg/String",
        reliable: true,
    };
    topics.map(listening).collect()
}

/// What a recorder's words mean, one after the other: it says "record" at the start and at the end, so this follows
/// whether it is recording. An episode that ends by itself in between does not turn the next "record" into a start.
#[derive(Debug, Default)]
pub struct Recorder {
    recording: bool,
}

impl Recorder {
    /// Whether the recorder is recording after this.
    pub fn hear(&mut self, signal: Signal) -> bool {
        self.recording = signal == Signal::Record && !self.recording;
        self.recording
    }
}

/// Passes on what comes on ~/instruction, for as long as the node lives.
pub fn instructions(node: &mut Node, inputs: Inputs) -> r2r::Result<impl Future<Output = ()> + Send + use<>> {
    let mut texts = latched_or_not(node, INSTRUCTION_TOPIC)?;
    Ok(async move {
        while let Some(text) = texts.next().await {
            inputs.send(Input::InstructionTopic(text.data));
        }
    })
}

/// Passes on the episode signals of a recorder.
pub fn episodes(
    node: &mut Node,
    topic: &str,
    inputs: Inputs,
) -> r2r::Result<impl Future<Output = ()> + Send + use<>> {
    // A signal that was latched before this node came is history.
    let mut texts = node.subscribe::<Text>(topic, QosProfile::default().reliable())?;
    let topic = topic.to_owned();
    Ok(async move {
        while let Some(text) = texts.next().await {
            match Signal::parse(&text.data) {
                Some(signal) => inputs.send(Input::Signal(signal)),
                None => log::warn!(
                    "{topic}: \"{}\" is not understood and ignored: use record, save, delete or exit",
                    text.data
                ),
            }
        }
    })
}

/// Hears both sorts of publishers: from a latched one also what it said before, and one that does not latch, which a
/// transient-local subscription alone would never match. What a latched one says comes twice, and is passed on once.
fn latched_or_not(
    node: &mut Node,
    topic: &str,
) -> r2r::Result<impl Stream<Item = Text> + Unpin + Send + use<>> {
    let reliable = || QosProfile::default().reliable();
    let latched = node.subscribe::<Text>(topic, reliable().transient_local().keep_last(1))?;
    let volatile = node.subscribe::<Text>(topic, reliable())?;
    let copies = select(latched.map(|text| (0, text)), volatile.map(|text| (1, text)));
    let mut echo = Echo::default();
    Ok(copies
        .filter(move |(subscription, text)| {
            std::future::ready(!echo.repeats(*subscription, &text.data, Instant::now()))
        })
        .map(|(_, text)| text))
}

/// Tells the second copy of a message that two subscriptions receive from one that is sent again.
#[derive(Default)]
struct Echo {
    /// What one subscription has received and the other has not yet.
    waiting: Vec<(usize, String, Instant)>,
}

impl Echo {
    /// The copies arrive together; later, an equal text is a new one.
    const APART: Duration = Duration::from_secs(1);

    fn repeats(&mut self, subscription: usize, text: &str, now: Instant) -> bool {
        self.waiting.retain(|(_, _, since)| now.duration_since(*since) < Self::APART);
        let copy = self.waiting.iter().position(|(from, said, _)| *from != subscription && said == text);
        match copy {
            Some(index) => {
                self.waiting.remove(index);
                true
            }
            None => {
                self.waiting.push((subscription, text.to_owned(), now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_copy_is_told_from_a_text_that_is_said_again() {
        let mut echo = Echo::default();
        let begun = Instant::now();
        assert!(!echo.repeats(0, "lift", begun));
        assert!(!echo.repeats(0, "place", begun));
        assert!(echo.repeats(1, "lift", begun));
        assert!(echo.repeats(1, "place", begun));
        assert!(!echo.repeats(1, "lift", begun), "said again");
        let later = begun + Echo::APART;
        assert!(!echo.repeats(0, "lift", later), "a volatile publisher's text has no copy");
    }

    #[test]
    fn record_begins_and_ends() {
        let mut recorder = Recorder::default();
        let words =
            [Signal::Record, Signal::Record, Signal::Record, Signal::End, Signal::End, Signal::Record];
        assert_eq!(words.map(|word| recorder.hear(word)), [true, false, true, false, false, true]);
    }

    #[test]
    fn the_words_of_a_recorder() {
        assert_eq!(Signal::parse("record"), Some(Signal::Record));
        assert_eq!(Signal::parse(" save\n"), Some(Signal::End));
        assert_eq!(Signal::parse("delete"), Some(Signal::End));
        assert_eq!(Signal::parse("exit"), Some(Signal::End));
        assert_eq!(Signal::parse("Record"), None);
    }
}
