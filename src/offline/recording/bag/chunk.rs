//! Chunks of MCAP files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};

use mcap::McapError;
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};

use super::cdr::MESSAGE_LIMIT;

/// Its kind and its length stand before each record.
pub const RECORD_HEAD: u64 = 9;
/// Two times, the size and checksum of what is in the chunk, and the length of the compression's name.
const FIXED: u64 = 32;
const NAME_LIMIT: u64 = 64;

/// What stands before a chunk's records.
pub struct ChunkHeader {
    /// How they are compressed; empty: not at all.
    pub compression: String,
    /// Bytes of the records in the file.
    pub compressed_size: u64,
    /// Bytes of the records when they are unpacked.
    pub uncompressed_size: u64,
    /// Bytes of this header.
    pub bytes: u64,
}

impl ChunkHeader {
    /// Reads the header of a chunk of which the file has `available` bytes; `None` if it is not whole or no header.
    pub fn read(from: &mut impl Read, available: u64) -> std::io::Result<Option<Self>> {
        if available < FIXED {
            return Ok(None);
        }
        let mut fixed = [0; FIXED as usize];
        from.read_exact(&mut fixed)?;
        let number = |at: usize| fixed[at..].first_chunk().copied();
        let (Some(unpacked), Some(name)) = (number(16).map(u64::from_le_bytes), fixed.last_chunk()) else {
            return Ok(None);
        };
        let name = u64::from(u32::from_le_bytes(*name));
        let bytes = FIXED + name + 8;
        if name > NAME_LIMIT || bytes > available {
            return Ok(None);
        }
        let mut rest = vec![0; name as usize + 8];
        from.read_exact(&mut rest)?;
        let Some((name, size)) = rest.split_last_chunk() else { return Ok(None) };
        let compression = String::from_utf8_lossy(name).into_owned();
        let compressed_size = u64::from_le_bytes(*size);
        Ok(Some(Self { compression, compressed_size, uncompressed_size: unpacked, bytes }))
    }
}

/// The records of a compressed chunk, unpacked one after the other: a chunk may hold a whole recording.
pub struct CompressedChunk {
    reader: LinearReader,
    source: Take<BufReader<File>>,
}

impl CompressedChunk {
    /// The chunk record that begins at byte `at`, and ends before `end`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(file: File, at: u64, end: u64) -> Result<Self, McapError> {
        let mut source = BufReader::new(file);
        source.seek(SeekFrom::Start(at.saturating_add(RECORD_HEAD)))?;
        let header = ChunkHeader::read(&mut source, end.saturating_sub(at).saturating_sub(RECORD_HEAD))?;
        // No record in it is longer than all of them; the decompressors need some room at least.
        let unpacked = header.map_or(0, |header| header.uncompressed_size);
        let limit = usize::try_from(unpacked).unwrap_or(usize::MAX).clamp(1 << 20, MESSAGE_LIMIT);
        source.seek(SeekFrom::Start(at))?;
        let options = LinearReaderOptions::default()
            .with_skip_start_magic(true)
            .with_skip_end_magic(true)
            .with_validate_chunk_crcs(true)
            .with_record_length_limit(limit);
        let reader = LinearReader::new_with_options(options);
        Ok(Self { reader, source: source.take(end.saturating_sub(at)) })
    }

    /// Shows the next record: its kind and its bytes. `None` after the last.
    ///
    /// # Errors
    /// The chunk is cut, damaged or compressed in an unknown way.
    pub fn next_record(&mut self, show: &mut dyn FnMut(u8, &[u8])) -> Result<Option<()>, McapError> {
        loop {
            match self.reader.next_event() {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(LinearReadEvent::Record { opcode, data })) => {
                    show(opcode, data);
                    return Ok(Some(()));
                }
                Some(Ok(LinearReadEvent::ReadRequest(bytes))) => {
                    let room = self.reader.insert(bytes.min(MESSAGE_LIMIT));
                    let read = self.source.read(room)?;
                    self.reader.notify_read(read);
                }
            }
        }
    }
}
