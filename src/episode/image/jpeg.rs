//! What a JPEG says before it is decoded: its size, whether it is whole, and the tables that it leaves out.
//!
//! Decoders fill what is missing of a picture with grey and call it good. Here it is an error: the markers are read
//! (ITU-T T.81, Annex B), and the codes of each scan are counted off without computing a pixel (`scan.rs`).

use std::borrow::Cow;

mod scan;
mod standard_tables;

use scan::{Codes, Scan};

/// What is wrong with a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    #[error("the JPEG is cut short after {0} bytes")]
    Cut(usize),
    #[error("the JPEG is cut short: {found} of its {expected} blocks are there")]
    Blocks { found: usize, expected: usize },
    #[error("the JPEG is damaged near byte {0}")]
    Damaged(usize),
}

/// A picture up to its first scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub width: u16,
    pub height: u16,
    /// Whether each block comes in several scans.
    progressive: bool,
    /// Whether its blocks are coded in a way that is followed here: Huffman's.
    huffman: bool,
    components: Vec<Component>,
    /// Where the first scan's marker lies.
    scan: usize,
    has_tables: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Component {
    id: u8,
    /// Blocks of this component in a unit, across and down.
    across: usize,
    down: usize,
}

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;
const HUFFMAN_TABLES: u8 = 0xC4;
const RESTART_INTERVAL: u8 = 0xDD;

impl Header {
    /// The header alone: as good as free.
    ///
    /// # Errors
    /// No header, or none of a picture.
    pub fn read(data: &[u8]) -> Result<Self, JpegError> {
        let mut header = None;
        let mut has_tables = false;
        let mut at = 2;
        loop {
            let segment = Segment::next(data, at)?;
            match segment.marker {
                HUFFMAN_TABLES => has_tables = true,
                START_OF_SCAN => {
                    let header: Self = header.ok_or(JpegError::Damaged(segment.start))?;
                    return Ok(Self { scan: segment.start, has_tables, ..header });
                }
                END_OF_IMAGE => return Err(JpegError::Damaged(segment.start)),
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    header = Some(Self::frame(&segment)?);
                }
                _ => {}
            }
            at = segment.end;
        }
    }

    /// What a start of a frame says.
    fn frame(segment: &Segment) -> Result<Self, JpegError> {
        let damaged = JpegError::Damaged(segment.start);
        let &[_precision, h1, h0, w1, w0, count, ref listed @ ..] = segment.body else { return Err(damaged) };
        let components: Vec<_> = (listed.chunks_exact(3).take(count.into()))
            .map(|one| Component { id: one[0], across: (one[1] >> 4).into(), down: (one[1] & 15).into() })
            .collect();
        let sound = |one: &Component| (1..=4).contains(&one.across) && (1..=4).contains(&one.down);
        if components.len() != usize::from(count) || components.is_empty() || !components.iter().all(sound) {
            return Err(damaged);
        }
        Ok(Self {
            width: u16::from_be_bytes([w1, w0]),
            height: u16::from_be_bytes([h1, h0]),
            progressive: segment.marker == 0xC2,
            huffman: matches!(segment.marker, 0xC0..=0xC2),
            components,
            scan: 0,
            has_tables: false,
        })
    }

    /// What shows without going through the scans: whether an end follows, which cannot occur inside a scan's data, where
    /// FF is always stuffed; and at least a bit for each unit.
    ///
    /// # Errors
    /// The data are cut short.
    pub fn check_length(&self, data: &[u8]) -> Result<(), JpegError> {
        let rest = data.get(self.scan..).unwrap_or_default();
        let end = rest.windows(2).rposition(|pair| pair == [0xFF, END_OF_IMAGE]);
        if end.is_none() {
            return Err(JpegError::Cut(data.len()));
        }
        let (across, down) = self.units();
        if self.huffman && rest.len().saturating_mul(8) < across * down {
            return Err(JpegError::Cut(data.len()));
        }
        Ok(())
    }

    /// Units across and down. A unit has the blocks that share a place.
    fn units(&self) -> (usize, usize) {
        let (across, down) = self.largest();
        (usize::from(self.width).div_ceil(8 * across), usize::from(self.height).div_ceil(8 * down))
    }

    fn largest(&self) -> (usize, usize) {
        let across = self.components.iter().map(|one| one.across).max().unwrap_or(1);
        (across, self.components.iter().map(|one| one.down).max().unwrap_or(1))
    }

    /// The picture with the standard's Huffman tables if it has none.
    pub fn with_tables<'a>(&mut self, data: &'a [u8]) -> Cow<'a, [u8]> {
        if self.has_tables || !self.huffman {
            return Cow::Borrowed(data);
        }
        self.has_tables = true;
        let (before, behind) = data.split_at(self.scan);
        let tables = standard_tables::segment();
        self.scan += tables.len();
        Cow::Owned([before, &tables, behind].concat())
    }

    /// Goes through all scans, up to the picture's end.
    ///
    /// # Errors
    /// A scan that ends before its last block, or holds what is no code.
    pub fn check_scans(&self, data: &[u8]) -> Result<(), JpegError> {
        if !self.huffman {
            return Ok(());
        }
        let mut codes = Codes::default();
        let (mut restart, mut scans, mut at) = (0, 0, 2);
        loop {
            let segment = Segment::next(data, at)?;
            at = segment.end;
            match (segment.marker, segment.body) {
                (HUFFMAN_TABLES, body) => codes.define(body).ok_or(JpegError::Damaged(segment.start))?,
                (RESTART_INTERVAL, &[high, low]) => restart = usize::from(u16::from_be_bytes([high, low])),
                (START_OF_SCAN, body) => {
                    let scan = Scan::of(self, body, restart).ok_or(JpegError::Damaged(segment.start))?;
                    at = scan.pass(&codes, data, at)?;
                    scans += 1;
                }
                (END_OF_IMAGE, _) if scans > 0 => return Ok(()),
                _ => {}
            }
        }
    }
}

/// A marker with what belongs to it.
struct Segment<'a> {
    marker: u8,
    start: usize,
    body: &'a [u8],
    /// Behind its last byte.
    end: usize,
}

impl<'a> Segment<'a> {
    /// The next one from `at` on; what lies between two is passed over, as all decoders do.
    fn next(data: &'a [u8], mut at: usize) -> Result<Self, JpegError> {
        let cut = JpegError::Cut(data.len());
        loop {
            let rest = data.get(at..).ok_or(cut)?;
            let start = at + rest.iter().position(|byte| *byte == 0xFF).ok_or(cut)?;
            let marker = *data.get(start + 1).ok_or(cut)?;
            match marker {
                // Stuffing and padding.
                0x00 => at = start + 2,
                0xFF => at = start + 1,
                // Alone: a restart, a start of an image, its end.
                0x01 | 0xD0..=0xD8 => at = start + 2,
                END_OF_IMAGE => return Ok(Self { marker, start, body: &[], end: start + 2 }),
                _ => {
                    let length = data.get(start + 2..start + 4).ok_or(cut)?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let end = start + 2 + length;
                    let body = data.get(start + 4..end.max(start + 4)).ok_or(cut)?;
                    return Ok(Self { marker, start, body, end: end.max(start + 4) });
                }
            }
        }
    }
}
