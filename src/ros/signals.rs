//! Topics of plain text that steer the session: what the robot is to do, and when episodes begin and end.

use futures::stream::select;
use futures::{Stream, StreamExt};
use r2r::std_msgs::msg::String as Text;
use r2r::{Node, QosProfile};

use super::driver::{Input, Inputs};

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

/// Passes on what comes on ~/instruction, for as long as the node lives.
pub fn instructions(node: &mut Node, inputs: Inputs) -> r2r::Result<impl Future<Output = ()> + Send + use<>> {
    let mut texts = latched_or_not(node, "~/instruction")?;
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
/// transient-local subscription alone would never match. A latched message comes twice; the second changes nothing.
fn latched_or_not(
    node: &mut Node,
    topic: &str,
) -> r2r::Result<impl Stream<Item = Text> + Unpin + Send + use<>> {
    let reliable = || QosProfile::default().reliable();
    let latched = node.subscribe::<Text>(topic, reliable().transient_local().keep_last(1))?;
    let volatile = node.subscribe::<Text>(topic, reliable())?;
    Ok(select(latched, volatile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_recorder() {
        assert_eq!(Signal::parse("record"), Some(Signal::Record));
        assert_eq!(Signal::parse(" save\n"), Some(Signal::End));
        assert_eq!(Signal::parse("delete"), Some(Signal::End));
        assert_eq!(Signal::parse("exit"), Some(Signal::End));
        assert_eq!(Signal::parse("Record"), None);
    }
}
