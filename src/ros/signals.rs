//! Topics of plain text that steer the session: what the robot is to do, and when episodes begin and end.

use std::time::{Duration, Instant};

use futures::stream::select;
use futures::{Stream, StreamExt};
use r2r::std_msgs::msg::String as Text;
use r2r::{Node, QosProfile};

use super::inbox::{Input, Inputs};
use super::rcl::graph::Listening;
use super::rcl::names::Names;
use crate::episode::Signal;

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
                    "{topic}: \"{}\" is not understood and is ignored: use record, save, delete or exit",
                    text.data
                ),
            }
        }
    })
}

/// Subscribes to both sorts of publishers: from a latched one, also what it sent before; and those that do not latch, which
/// a transient-local subscription alone would never match. What a latched one sends comes twice, and is passed on once.
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

/// Distinguishes the second copy of a message that two subscriptions receive from a message that is sent again.
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
        let copy =
            self.waiting.iter().position(|(from, received, _)| *from != subscription && received == text);
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
    fn the_second_copy_is_no_text_that_is_sent_again() {
        let mut echo = Echo::default();
        let begun = Instant::now();
        assert!(!echo.repeats(0, "lift", begun));
        assert!(!echo.repeats(0, "place", begun));
        assert!(echo.repeats(1, "lift", begun));
        assert!(echo.repeats(1, "place", begun));
        assert!(!echo.repeats(1, "lift", begun), "sent again");
        let later = begun + Echo::APART;
        assert!(!echo.repeats(0, "lift", later), "a volatile publisher's text has no copy");
    }
}
