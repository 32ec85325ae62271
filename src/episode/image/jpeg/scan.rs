//! The codes of a scan, counted off (ITU-T T.81, Annex F.2.2 and G.1.2).

use super::{Header, JpegError};

/// For each 16 bits that may come: the length of the code that they begin with, and its value. Length 0: no code.
type Lookup = Vec<(u8, u8)>;

/// The Huffman tables so far.
#[derive(Default)]
pub struct Codes {
    /// Of the first coefficients (DC), then of the others (AC); four of each.
    tables: [Option<Lookup>; 8],
}

impl Codes {
    /// Takes the tables of a segment; `None` for what is none.
    pub fn define(&mut self, mut body: &[u8]) -> Option<()> {
        while !body.is_empty() {
            let (&class, rest) = body.split_first()?;
            let (lengths, rest) = rest.split_at_checked(16)?;
            let count: usize = lengths.iter().map(|count| usize::from(*count)).sum();
            let (values, rest) = rest.split_at_checked(count)?;
            let place = usize::from(class >> 4).checked_mul(4)? + usize::from(class & 15);
            if class & 15 > 3 {
                return None;
            }
            *self.tables.get_mut(place)? = Some(lookup(lengths, values)?);
            body = rest;
        }
        Some(())
    }
}

/// The codes of each length count upwards from the shortest on (Annex C.2).
fn lookup(lengths: &[u8], values: &[u8]) -> Option<Lookup> {
    let mut lookup = vec![(0, 0); 1 << 16];
    let (mut next, mut values) = (0usize, values.iter());
    for (length, count) in (1u8..).zip(lengths) {
        let width = 1usize << (16 - length);
        for _ in 0..*count {
            lookup.get_mut(next..next + width)?.fill((length, *values.next()?));
            next += width;
        }
    }
    Some(lookup)
}

/// One scan.
pub struct Scan {
    components: Vec<Coded>,
    units: usize,
    /// Units between restarts; 0: none.
    restart: usize,
    /// Coefficients of a block, from the first.
    last: usize,
    /// Whether its blocks are followed: not the later scans of a progressive picture, which refine what is there.
    followed: bool,
}

/// A component of a scan: its blocks in a unit, and its tables.
struct Coded {
    blocks: usize,
    first: usize,
    others: usize,
}

impl Scan {
    /// By its header; `None` for what is none.
    pub fn of(header: &Header, body: &[u8], restart: usize) -> Option<Self> {
        let (&count, rest) = body.split_first()?;
        let (listed, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[from, to, approximation, ..] = rest else { return None };
        let mut units = header.units();
        let mut components = Vec::new();
        for one in listed.chunks_exact(2) {
            let known = header.components.iter().find(|known| known.id == one[0])?;
            let mut blocks = known.across * known.down;
            if count == 1 {
                // By itself, a component has only the blocks that its picture needs.
                let (across, down) = header.largest();
                let blocks_of = |length: u16, own: usize, largest: usize| {
                    (usize::from(length) * own).div_ceil(largest).div_ceil(8)
                };
                units = (
                    blocks_of(header.width, known.across, across),
                    blocks_of(header.height, known.down, down),
                );
                blocks = 1;
            }
            let (first, others) = (usize::from(one[1] >> 4), usize::from(one[1] & 15));
            components.push(Coded { blocks, first: first.min(3), others: 4 + others.min(3) });
        }
        let followed = !header.progressive || (from == 0 && approximation >> 4 == 0);
        let last = if header.progressive { 0 } else { usize::from(to).min(63) };
        Some(Self { components, units: units.0 * units.1, restart, last, followed })
    }

    /// Passes over its data, which begin at `at`. Returns where the next marker lies.
    ///
    /// # Errors
    /// The data end before the last block, or hold what is no code.
    pub fn pass(&self, codes: &Codes, data: &[u8], at: usize) -> Result<usize, JpegError> {
        let mut bits = Bits { data, at, buffer: 0, count: 0 };
        if self.followed {
            for unit in 0..self.units {
                let passed = self.pass_unit(codes, &mut bits, unit);
                passed.map_err(|stop| match stop {
                    Stop::End => JpegError::Blocks { found: unit, expected: self.units },
                    Stop::NoCode => JpegError::Damaged(bits.at),
                })?;
            }
        }
        Ok(bits.marker())
    }

    fn pass_unit(&self, codes: &Codes, bits: &mut Bits, unit: usize) -> Result<(), Stop> {
        if self.restart > 0 && unit > 0 && unit.is_multiple_of(self.restart) {
            bits.restart()?;
        }
        for component in &self.components {
            let table = |place: usize| codes.tables[place].as_ref().ok_or(Stop::NoCode);
            let first = table(component.first)?;
            for _ in 0..component.blocks {
                let length = bits.code(first)?;
                bits.skip(length.min(16))?;
                if self.last > 0 {
                    bits.pass_others(table(component.others)?, self.last)?;
                }
            }
        }
        Ok(())
    }
}

/// Why a block could not be passed.
enum Stop {
    /// A marker, or the end of the data.
    End,
    NoCode,
}

struct Bits<'a> {
    data: &'a [u8],
    /// Of the next byte that is not in the buffer.
    at: usize,
    /// The next bits, the first one highest.
    buffer: u64,
    count: u8,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.data.get(self.at) else { return };
            if byte == 0xFF && self.data.get(self.at + 1) != Some(&0) {
                return;
            }
            self.at += if byte == 0xFF { 2 } else { 1 };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn skip(&mut self, bits: u8) -> Result<(), Stop> {
        if bits > self.count {
            self.fill();
        }
        self.count = self.count.checked_sub(bits).ok_or(Stop::End)?;
        self.buffer <<= bits;
        Ok(())
    }

    /// The value of the next code.
    fn code(&mut self, table: &Lookup) -> Result<u8, Stop> {
        if self.count < 16 {
            self.fill();
        }
        let (length, value) = table[(self.buffer >> 48) as usize];
        if length == 0 {
            return Err(if self.count < 16 { Stop::End } else { Stop::NoCode });
        }
        self.skip(length)?;
        Ok(value)
    }

    /// The coefficients behind a block's first, up to `last`.
    fn pass_others(&mut self, table: &Lookup, last: usize) -> Result<(), Stop> {
        let mut place = 1;
        while place <= last {
            let value = self.code(table)?;
            let (zeros, length) = (usize::from(value >> 4), value & 15);
            match (zeros, length) {
                (15, 0) => place += 16,
                (_, 0) => return Ok(()),
                _ => {
                    self.skip(length)?;
                    place += zeros + 1;
                }
            }
        }
        Ok(())
    }

    /// Passes over a restart marker, with what is left before it.
    fn restart(&mut self) -> Result<(), Stop> {
        let marker = self.marker();
        match self.data.get(marker + 1) {
            Some(0xD0..=0xD7) => {}
            _ => return Err(Stop::End),
        }
        (self.at, self.buffer, self.count) = (marker + 2, 0, 0);
        Ok(())
    }

    /// Where the next marker begins, restarts in the data of what was not followed left out.
    fn marker(&self) -> usize {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let marker = rest.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF));
        marker.map_or(self.data.len(), |marker| self.at + marker)
    }
}
