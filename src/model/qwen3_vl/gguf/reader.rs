//! Reading on through a header whose every length may be a lie. By hand: candle's reader panics at an
//! alignment of 0, keeps one of two tensors of the same name, and does not name the tensor whose type it does not know.

use std::fs::File;
use std::io::{BufReader, Read};

use super::super::error::LoadError;

/// No name in a header may be longer; the format's own bound for keys.
const LONGEST_NAME: u64 = 65_535;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A file, read from its first byte on. Nothing is allocated before the file is known to be long enough for it.
pub struct Reader<'a> {
    name: &'a str,
    file: BufReader<&'a File>,
    place: u64,
    size: u64,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// The file's own.
    pub fn new(name: &'a str, file: &'a File) -> Result<Self, LoadError> {
        let size = file.metadata().map_err(|source| LoadError::Read { file: name.to_owned(), source })?.len();
        Ok(Self { name, file: BufReader::new(file), place: 0, size })
    }

    /// Of the next byte.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The error for what is wrong with this file.
    pub fn damaged(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Weights { file: self.name.to_owned(), reason: reason.into() }
    }

    fn unreadable(&self, source: std::io::Error) -> LoadError {
        LoadError::Read { file: self.name.to_owned(), source }
    }

    /// Moves on by so many bytes, which the file must still have.
    fn advance(&mut self, bytes: u64) -> Result<(), LoadError> {
        if bytes > self.size - self.place {
            return Err(self.damaged("its header goes on past the end of the file"));
        }
        self.place += bytes;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), LoadError> {
        self.file.read_exact(bytes).map_err(|source| self.unreadable(source))
    }

    /// The next bytes.
    ///
    /// # Errors
    /// As all that follow: a header that goes on past the end of the file, or the file's own error.
    pub fn bytes<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], LoadError> {
        let mut bytes = [0; COUNT];
        self.advance(COUNT as u64)?;
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub fn u32(&mut self) -> Result<u32, LoadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub fn u64(&mut self) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A number of things, of which each takes `least` bytes or more and which may not be more than `most`.
    pub fn count(&mut self, things: &str, least: u64, most: u64) -> Result<u64, LoadError> {
        let count = self.u64()?;
        if count > most || count > (self.size - self.place) / least {
            return Err(self.damaged(format!("it declares {count} {things}")));
        }
        Ok(count)
    }

    /// A short text.
    pub fn text(&mut self) -> Result<String, LoadError> {
        let length = self.u64()?;
        if length > LONGEST_NAME {
            return Err(self.damaged(format!("a name in its header has {length} bytes")));
        }
        self.advance(length)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.damaged("a name in its header is not UTF-8"))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), LoadError> {
        self.advance(bytes)?;
        // A file of this size has an i64 for each of its places.
        self.file.seek_relative(bytes as i64).map_err(|source| self.unreadable(source))
    }

    fn skip_text(&mut self) -> Result<(), LoadError> {
        let length = self.u64()?;
        self.skip(length)
    }

    /// Leaves out a value of metadata.
    pub fn skip_value(&mut self, kind: u32) -> Result<(), LoadError> {
        match kind {
            STRING => self.skip_text(),
            ARRAY => self.skip_array(),
            _ => {
                let size = self.size_of(kind)?;
                self.skip(size)
            }
        }
    }

    /// Arrays of arrays are refused: no file of these architectures has any.
    fn skip_array(&mut self) -> Result<(), LoadError> {
        let kind = self.u32()?;
        if kind == STRING {
            let count = self.count("texts in an array", 8, u64::MAX)?;
            return (0..count).try_for_each(|_| self.skip_text());
        }
        let size = self.size_of(kind)?;
        let count = self.count("values in an array", size, u64::MAX)?;
        self.skip(count * size)
    }

    /// Bytes of a value of fixed size.
    fn size_of(&self, kind: u32) -> Result<u64, LoadError> {
        match kind {
            0 | 1 | 7 => Ok(1),
            2 | 3 => Ok(2),
            4..=6 => Ok(4),
            10..=12 => Ok(8),
            ARRAY => Err(self.damaged("its metadata has an array of arrays")),
            _ => Err(self.damaged(format!("its metadata has a value of the unknown type {kind}"))),
        }
    }
}
