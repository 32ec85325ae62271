//! What the robot was to do, from a topic.

use super::cdr::{self, Text};
use super::index::{Kind, Topic};
use super::{Bag, BagError, Report};

/// The texts on a topic.
pub struct Instructions {
    /// When each was recorded, nanoseconds, and the text, which is not blank.
    texts: Vec<(i64, String)>,
}

/// The topic of this name or, without one, the only one that is named as the node names it.
pub fn topic(bag: &Bag, name: Option<&str>, report: &mut Report) -> Result<Option<Instructions>, BagError> {
    let topic = match name {
        Some(name) => Some(bag.topic(name)?),
        None => by_name(bag, report),
    };
    let Some(topic) = topic else { return Ok(None) };
    if topic.kind != Kind::Text {
        return Err(bag.wrong_type(topic, "an instruction is a std_msgs/msg/String (cdr)"));
    }
    let texts = bag.read(topic, |payload| cdr::decode::<Text>(payload), report)?;
    let mut texts: Vec<(i64, String)> = texts.into_iter().map(|(log_ns, text)| (log_ns, text.data)).collect();
    texts.retain(|(_, text)| !text.trim().is_empty());
    Ok(Some(Instructions { texts }))
}

fn by_name<'a>(bag: &'a Bag, report: &mut Report) -> Option<&'a Topic> {
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
            report.notes.push(format!(
                "{}: several topics could hold the instruction, so none is taken; name one with --instruction-topic: {}",
                bag.shown(),
                names.join(", ")
            ));
            None
        }
    }
}

impl Instructions {
    /// The text that held at `first_ns`: the last one up to then, else the first one up to `until_ns`.
    pub fn at(&self, first_ns: i64, until_ns: i64) -> Option<String> {
        let after = self.texts.partition_point(|(log_ns, _)| *log_ns <= first_ns);
        let before = after.checked_sub(1).and_then(|last| self.texts.get(last));
        let during = || self.texts.get(after).filter(|(log_ns, _)| *log_ns <= until_ns);
        before.or_else(during).map(|(_, text)| text.clone())
    }
}
