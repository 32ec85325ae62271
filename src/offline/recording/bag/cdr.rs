//! The messages that are understood, read from CDR as ROS 2 puts it on disk: four bytes that say how the rest is encoded,
//! then plain XCDR1 in either byte order.

use std::borrow::Cow;
use std::io::Read;

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use cdr_encoding::CdrDeserializer;
use serde::Deserialize;

/// The longest message that is read: an 8K raw image has 100 MB.
pub const MESSAGE_LIMIT: usize = 256 << 20;

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CdrError {
    #[error("it has {0} bytes, fewer than the 4 that say how it is encoded")]
    Short(usize),
    #[error("its encoding is 0x{0:04x}, where only plain CDR (0x0000 and 0x0001) is understood")]
    Encapsulation(u16),
    #[error("its {bytes} bytes do not make such a message: {reason}")]
    Content { bytes: usize, reason: String },
    #[error("its compressed bytes cannot be unpacked: {0}")]
    Packed(String),
    #[error("it has more than {} MiB", MESSAGE_LIMIT >> 20)]
    Long,
}

/// Reads a message; what it borrows are bytes of `payload`. No length in it is believed before the bytes are there.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, CdrError> {
    let Some((&[kind_high, kind_low, _, _], body)) = payload.split_first_chunk() else {
        return Err(CdrError::Short(payload.len()));
    };
    match u16::from_be_bytes([kind_high, kind_low]) {
        0 => content::<T, BigEndian>(body),
        1 => content::<T, LittleEndian>(body),
        other => Err(CdrError::Encapsulation(other)),
    }
}

fn content<'a, T: Deserialize<'a>, Order: ByteOrder>(body: &'a [u8]) -> Result<T, CdrError> {
    let mut bytes = CdrDeserializer::<Order>::new(body);
    T::deserialize(&mut bytes)
        .map_err(|error| CdrError::Content { bytes: body.len(), reason: error.to_string() })
}

/// A message as it was recorded: the bags that rosbag2 compresses message by message hold each as a zstd frame, which
/// begins as no CDR does.
pub fn unpacked(stored: &[u8]) -> Result<Cow<'_, [u8]>, CdrError> {
    if !stored.starts_with(&super::folder::ZSTD_MAGIC) {
        return Ok(Cow::Borrowed(stored));
    }
    let failed = |error: std::io::Error| CdrError::Packed(error.to_string());
    let mut payload = Vec::new();
    let unpacking = zstd::Decoder::new(stored).map_err(failed)?;
    unpacking.take(MESSAGE_LIMIT as u64 + 1).read_to_end(&mut payload).map_err(failed)?;
    if payload.len() > MESSAGE_LIMIT {
        return Err(CdrError::Long);
    }
    Ok(Cow::Owned(payload))
}

/// `builtin_interfaces/Time` and `Duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Time {
    pub sec: i32,
    pub nanosec: u32,
}

impl Time {
    pub fn ns(self) -> i64 {
        i64::from(self.sec) * 1_000_000_000 + i64::from(self.nanosec)
    }
}

/// `std_msgs/Header`
#[derive(Debug, Deserialize)]
pub struct Header {
    pub stamp: Time,
    pub frame_id: String,
}

/// `sensor_msgs/Image`
#[derive(Debug, Deserialize)]
pub struct Image<'a> {
    pub header: Header,
    pub height: u32,
    pub width: u32,
    pub encoding: String,
    pub is_bigendian: u8,
    pub step: u32,
    pub data: &'a [u8],
}

/// `sensor_msgs/CompressedImage`
#[derive(Debug, Deserialize)]
pub struct CompressedImage<'a> {
    pub header: Header,
    pub format: String,
    pub data: &'a [u8],
}

/// `std_msgs/String`
#[derive(Debug, Deserialize)]
pub struct Text {
    pub data: String,
}

/// `topreward/EpisodeSummary`
#[expect(dead_code, reason = "what is not asked for must be read to come to what follows")]
#[derive(Debug, Deserialize)]
pub struct EpisodeSummary {
    pub header: Header,
    pub episode_id: u64,
    pub instruction: String,
    pub success: bool,
    pub end_reason: String,
    pub frames: u32,
    pub prefixes: u32,
    pub log_prob_true: f64,
    pub progress: f64,
    pub voc: f64,
    pub times: Vec<f64>,
    pub rewards: Vec<f64>,
    pub episode_time: Time,
}

/// `topreward/SuccessDetection`
#[expect(dead_code, reason = "what is not asked for must be read to come to what follows")]
#[derive(Debug, Deserialize)]
pub struct SuccessDetection {
    pub header: Header,
    pub episode_id: u64,
    pub instruction: String,
    pub mean_log_prob_true: f64,
    pub threshold: f64,
    pub frames: u32,
    pub episode_time: Time,
}

/// The head of the messages that tell of a service's calls: `service_msgs/ServiceEventInfo`.
#[expect(dead_code, reason = "what is not asked for must be read to come to what follows")]
#[derive(Debug, Deserialize)]
pub struct ServiceEvent {
    /// 0: a request was sent, 1: it was received; above: the answer.
    pub event_type: u8,
    pub stamp: Time,
    pub client_gid: [u8; 16],
    pub sequence_number: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "lift" as `std_msgs/String`.
    const LITTLE: [u8; 13] = [0, 1, 0, 0, 5, 0, 0, 0, b'l', b'i', b'f', b't', 0];
    const BIG: [u8; 13] = [0, 0, 0, 0, 0, 0, 0, 5, b'l', b'i', b'f', b't', 0];

    #[test]
    fn both_byte_orders_are_read() {
        for payload in [LITTLE, BIG] {
            assert_eq!(decode::<Text>(&payload).unwrap().data, "lift");
        }
    }

    #[test]
    fn a_big_endian_image_by_hand() {
        // 2 × 1 pixels of mono8; after the frame's name of 2 bytes the numbers begin anew at a multiple of 4.
        let mut payload = vec![0, 0, 0, 0];
        payload.extend([0, 0, 0, 7, 0, 0, 0, 9]); // the stamp, 7.000000009 s
        payload.extend([0, 0, 0, 2, b'c', 0, 0, 0]); // "c", and padding
        payload.extend([0, 0, 0, 1, 0, 0, 0, 2]); // height, width
        payload.extend([0, 0, 0, 6, b'm', b'o', b'n', b'o', b'8', 0]);
        payload.extend([1, 0]); // is_bigendian, and padding
        payload.extend([0, 0, 0, 2, 0, 0, 0, 2, 10, 20]); // step, length, pixels
        let image: Image = decode(&payload).unwrap();
        assert_eq!((image.header.stamp.ns(), &*image.header.frame_id), (7_000_000_009, "c"));
        assert_eq!((image.height, image.width, &*image.encoding), (1, 2, "mono8"));
        assert_eq!((image.is_bigendian, image.step, image.data), (1, 2, &[10, 20][..]));
    }

    #[test]
    fn lengths_that_are_not_there_are_refused() {
        let mut text = LITTLE;
        text[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decode::<Text>(&text), Err(CdrError::Content { bytes: 9, .. })));
        // Two billion numbers in a message of 100 bytes.
        #[derive(Debug, Deserialize)]
        struct Numbers {
            #[allow(dead_code)]
            numbers: Vec<f64>,
        }
        let mut numbers = vec![0, 1, 0, 0];
        numbers.extend((1_u32 << 31).to_le_bytes());
        numbers.resize(100, 0);
        assert!(decode::<Numbers>(&numbers).is_err());
        for cut in 0..LITTLE.len() {
            assert!(decode::<Text>(&LITTLE[..cut]).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn other_encodings_are_refused_by_their_number() {
        for (kind, number) in [(2, "0x0002"), (6, "0x0006")] {
            let mut payload = LITTLE;
            payload[1] = kind;
            let error = decode::<Text>(&payload).unwrap_err().to_string();
            assert!(error.contains(number), "{error}");
        }
    }

    #[test]
    fn a_message_that_is_compressed_by_itself_is_unpacked() {
        let packed = zstd::encode_all(&LITTLE[..], 1).unwrap();
        assert_eq!(&*unpacked(&packed).unwrap(), &LITTLE);
        assert_eq!(&*unpacked(&LITTLE).unwrap(), &LITTLE);
        assert!(matches!(unpacked(&packed[..packed.len() - 2]), Err(CdrError::Packed(_))));
        let bomb = zstd::encode_all(std::io::repeat(0).take(MESSAGE_LIMIT as u64 + 1), 1).unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked(&bomb), Err(CdrError::Long));
    }
}
