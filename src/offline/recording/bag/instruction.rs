//! What the robot was to do, from a topic.

use super::cdr::{self, Text};
use super::index::{Kind, Topic};
use super::{Bag, BagError, Said};

/// What was said on a topic.
pub struct Instructions {
    /// When it was recorded, nanoseconds, and the text, which is not blank.
    said: Vec<(i64, String)>,
}

/// The topic of this name or, without one, the only one that is named as the node names it.
pub fn topic(bag: &Bag, name: Option<&str>, said: &mut Said) -> Result<Option<Instructions>, BagError> {
    let topic = match name {
        Some(name) => Some(bag.topic(name)?),
        None => by_name(bag, said),
    };
    let Some(topic) = topic else { return Ok(None) };
    if topic.kind != Kind::Text {
        return Err(bag.wrong_type(topic, "an instruction is a std_msgs/msg/String (cdr)"));
    }
    let texts = bag.read(topic, |payload| cdr::decode::<Text>(payload), said)?;
    let mut texts: Vec<(i64, String)> = texts.into_iter().map(|(log_ns, text)| (log_ns, text.data)).collect();
    texts.retain(|(_, text)| !text.trim().is_empty());
    Ok(Some(Instructions { said: texts }))
}

fn by_name<'a>(bag: &'a Bag, said: &mut Said) -> Option<&'a Topic> {
    let is_one = |topic: &&Topic| {
        let named = *topic.name == *"instruction" || topic.name.ends_with("/instruction");
        named && topic.kind == Kind::Text && !topic.entries.is_empty()
    };
    let topics: Vec<&Topic> = bag.index.topics.iter().filter(is_one).collect();
    match *topics.as_slice() {
        [topic] => Some(topic),
        [] => None,
        _ => {
            let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
            said.notes.push(format!(
                "{}: several topics could hold the instruction, so none is taken; name one with --instruction-topic: {}",
                bag.shown(),
                names.join(", ")
            ));
            None
        }
    }
}

impl Instructions {
    /// What held at `first_ns`: said last before or then, else first up to `until_ns`.
    pub fn at(&self, first_ns: i64, until_ns: i64) -> Option<String> {
        let after = self.said.partition_point(|(log_ns, _)| *log_ns <= first_ns);
        let before = after.checked_sub(1).and_then(|last| self.said.get(last));
        let during = || self.said.get(after).filter(|(log_ns, _)| *log_ns <= until_ns);
        before.or_else(during).map(|(_, text)| text.clone())
    }
}
