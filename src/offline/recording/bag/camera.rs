//! The camera of a bag, and its frames.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cdr::{self, CompressedImage, Image};
use super::index::{IndexedMessage, Kind, Topic};
use super::storage::{Messages, Storage};
use super::{Bag, BagError, Choice, Report, list};
use crate::episode::image::{ImageError, decode_compressed, decode_raw};
use crate::episode::{CameraFrame, StampRule, StampSource, believed};
use crate::offline::recording::{Footage, RecordingError};

/// The topic whose images are scored.
pub struct CameraTopic<'a> {
    pub topic: &'a Topic,
    /// Its images in order of their recording.
    pub entries: Vec<IndexedMessage>,
    /// Whether their headers say when they were taken.
    pub stamped: bool,
    rule: StampRule,
}

impl<'a> CameraTopic<'a> {
    /// The camera by the name of its topic, or the only one.
    pub fn choose(bag: &'a Bag, choice: &Choice, report: &mut Report) -> Result<Self, BagError> {
        let topic = match choice.camera.as_deref() {
            Some(name) => named(bag, name, report)?,
            None => only(bag, report)?,
        };
        let mut entries = topic.entries.clone();
        if let Some((count, reason)) = &topic.refused {
            let (bag, topic, count) = (bag.shown(), topic.name.to_string(), *count);
            let reason = reason.to_string();
            if entries.is_empty() {
                return Err(BagError::BadImages { bag, topic, count, reason });
            }
            report.problems.push(format!(
                "{bag}: {count} images on {topic} cannot be used and are left out; the first: {reason}"
            ));
        }
        let asked = choice.stamps == StampSource::Receipt;
        let stamped = !asked && entries.iter().any(|entry| entry.stamp_ns != 0);
        if !stamped && !asked && !entries.is_empty() {
            report.notes.push(format!(
                "{}: the images on {} have no stamps, of which the node would live see only the first; the times of \
                 their recording are used",
                bag.shown(),
                topic.name
            ));
        }
        if !stamped {
            entries.iter_mut().for_each(|entry| entry.stamp_ns = entry.log_ns);
        }
        Ok(Self { topic, entries, stamped, rule: choice.rule.clone() })
    }
}

/// Image transport's name for the compressed images of a camera.
const COMPRESSED: &str = "/compressed";

fn named<'a>(bag: &'a Bag, name: &str, report: &mut Report) -> Result<&'a Topic, BagError> {
    let topic = match bag.topic(name) {
        Err(BagError::NoTopic { .. }) if bag.topic(&format!("{name}{COMPRESSED}")).is_ok() => {
            report.notes.push(format!("{}: {name} was recorded as {name}{COMPRESSED}", bag.shown()));
            bag.topic(&format!("{name}{COMPRESSED}"))?
        }
        found => found?,
    };
    match topic.kind.is_image() {
        true => Ok(topic),
        false => Err(bag.wrong_type(topic, "a camera's are sensor_msgs/msg/Image or CompressedImage (cdr)")),
    }
}

fn only<'a>(bag: &'a Bag, report: &mut Report) -> Result<&'a Topic, BagError> {
    let images: Vec<&Topic> =
        bag.index.topics.iter().filter(|topic| topic.kind.is_image() && topic.messages > 0).collect();
    match *images.as_slice() {
        [] => Err(BagError::NoImages { bag: bag.shown(), there: list(bag.index.topics.iter()) }),
        [topic] => Ok(topic),
        [a, b] if camera_of(a) == camera_of(b) && a.kind != b.kind => {
            let (raw, compressed) = if a.kind == Kind::RawImage { (a, b) } else { (b, a) };
            report.notes.push(format!(
                "{}: of the camera's two topics the raw one is taken, {} ({} images); {} has {} (--topic takes it)",
                bag.shown(),
                raw.name,
                raw.messages,
                compressed.name,
                compressed.messages
            ));
            Ok(raw)
        }
        _ => Err(BagError::SeveralCameras { bag: bag.shown(), there: list(images.into_iter()) }),
    }
}

fn camera_of(topic: &Topic) -> &str {
    topic.name.strip_suffix(COMPRESSED).unwrap_or(&topic.name)
}

/// Reads messages out of the files of a bag; the file that was read last stays open.
pub struct Reader {
    files: Arc<[Box<dyn Storage>]>,
    open: Option<(u32, Box<dyn Messages>)>,
}

impl Reader {
    pub fn new(files: Arc<[Box<dyn Storage>]>) -> Self {
        Self { files, open: None }
    }

    /// The bytes of a message, as they were stored.
    pub fn read(&mut self, entry: &IndexedMessage) -> Result<Vec<u8>, BagError> {
        let messages = match self.open.take() {
            Some((file, messages)) if file == entry.file => messages,
            _ => match self.files.get(entry.file as usize) {
                Some(file) => file.open()?,
                None => return Err(BagError::Changed(format!("file {} of the bag", entry.file))),
            },
        };
        self.open.insert((entry.file, messages)).1.read(entry.location)
    }
}

/// The frames of one episode.
pub struct Film {
    name: String,
    files: Arc<[Box<dyn Storage>]>,
    kind: Kind,
    topic: Arc<str>,
    entries: Vec<IndexedMessage>,
    rule: StampRule,
    /// Whether images that are left out were warned about.
    warned: AtomicBool,
}

impl Film {
    pub fn new(bag: &Bag, camera: &CameraTopic<'_>, entries: Vec<IndexedMessage>, name: String) -> Self {
        let (kind, topic) = (camera.topic.kind, camera.topic.name.clone());
        let (files, rule) = (bag.files.clone(), camera.rule.clone());
        Self { name, files, kind, topic, entries, rule, warned: AtomicBool::new(false) }
    }

    fn frame(&self, entry: &IndexedMessage, stored: Vec<u8>) -> Result<CameraFrame, BagError> {
        let (topic, kind) = (self.topic.clone(), self.kind);
        let refused = |error: cdr::CdrError| {
            let reason = error.to_string();
            BagError::BadImages { bag: self.name.clone(), topic: topic.to_string(), count: 1, reason }
        };
        let payload = cdr::unpacked(&stored).map_err(refused)?;
        let (frame_id, size) = match kind {
            Kind::RawImage => {
                let image: Image = cdr::decode(&payload).map_err(refused)?;
                (image.header.frame_id, Some((image.width, image.height)))
            }
            _ => {
                let image: CompressedImage = cdr::decode(&payload).map_err(refused)?;
                (image.header.frame_id, None)
            }
        };
        let payload = payload.into_owned();
        let decode = move || {
            let unreadable = |error: cdr::CdrError| ImageError::File {
                file: format!("the image on {topic}"),
                reason: error.to_string(),
            };
            match kind {
                Kind::RawImage => {
                    let image: Image = cdr::decode(&payload).map_err(unreadable)?;
                    decode_raw(image.view())
                }
                _ => {
                    let image: CompressedImage = cdr::decode(&payload).map_err(unreadable)?;
                    decode_compressed(&image.format, image.data)
                }
            }
        };
        Ok(CameraFrame::new(entry.stamp_ns, frame_id.into(), size, decode))
    }
}

impl Film {
    /// Whether the times of the recording tell anything.
    fn timed(&self) -> bool {
        let log_ns = |entry: Option<&IndexedMessage>| entry.map(|entry| entry.log_ns);
        log_ns(self.entries.first()) != log_ns(self.entries.last())
    }

    /// The images whose stamps the node would believe.
    fn believed(&self) -> Result<Vec<IndexedMessage>, BagError> {
        let timed = self.timed();
        let stamps = self.entries.iter().map(|entry| (entry.stamp_ns, timed.then_some(entry.log_ns)));
        let found = believed(self.rule.clone(), stamps).map_err(|(place, step)| BagError::ClockStep {
            name: self.name.clone(),
            topic: self.topic.to_string(),
            number: place,
            step,
        })?;
        if !found.left_out.is_empty() && !self.warned.swap(true, Ordering::Relaxed) {
            let count: usize = found.left_out.iter().map(|(_, count)| count).sum();
            let reasons: Vec<String> =
                found.left_out.iter().map(|(reason, count)| format!("{} {count}", reason.as_str())).collect();
            log::warn!(
                "{}: {count} of {} images on {} are left out by their stamps, as the node does ({})",
                self.name,
                self.entries.len(),
                self.topic,
                reasons.join(", ")
            );
        }
        Ok(found.kept.into_iter().map(|place| self.entries[place]).collect())
    }
}

impl Footage for Film {
    /// Images that overtook each other, and those whose stamps cannot be, are left out where the node would drop them.
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        let mut reader = Reader::new(self.files.clone());
        for entry in self.believed()? {
            if show(self.frame(&entry, reader.read(&entry)?)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}
