//! Animated GIF and WebP pictures.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::image::codecs::gif::GifDecoder;
use ::image::codecs::webp::WebPDecoder;
use ::image::{AnimationDecoder, DynamicImage, Frame, Frames, ImageDecoder, ImageError};

use super::{Footage, RecordingError, truncation};
use crate::episode::CameraFrame;
use crate::episode::image::{check_size, limits};

/// What viewers take for a frame that is to be shown for no time.
const USUAL_DELAY_NS: i64 = 100_000_000;

/// Why an animated picture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AnimationError {
    #[error("{0} holds one picture and no animation: a folder of pictures can be scored with its frame rate")]
    Still(String),
    #[error("cannot read the animation {file} behind frame {frames}: {source}")]
    Decode { file: String, frames: usize, source: ImageError },
}

/// An animated GIF or WebP. Each frame is stamped with the sum of the delays before it; a delay of 0 is taken as 0.1 s,
/// as viewers do. Transparency is dropped and the colours stay as they are, as PIL's `convert("RGB")` does.
#[derive(Debug, Clone)]
pub struct Animation {
    file: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gif,
    WebP,
}

impl Animation {
    /// The animation in a file; `None` if its first bytes are of neither format.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn recognise(file: &Path) -> Result<Option<Self>, RecordingError> {
        let mut start = Vec::new();
        (File::open(file).and_then(|opened| opened.take(12).read_to_end(&mut start)))
            .map_err(|source| RecordingError::Read { file: file.display().to_string(), source })?;
        let kind = match &start[..] {
            [b'G', b'I', b'F', b'8', ..] => Kind::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Kind::WebP,
            _ => return Ok(None),
        };
        Ok(Some(Self { file: file.to_owned(), kind }))
    }

    /// `GIF` or `WebP`.
    pub fn format(&self) -> &'static str {
        match self.kind {
            Kind::Gif => "GIF",
            Kind::WebP => "WebP",
        }
    }

    fn frames(&self) -> Result<Frames<'static>, ImageError> {
        let file = BufReader::new(File::open(&self.file)?);
        Ok(match self.kind {
            Kind::Gif => {
                let mut decoder = GifDecoder::new(file)?;
                limited(&mut decoder)?;
                decoder.into_frames()
            }
            Kind::WebP => {
                let mut decoder = WebPDecoder::new(file)?;
                limited(&mut decoder)?;
                if !decoder.has_animation() {
                    return Ok(Frames::new(Box::new(std::iter::empty())));
                }
                decoder.into_frames()
            }
        })
    }

    fn shown(&self) -> String {
        self.file.display().to_string()
    }
}

impl Footage for Animation {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        truncation::check(&self.file)?;
        let mut shown = 0;
        let failed =
            |frames: usize| move |source| AnimationError::Decode { file: self.shown(), frames, source };
        let mut frames = self.frames().map_err(failed(0))?;
        let mut stamp_ns = 0i64;
        // A picture is shown once another follows: one alone is no animation.
        let Some(first) = frames.next() else { return Err(AnimationError::Still(self.shown()).into()) };
        let mut waiting = Some(first.map_err(failed(0))?);
        while let Some(frame) = waiting.take() {
            waiting = match frames.next() {
                Some(next) => Some(next.map_err(failed(shown + 1))?),
                None if shown == 0 => return Err(AnimationError::Still(self.shown()).into()),
                None => None,
            };
            let next_ns = stamp_ns.saturating_add(delay_ns(&frame));
            let rgba = frame.into_buffer();
            let size = Some(rgba.dimensions());
            let decode = move || Ok(DynamicImage::ImageRgba8(rgba).into_rgb8());
            if show(CameraFrame::new(stamp_ns, Arc::from(""), size, decode)).is_break() {
                break;
            }
            (stamp_ns, shown) = (next_ns, shown + 1);
        }
        Ok(())
    }
}

/// Refuses what is too large, before a picture is decoded.
fn limited(decoder: &mut impl ImageDecoder) -> Result<(), ImageError> {
    let (width, height) = decoder.dimensions();
    check_size(width, height).map_err(|error| ImageError::IoError(std::io::Error::other(error)))?;
    decoder.set_limits(limits())
}

fn delay_ns(frame: &Frame) -> i64 {
    let (over, under) = frame.delay().numer_denom_ms();
    match i64::from(over) * 1_000_000 / i64::from(under).max(1) {
        0 => USUAL_DELAY_NS,
        delay_ns => delay_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::codecs::gif::GifEncoder;
    use ::image::{Delay, Rgba, RgbaImage};

    /// Frames of one colour each, 20×10 pixels.
    fn gif(frames: &[([u8; 4], u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for (colour, delay_ms) in frames {
            let picture = RgbaImage::from_pixel(20, 10, Rgba(*colour));
            let delay = Delay::from_numer_denom_ms(*delay_ms, 1);
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).unwrap();
        }
        drop(encoder);
        bytes
    }

    /// Stamp and first pixel of each frame.
    type Seen = Vec<(i64, [u8; 3])>;

    fn seen(bytes: &[u8]) -> (Seen, Result<(), RecordingError>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it");
        std::fs::write(&file, bytes).unwrap();
        let mut seen = Vec::new();
        let played = super::super::open_file(&file).unwrap().play(&mut |frame| {
            let stamp_ms = frame.stamp_ns / 1_000_000;
            seen.push((stamp_ms, frame.decode().unwrap().rgb.get_pixel(7, 7).0));
            ControlFlow::Continue(())
        });
        (seen, played)
    }

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const WHITE: [u8; 4] = [255; 4];

    #[test]
    fn frames_come_after_the_delays_before_them() {
        let (frames, ended) = seen(&gif(&[(RED, 40), (BLUE, 0), (WHITE, 500), (RED, 10)]));
        ended.unwrap();
        assert_eq!(frames, [(0, [255, 0, 0]), (40, [0, 0, 255]), (140, [255; 3]), (640, [255, 0, 0])]);
    }

    #[test]
    fn one_picture_is_no_animation() {
        let (frames, ended) = seen(&gif(&[(RED, 40)]));
        assert!(frames.is_empty());
        assert!(ended.unwrap_err().to_string().contains("one picture"));
        let mut still = std::io::Cursor::new(Vec::new());
        let picture = DynamicImage::ImageRgba8(RgbaImage::from_pixel(20, 10, Rgba(RED)));
        picture.write_to(&mut still, ::image::ImageFormat::WebP).unwrap();
        assert!(seen(still.get_ref()).1.unwrap_err().to_string().contains("one picture"));
    }

    #[test]
    fn what_is_cut_is_an_error_wherever() {
        let whole = gif(&[(RED, 40), (BLUE, 40), (WHITE, 40), (RED, 40)]);
        for kept in 6..whole.len() - 1 {
            let (frames, ended) = seen(&whole[..kept]);
            assert!(ended.is_err(), "{kept} of {} bytes gave {} frames", whole.len(), frames.len());
        }
    }

    #[test]
    fn an_animated_webp_is_told_like_its_frames() {
        // Two lossless frames of 2×1 pixels: an extended header (animated, with alpha), then ANIM and two ANMF.
        let still = |colour: [u8; 4]| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            DynamicImage::ImageRgba8(RgbaImage::from_pixel(20, 10, Rgba(colour)))
                .write_to(&mut bytes, ::image::ImageFormat::WebP)
                .unwrap();
            // Behind "RIFF", the length and "WEBP": the VP8L chunk.
            bytes.into_inner()[12..].to_vec()
        };
        let chunk = |name: &[u8; 4], data: &[u8]| {
            let mut chunk = [name.as_slice(), &(data.len() as u32).to_le_bytes(), data].concat();
            chunk.resize(chunk.len().next_multiple_of(2), 0);
            chunk
        };
        let frame = |colour, delay_ms: u8| {
            let head = [&[0u8; 6][..], &[19, 0, 0, 9, 0, 0, delay_ms, 0, 0, 2]].concat();
            chunk(b"ANMF", &[head, still(colour)].concat())
        };
        let head = [0x12, 0, 0, 0, 19, 0, 0, 9, 0, 0];
        let body = [
            b"WEBP".to_vec(),
            chunk(b"VP8X", &head),
            chunk(b"ANIM", &[0; 6]),
            frame(RED, 70),
            frame([10, 20, 30, 0], 50),
            frame(BLUE, 5),
        ];
        let file = chunk(b"RIFF", &body.concat());
        let (frames, ended) = seen(&file);
        ended.unwrap();
        // The second one is clear: its colours stay.
        assert_eq!(frames, [(0, [255, 0, 0]), (70, [10, 20, 30]), (120, [0, 0, 255])]);
        for kept in 12..file.len() - 1 {
            assert!(seen(&file[..kept]).1.is_err(), "{kept}");
        }
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused() {
        let mut file = gif(&[(RED, 40), (BLUE, 40)]);
        file[6..10].copy_from_slice(&[0xFF; 4]);
        assert!(seen(&file).1.is_err());
    }
}
