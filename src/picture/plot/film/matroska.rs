//! Uncompressed pictures with their times as a Matroska stream: of what ffmpeg reads from a pipe, the simplest form in
//! which every picture has a time of its own.

use std::io::{self, Write};

/// The unit of time, in nanoseconds.
const TICK_NS: u64 = 1000;
const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// Identifiers of Matroska elements, as they are written.
mod id {
    pub const EBML: &[u8] = &[0x1A, 0x45, 0xDF, 0xA3];
    pub const DOC_TYPE: &[u8] = &[0x42, 0x82];
    pub const DOC_TYPE_VERSION: &[u8] = &[0x42, 0x87];
    pub const DOC_TYPE_READ_VERSION: &[u8] = &[0x42, 0x85];
    pub const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
    pub const INFO: &[u8] = &[0x15, 0x49, 0xA9, 0x66];
    pub const TIMESTAMP_SCALE: &[u8] = &[0x2A, 0xD7, 0xB1];
    pub const MUXING_APP: &[u8] = &[0x4D, 0x80];
    pub const WRITING_APP: &[u8] = &[0x57, 0x41];
    pub const TRACKS: &[u8] = &[0x16, 0x54, 0xAE, 0x6B];
    pub const TRACK_ENTRY: &[u8] = &[0xAE];
    pub const TRACK_NUMBER: &[u8] = &[0xD7];
    pub const TRACK_UID: &[u8] = &[0x73, 0xC5];
    pub const TRACK_TYPE: &[u8] = &[0x83];
    pub const FLAG_LACING: &[u8] = &[0x9C];
    pub const CODEC_ID: &[u8] = &[0x86];
    pub const VIDEO: &[u8] = &[0xE0];
    pub const PIXEL_WIDTH: &[u8] = &[0xB0];
    pub const PIXEL_HEIGHT: &[u8] = &[0xBA];
    pub const UNCOMPRESSED_FOURCC: &[u8] = &[0x2E, 0xB5, 0x24];
    pub const CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75];
    pub const TIMESTAMP: &[u8] = &[0xE7];
    pub const SIMPLE_BLOCK: &[u8] = &[0xA3];
}

/// Everything before the first picture; they are `width` × `height` pixels of 8-bit RGB.
pub(super) fn write_header(out: &mut impl Write, (width, height): (u32, u32)) -> io::Result<()> {
    let ebml = [
        element(id::DOC_TYPE, b"matroska"),
        unsigned(id::DOC_TYPE_VERSION, 4),
        unsigned(id::DOC_TYPE_READ_VERSION, 2),
    ];
    let info = [
        unsigned(id::TIMESTAMP_SCALE, TICK_NS),
        element(id::MUXING_APP, b"topreward"),
        element(id::WRITING_APP, b"topreward"),
    ];
    let video = [
        unsigned(id::PIXEL_WIDTH, width.into()),
        unsigned(id::PIXEL_HEIGHT, height.into()),
        element(id::UNCOMPRESSED_FOURCC, b"RGB\x18"),
    ];
    let track = [
        unsigned(id::TRACK_NUMBER, 1),
        unsigned(id::TRACK_UID, 1),
        unsigned(id::TRACK_TYPE, 1),
        unsigned(id::FLAG_LACING, 0),
        element(id::CODEC_ID, b"V_UNCOMPRESSED"),
        element(id::VIDEO, &video.concat()),
    ];
    out.write_all(&element(id::EBML, &ebml.concat()))?;
    out.write_all(id::SEGMENT)?;
    out.write_all(&UNKNOWN_SIZE)?;
    out.write_all(&element(id::INFO, &info.concat()))?;
    out.write_all(&element(id::TRACKS, &element(id::TRACK_ENTRY, &track.concat())))
}

/// One picture, shown from `start_ns` on (nanoseconds since the first), as a cluster of its own.
pub(super) fn write_picture(out: &mut impl Write, start_ns: u64, rgb: &[u8]) -> io::Result<()> {
    let timestamp = unsigned(id::TIMESTAMP, ticks(start_ns));
    // Track 1, at the cluster's time, needs no other picture.
    let head = [0x81, 0, 0, 0x80];
    let block = [id::SIMPLE_BLOCK, &size(head.len() + rgb.len())].concat();
    let cluster_size = timestamp.len() + block.len() + head.len() + rgb.len();
    out.write_all(&[id::CLUSTER, &size(cluster_size), &timestamp, &block, &head].concat())?;
    out.write_all(rgb)
}

fn ticks(ns: u64) -> u64 {
    (ns + TICK_NS / 2) / TICK_NS
}

fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &size(content.len()), content].concat()
}

fn unsigned(id: &[u8], value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// A size in its longest form: a one and 56 bits.
fn size(bytes: usize) -> [u8; 8] {
    let mut size = (bytes as u64).to_be_bytes();
    size[0] = 0x01;
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_identifier_size_and_content() {
        assert_eq!(element(&[0xAE], b"ab"), [0xAE, 1, 0, 0, 0, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(unsigned(&[0xD7], 258), [0xD7, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn a_picture_is_a_cluster_with_its_time_in_microseconds() {
        let mut out = Vec::new();
        write_picture(&mut out, 1_500_000, &[7, 8, 9]).unwrap();
        let (head, body) = out.split_at(12);
        assert_eq!(head, [0x1F, 0x43, 0xB6, 0x75, 1, 0, 0, 0, 0, 0, 0, 33]);
        assert_eq!(body[..17], [0xE7, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x05, 0xDC]);
        assert_eq!(body[17..], [0xA3, 1, 0, 0, 0, 0, 0, 0, 7, 0x81, 0, 0, 0x80, 7, 8, 9]);
    }
}
