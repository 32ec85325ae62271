//! Whether a file ends where its own lengths say. A decoder may take a truncated file for a shorter episode without a word.

use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

use crate::files;

/// A file that does not end where it says.
#[derive(Debug, thiserror::Error)]
pub enum TruncationError {
    #[error(
        "{file} is cut short: {part} ends {missing} bytes after the file does; copy it again, or keep what is there by: ffmpeg -i {file} -c copy kept.mkv"
    )]
    CutShort { file: String, part: String, missing: u64 },
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
}

/// A part of a file that ends behind the file's end.
#[derive(Debug, PartialEq, Eq)]
struct Overrun {
    part: String,
    missing: u64,
}

/// Looks at the outermost lengths of MP4, Matroska, AVI and WebP files; knows nothing of others.
///
/// # Errors
/// A part that is missing, or a file that cannot be read.
pub fn check(file: &Path) -> std::result::Result<(), TruncationError> {
    let found = files::open(file).and_then(|mut opened| {
        let length = opened.metadata()?.len();
        overrun(&mut opened, length)
    });
    let shown = || file.display().to_string();
    match found {
        Ok(None) => Ok(()),
        Ok(Some(Overrun { part, missing })) => {
            Err(TruncationError::CutShort { file: shown(), part, missing })
        }
        Err(source) => Err(TruncationError::Read { file: shown(), source }),
    }
}

fn overrun(file: &mut (impl Read + Seek), length: u64) -> Result<Option<Overrun>> {
    let mut start = [0; 12];
    if length < start.len() as u64 {
        return Ok(None);
    }
    file.read_exact(&mut start)?;
    match start {
        [0x1A, 0x45, 0xDF, 0xA3, ..] => matroska(file, length),
        [b'R', b'I', b'F', b'F', size @ .., b'A', b'V', b'I', b' ']
        | [b'R', b'I', b'F', b'F', size @ .., b'W', b'E', b'B', b'P'] => Ok(riff(size, length)),
        _ => boxes(file, length),
    }
}

/// The types of box that stand outermost in MP4 and QuickTime files.
const OUTERMOST: [&[u8; 4]; 14] = [
    b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"free", b"skip", b"wide", b"uuid",
    b"meta", b"emsg", b"pnot",
];

fn boxes(file: &mut (impl Read + Seek), length: u64) -> Result<Option<Overrun>> {
    let mut place = 0;
    while length.saturating_sub(place) >= 8 {
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(&mut head)?;
        let [size @ .., a, b, c, d] = head;
        let kind = [a, b, c, d];
        if !OUTERMOST.contains(&&kind) {
            return Ok(None);
        }
        let size = match u32::from_be_bytes(size) {
            // To the end of the file.
            0 => return Ok(None),
            1 if length - place < 16 => u64::MAX,
            1 => {
                let mut size = [0; 8];
                file.read_exact(&mut size)?;
                u64::from_be_bytes(size)
            }
            size => size.into(),
        };
        // A box is at least as long as its head; what this is, ffmpeg may know.
        if size < 8 {
            return Ok(None);
        }
        let end = place.saturating_add(size);
        if end > length {
            let part = format!("its part \"{}\"", String::from_utf8_lossy(&kind));
            return Ok(Some(Overrun { part, missing: end - length }));
        }
        place = end;
    }
    Ok(None)
}

fn matroska(file: &mut (impl Read + Seek), length: u64) -> Result<Option<Overrun>> {
    file.seek(SeekFrom::Start(4))?;
    let Some(header) = varint(file)? else { return Ok(None) };
    let segment = file.stream_position()?.saturating_add(header);
    file.seek(SeekFrom::Start(segment))?;
    let mut id = [0; 4];
    if segment.saturating_add(12) > length {
        return Ok(None);
    }
    file.read_exact(&mut id)?;
    if id != [0x18, 0x53, 0x80, 0x67] {
        return Ok(None);
    }
    // Whoever streams does not know it.
    let Some(size) = varint(file)? else { return Ok(None) };
    let end = file.stream_position()?.saturating_add(size);
    Ok((end > length).then(|| Overrun { part: "its segment".to_owned(), missing: end - length }))
}

/// A length of EBML; `None` for "unknown".
fn varint(file: &mut impl Read) -> Result<Option<u64>> {
    let mut first = [0];
    file.read_exact(&mut first)?;
    let more = first[0].leading_zeros() as usize;
    if more > 7 {
        return Ok(None);
    }
    let mut rest = [0; 7];
    file.read_exact(&mut rest[..more])?;
    let kept = (1u64 << (7 - more)) - 1;
    let value =
        rest[..more].iter().fold(u64::from(first[0]) & kept, |value, byte| (value << 8) | u64::from(*byte));
    let unknown = (1u64 << (7 * (more + 1))) - 1;
    Ok((value != unknown).then_some(value))
}

fn riff(size: [u8; 4], length: u64) -> Option<Overrun> {
    let size = u32::from_le_bytes(size);
    let end = u64::from(size) + 8;
    // 0 and the largest number are left by writers that cannot go back.
    (size != 0 && size != u32::MAX && end > length)
        .then(|| Overrun { part: "its RIFF chunk".to_owned(), missing: end - length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn missing(bytes: &[u8]) -> Option<(String, u64)> {
        let found = overrun(&mut Cursor::new(bytes), bytes.len() as u64).unwrap();
        found.map(|Overrun { part, missing }| (part, missing))
    }

    #[test]
    fn boxes_must_end_within_the_file() {
        let mut mp4 =
            b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x0cmdat1234\0\0\0\x01moov\0\0\0\0\0\0\0\x12zz".to_vec();
        assert_eq!(missing(&mp4), None);
        mp4.pop();
        assert_eq!(missing(&mp4), Some(("its part \"moov\"".to_owned(), 1)));
        assert_eq!(missing(&mp4[..20]), None);
        assert_eq!(missing(&mp4[..26]), Some(("its part \"mdat\"".to_owned(), 2)));
        let last = mp4.len() - 9;
        assert_eq!(missing(&mp4[..last]), Some(("its part \"moov\"".to_owned(), u64::MAX - last as u64)));
        // To the end, and no box at all.
        assert_eq!(missing(b"\0\0\0\x08ftyp\0\0\0\0mdat and so on"), None);
        assert_eq!(missing(b"no box, but long enough"), None);
        assert_eq!(missing(b"\0\0\0\x02ftyp and then"), None);
    }

    #[test]
    fn a_segment_must_end_within_the_file_if_its_length_is_known() {
        let file = |size: &[u8]| {
            [b"\x1A\x45\xDF\xA3\x83abc\x18\x53\x80\x67".as_slice(), size, b"0123456789"].concat()
        };
        assert_eq!(missing(&file(&[0x8A])), None);
        assert_eq!(missing(&file(&[0x40, 0x0B])), Some(("its segment".to_owned(), 1)));
        assert_eq!(missing(&file(&[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])), None);
        assert_eq!(missing(&file(&[0xFF])), None);
    }

    #[test]
    fn a_riff_must_end_within_the_file() {
        let file = |size: u32| [b"RIFF".as_slice(), &size.to_le_bytes(), b"AVI LIST"].concat();
        assert_eq!(missing(&file(8)), None);
        assert_eq!(missing(&file(10)), Some(("its RIFF chunk".to_owned(), 2)));
        assert_eq!((missing(&file(0)), missing(&file(u32::MAX))), (None, None));
    }
}
