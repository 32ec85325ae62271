//! MCAP files. They are read record by record and without the summary at their end, which a recorder that was killed has
//! not written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mcap::records::Record;

use super::BagError;
use super::cdr::MESSAGE_LIMIT;
use super::chunk::{ChunkHeader, CompressedChunk, RECORD_HEAD};
use super::index::{Found, Index, MessageLocation};
use super::storage::{Messages, Storage, TooMuch, message_limit, unpacked_limit};

pub const MAGIC: [u8; 8] = *b"\x89MCAP0\r\n";

/// Schemas and channels are text; the largest ROS definitions have some 100 kB.
const TEXT_LIMIT: u64 = 16 << 20;
/// Channel, number and two times stand before the bytes of a message.
const MESSAGE_HEAD: u64 = 22;

mod op {
    pub const SCHEMA: u8 = 3;
    pub const CHANNEL: u8 = 4;
    pub const MESSAGE: u8 = 5;
    pub const CHUNK: u8 = 6;
    pub const DATA_END: u8 = 15;
}

pub struct McapFile {
    path: PathBuf,
    /// The path to be shown: of the compressed file, where this is what was in it.
    shown: PathBuf,
}

impl McapFile {
    pub fn new(path: &Path, shown: &Path) -> Self {
        Self { path: path.to_owned(), shown: shown.to_owned() }
    }
}

impl Storage for McapFile {
    fn scan(&self, file: u32, index: &mut Index) -> Result<(), BagError> {
        let failed = |source| BagError::read(&self.shown, source);
        let opened = File::open(&self.path).map_err(failed)?;
        let size = opened.metadata().map_err(failed)?.len();
        let mut scan = Scan {
            path: &self.path,
            shown: &self.shown,
            file,
            tape: Tape { reader: BufReader::new(opened), at: 0 },
            size,
            index,
            names: Names::default(),
            messages: 0,
            lost: 0,
        };
        let end = scan.run().map_err(failed)?;
        scan.report_end(end);
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Messages>, BagError> {
        let file = File::open(&self.path).map_err(|source| BagError::read(&self.shown, source))?;
        Ok(Box::new(OpenMcap { path: self.path.clone(), shown: self.shown.clone(), file, chunk: None }))
    }
}

/// The channels that were declared so far, as topics of the index.
#[derive(Default)]
struct Names {
    schemas: HashMap<u16, String>,
    topics: HashMap<u16, usize>,
}

impl Names {
    fn declare(&mut self, opcode: u8, body: &[u8], index: &mut Index) {
        match mcap::parse_record(opcode, body) {
            Ok(Record::Schema { header, .. }) => {
                self.schemas.entry(header.id).or_insert(header.name);
            }
            Ok(Record::Channel(channel)) => {
                let type_name = self.schemas.get(&channel.schema_id).map_or("", String::as_str);
                let topic = index.topic(&channel.topic, type_name, &channel.message_encoding);
                self.topics.entry(channel.id).or_insert(topic);
            }
            _ => {}
        }
    }

    fn topic(&self, message: &[u8; MESSAGE_HEAD as usize]) -> Option<(usize, i64)> {
        let [a, b, _, _, _, _, time @ ..] = *message;
        let topic = *self.topics.get(&u16::from_le_bytes([a, b]))?;
        let log_time = time.first_chunk().copied().map(u64::from_le_bytes)?;
        Some((topic, i64::try_from(log_time).unwrap_or(i64::MAX)))
    }
}

/// A file that is read forwards, mostly.
struct Tape {
    reader: BufReader<File>,
    at: u64,
}

impl Tape {
    /// Small steps stay within what is already read.
    fn go_to(&mut self, to: u64) -> std::io::Result<()> {
        match i64::try_from(i128::from(to) - i128::from(self.at)) {
            Ok(step) => self.reader.seek_relative(step)?,
            Err(_) => drop(self.reader.seek(SeekFrom::Start(to))?),
        }
        self.at = to;
        Ok(())
    }
}

impl Read for Tape {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(bytes)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// How the reading of a file ended.
enum End {
    /// With the record that ends the data.
    Whole,
    /// The file is over within the record that begins there, or before the one that is due there.
    Truncated { at: u64 },
    /// What stands there is no record.
    Garbled { at: u64 },
}

struct Scan<'a> {
    path: &'a Path,
    shown: &'a Path,
    file: u32,
    tape: Tape,
    size: u64,
    index: &'a mut Index,
    names: Names,
    /// Messages so far.
    messages: u64,
    /// Messages of channels that nothing is known of.
    lost: u64,
}

impl Scan<'_> {
    fn run(&mut self) -> std::io::Result<End> {
        self.tape.go_to(MAGIC.len() as u64)?;
        self.records(MAGIC.len() as u64, self.size, true)
    }

    /// Reads the records from `at` to `to`, where the reader stands.
    fn records(&mut self, mut at: u64, to: u64, outermost: bool) -> std::io::Result<End> {
        loop {
            if to.saturating_sub(at) < RECORD_HEAD {
                return Ok(if at == to && !outermost { End::Whole } else { End::Truncated { at } });
            }
            let mut head = [0; RECORD_HEAD as usize];
            self.tape.read_exact(&mut head)?;
            let [opcode, length @ ..] = head;
            let body = at + RECORD_HEAD;
            let bytes = u64::from_le_bytes(length);
            let end = body.checked_add(bytes).filter(|end| *end <= to);
            match (opcode, end) {
                (0, _) => return Ok(End::Garbled { at }),
                (op::DATA_END, Some(_)) if outermost => return Ok(End::Whole),
                (op::CHUNK, _) if outermost => self.chunk(at, body, end.unwrap_or(to), end.is_none())?,
                (_, None) => return Ok(End::Truncated { at }),
                (op::MESSAGE, Some(_)) => self.message(body, bytes)?,
                (op::SCHEMA | op::CHANNEL, Some(_)) if bytes <= TEXT_LIMIT => {
                    let mut text = vec![0; bytes as usize];
                    self.tape.read_exact(&mut text)?;
                    self.names.declare(opcode, &text, self.index);
                }
                _ => {}
            }
            let Some(end) = end else { return Ok(End::Truncated { at }) };
            self.tape.go_to(end)?;
            at = end;
        }
    }

    fn message(&mut self, body: u64, bytes: u64) -> std::io::Result<()> {
        let Some(payload) = bytes.checked_sub(MESSAGE_HEAD).and_then(|bytes| u32::try_from(bytes).ok())
        else {
            self.lost += 1;
            return Ok(());
        };
        let mut head = [0; MESSAGE_HEAD as usize];
        self.tape.read_exact(&mut head)?;
        let Some((topic, log_ns)) = self.names.topic(&head) else {
            self.lost += 1;
            return Ok(());
        };
        let mut stored = Vec::new();
        if self.index.wants(topic) && payload as usize <= MESSAGE_LIMIT {
            stored.resize(payload as usize, 0);
            self.tape.read_exact(&mut stored)?;
        }
        let location = MessageLocation::At { offset: body + MESSAGE_HEAD, bytes: payload };
        let found = self.index.look(topic, self.file, log_ns, location, &stored);
        self.index.take(found);
        self.messages += 1;
        Ok(())
    }

    /// The records of the chunk that begins at `at`; of one that the file's end cuts, those before.
    fn chunk(&mut self, at: u64, body: u64, end: u64, truncated: bool) -> std::io::Result<()> {
        let Some(header) = ChunkHeader::read(&mut self.tape, end - body)? else {
            if !truncated {
                self.problem(format!("the chunk at byte {at} does not say what it is and is left out"));
            }
            return Ok(());
        };
        if header.compression.is_empty() {
            let data = body + header.bytes;
            let data_end = data.saturating_add(header.compressed_size).min(end);
            match self.records(data, data_end, false)? {
                End::Truncated { at } | End::Garbled { at } if !truncated => {
                    self.problem(format!(
                        "the data at byte {at} is not a record: the chunk's rest is left out"
                    ));
                }
                _ => {}
            }
            return Ok(());
        }
        let mut found = Vec::new();
        match self.compressed(at, end, &mut found) {
            Err(error) if !truncated => {
                // The library keeps the reason of such an error to itself.
                let reason = match error {
                    mcap::McapError::Io(source) => source.to_string(),
                    other => other.to_string(),
                };
                self.problem(format!("the chunk at byte {at} cannot be unpacked and is left out: {reason}"));
            }
            _ => {
                self.messages += found.len() as u64;
                found.into_iter().for_each(|found| self.index.take(found));
            }
        }
        Ok(())
    }

    fn compressed(&mut self, at: u64, end: u64, found: &mut Vec<Found>) -> Result<(), mcap::McapError> {
        let mut chunk = CompressedChunk::open(File::open(self.path)?, at, end)?;
        let (most_bytes, most_messages) = (unpacked_limit(end - at), message_limit(self.size));
        let (mut nth, mut bytes) = (0, 0);
        while let Some(()) = chunk.next_record(&mut |opcode, body| {
            bytes += RECORD_HEAD + body.len() as u64;
            match opcode {
                op::SCHEMA | op::CHANNEL => self.names.declare(opcode, body, self.index),
                op::MESSAGE => {
                    let message = body.split_first_chunk();
                    match message.and_then(|(head, stored)| Some((self.names.topic(head)?, stored))) {
                        Some(((topic, log_ns), stored)) => {
                            let location = MessageLocation::InChunk { offset: at, nth };
                            found.push(self.index.look(topic, self.file, log_ns, location, stored));
                        }
                        None => self.lost += 1,
                    }
                    nth += 1;
                }
                _ => {}
            }
        })? {
            if bytes > most_bytes {
                return Err(std::io::Error::other(TooMuch::Bytes(most_bytes)).into());
            }
            if self.messages + found.len() as u64 > most_messages {
                return Err(std::io::Error::other(TooMuch::Messages(most_messages)).into());
            }
        }
        Ok(())
    }

    fn problem(&mut self, what: String) {
        self.index.problems.push(format!("{}: {what}", self.shown.display()));
    }

    fn report_end(&mut self, end: End) {
        let used = format!("the {} messages before are used", self.messages);
        match end {
            End::Whole => {}
            End::Truncated { at } if at == self.size => {
                self.problem(format!("the recording was not finished: it ends at byte {at}; {used}"));
            }
            End::Truncated { at } => self.problem(format!(
                "the file is truncated: it ends at byte {}, in the record that begins at byte {at}; {used}",
                self.size
            )),
            End::Garbled { at } => self.problem(format!("the data at byte {at} is not a record; {used}")),
        }
        if self.lost > 0 {
            self.problem(format!("{} messages belong to no channel and are left out", self.lost));
        }
    }
}

struct OpenMcap {
    path: PathBuf,
    shown: PathBuf,
    file: File,
    /// The chunk that was read last, where it begins, and which of its messages comes next.
    chunk: Option<(CompressedChunk, u64, u32)>,
}

impl Messages for OpenMcap {
    fn read(&mut self, location: MessageLocation) -> Result<Vec<u8>, BagError> {
        let failed = |source| BagError::read(&self.shown, source);
        match location {
            MessageLocation::At { offset, bytes } => {
                let mut stored = vec![0; (bytes as usize).min(MESSAGE_LIMIT)];
                self.file.seek(SeekFrom::Start(offset)).map_err(failed)?;
                self.file.read_exact(&mut stored).map_err(failed)?;
                Ok(stored)
            }
            MessageLocation::InChunk { offset, nth } => self
                .read_in_chunk(offset, nth)
                .map_err(|error| BagError::read(&self.shown, std::io::Error::other(error))),
            MessageLocation::Row(_) => Err(BagError::changed(&self.shown)),
        }
    }
}

impl OpenMcap {
    fn read_in_chunk(&mut self, offset: u64, nth: u32) -> Result<Vec<u8>, mcap::McapError> {
        let (mut chunk, mut next) = match self.chunk.take() {
            Some((chunk, at, next)) if at == offset && next <= nth => (chunk, next),
            _ => {
                let file = File::open(&self.path)?;
                let end = file.metadata()?.len();
                (CompressedChunk::open(file, offset, end)?, 0)
            }
        };
        let mut stored = None;
        while stored.is_none() {
            let record = chunk.next_record(&mut |opcode, body| {
                if opcode == op::MESSAGE {
                    if next == nth {
                        stored = body.get(MESSAGE_HEAD as usize..).map(<[u8]>::to_vec);
                    }
                    next += 1;
                }
            })?;
            if record.is_none() || (next > nth && stored.is_none()) {
                return Err(mcap::McapError::UnexpectedEoc);
            }
        }
        self.chunk = Some((chunk, offset, next));
        Ok(stored.unwrap_or_default())
    }
}
