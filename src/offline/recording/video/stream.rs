//! What a file says of its video, as the program `ffprobe` reports it.

use std::path::Path;

use serde::Deserialize;

use super::VideoError;
use super::clock::Clock;
use super::decoder::Decoder;
use super::rational::Rational;
use crate::episode::image::{ImageError, check_size};

/// What ffmpeg itself takes where a file gives no rate.
const USUAL_RATE: Rational = Rational { num: 25, den: 1 };

/// The first video stream of a file that is no cover picture.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoStream {
    /// Place among all streams of the file.
    pub index: usize,
    /// ffmpeg's names of the file's format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// ffmpeg's name of the codec: `h264`, `hevc`, `av1`, ….
    pub codec: String,
    /// Pixels as stored.
    pub width: u32,
    /// Pixels as stored.
    pub height: u32,
    /// ffmpeg's name of the pixel format.
    pub pixel_format: String,
    pub(super) colour_space: Option<String>,
    pub(super) colour_range: Option<String>,
    /// Frames a second of the grid on which all frames lie, as far as there is one.
    pub base_rate: Option<Rational>,
    /// Frames a second on average.
    pub average_rate: Option<Rational>,
    /// Seconds of one tick of the stream's clock.
    pub tick: Option<Rational>,
    /// Whether the stream has times. A bare stream of a codec has none.
    pub timed: bool,
    /// Seconds, of the stream or else of the whole file.
    pub duration_s: Option<f64>,
    /// Degrees by which the stored picture is turned clockwise before it is shown.
    pub rotation: i32,
    /// Width of a pixel by its height.
    pub pixel_aspect: Option<Rational>,
}

/// The times of a stream's packets, one for each frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Packets {
    /// Nanoseconds since the first, in order, as the frames will be stamped.
    pub stamps_ns: Vec<i64>,
}

impl VideoStream {
    /// # Errors
    /// ffprobe is missing or cannot read the file, or there is no video in it.
    pub(super) fn probe(decoder: &Decoder, file: &Path) -> Result<Self, VideoError> {
        const ENTRIES: &str = "stream=index,codec_type,codec_name,width,height,pix_fmt,color_range,color_space,\
             r_frame_rate,avg_frame_rate,time_base,start_pts,duration,sample_aspect_ratio:\
             stream_disposition=attached_pic,timed_thumbnails:stream_side_data=rotation:stream_tags=rotate:\
             format=format_name,duration";
        let answer = decoder.ask_probe(file, &["-show_entries", ENTRIES, "-of", "json"])?;
        let shown = file.display().to_string();
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| VideoError::Pipe { file: shown.clone(), reason: error.to_string() })?;
        answer.first_video().ok_or(VideoError::NoStream(shown))
    }

    /// Whether its frames are pictures that are read.
    ///
    /// # Errors
    /// They are too large, or depth.
    pub(super) fn check(&self, file: &Path) -> Result<(), VideoError> {
        let file = || file.display().to_string();
        let (width, height) = (self.width, self.height);
        if matches!(check_size(width, height), Err(ImageError::TooLarge { .. })) {
            return Err(VideoError::TooLarge { file: file(), width, height });
        }
        // gray10le, gray12le, gray16be, grayf32le, …: cameras make colours or 8 bits of grey.
        let wide_grey = self.pixel_format.strip_prefix("gray").is_some_and(|bits| !bits.is_empty());
        if wide_grey {
            return Err(VideoError::Depth { file: file(), pixel_format: self.pixel_format.clone() });
        }
        Ok(())
    }

    /// Frames a second: the grid's, else the average, else what ffmpeg would take.
    pub(super) fn rate(&self) -> Rational {
        self.base_rate.or(self.average_rate).unwrap_or(USUAL_RATE)
    }

    pub(super) fn clock(&self) -> Clock {
        Clock::new(self.rate(), !self.timed)
    }

    /// Reads the times of all packets: the whole file is read, nothing is decoded.
    ///
    /// # Errors
    /// ffprobe cannot read the file.
    pub fn packets(&self, file: &Path) -> Result<Packets, VideoError> {
        let index = self.index.to_string();
        let entries = ["-select_streams", &index, "-show_entries", "packet=pts,flags", "-of", "csv=p=0"];
        let answer = Decoder::in_use()?.ask_probe(file, &entries)?;
        let answer = String::from_utf8_lossy(&answer);
        let mut times: Vec<Option<i64>> = Vec::new();
        for line in answer.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut fields = line.split(',');
            let (pts, flags) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            // An edit list cuts it out.
            if !flags.contains('D') {
                times.push(pts.parse().ok());
            }
        }
        times.sort();
        let (mut clock, tick) = (self.clock(), self.tick.unwrap_or(Rational { num: 1, den: 1000 }));
        Ok(Packets { stamps_ns: times.into_iter().map(|pts| clock.stamp(pts, tick)).collect() })
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<ProbedStream>,
    format: Option<ProbedFormat>,
}

#[derive(Deserialize)]
struct ProbedFormat {
    format_name: Option<String>,
    duration: Option<String>,
}

#[derive(Deserialize)]
struct ProbedStream {
    index: usize,
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    pix_fmt: Option<String>,
    color_range: Option<String>,
    color_space: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    time_base: Option<String>,
    start_pts: Option<i64>,
    duration: Option<String>,
    sample_aspect_ratio: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Disposition {
    attached_pic: u8,
    timed_thumbnails: u8,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tags {
    rotate: Option<String>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

impl Answer {
    fn first_video(self) -> Option<VideoStream> {
        let pictures = |stream: &ProbedStream| {
            stream.codec_type.as_deref() == Some("video")
                && stream.disposition.attached_pic == 0
                && stream.disposition.timed_thumbnails == 0
        };
        let stream = self.streams.into_iter().find(pictures)?;
        let seconds = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
        let rational = |text: &Option<String>| text.as_deref().and_then(Rational::parse);
        let (container, duration) = match self.format {
            Some(format) => (format.format_name.unwrap_or_default(), seconds(format.duration)),
            None => (String::new(), None),
        };
        Some(VideoStream {
            index: stream.index,
            container,
            rotation: stream.rotation(),
            base_rate: rational(&stream.r_frame_rate),
            average_rate: rational(&stream.avg_frame_rate),
            tick: rational(&stream.time_base),
            pixel_aspect: rational(&stream.sample_aspect_ratio),
            timed: stream.start_pts.is_some(),
            duration_s: seconds(stream.duration).or(duration),
            codec: stream.codec_name.unwrap_or_else(|| "unknown".to_owned()),
            width: stream.width.unwrap_or(0),
            height: stream.height.unwrap_or(0),
            pixel_format: stream.pix_fmt.unwrap_or_default(),
            colour_space: stream.color_space,
            colour_range: stream.color_range,
        })
    }
}

impl ProbedStream {
    /// The display matrix, which turns counter-clockwise, or the older tag, which turns clockwise.
    fn rotation(&self) -> i32 {
        let matrix = self.side_data_list.iter().find_map(|data| data.rotation).map(|degrees| -degrees);
        let tag = || self.tags.rotate.as_deref().and_then(|degrees| degrees.parse::<f64>().ok());
        let degrees = matrix.or_else(tag).filter(|degrees| degrees.is_finite()).unwrap_or(0.0);
        degrees.round().rem_euclid(360.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_video_that_is_no_cover_is_taken() {
        let text = r#"{"streams": [
            {"index": 0, "codec_type": "audio"},
            {"index": 1, "codec_type": "video", "codec_name": "mjpeg", "disposition": {"attached_pic": 1}},
            {"index": 2, "codec_type": "video", "codec_name": "av1", "width": 640, "height": 480,
             "r_frame_rate": "30/1", "avg_frame_rate": "0/0", "time_base": "1/1000", "start_pts": -3,
             "sample_aspect_ratio": "4:3", "side_data_list": [{}, {"rotation": -90}]}
        ], "format": {"format_name": "matroska,webm", "duration": "2.5"}}"#;
        let stream = serde_json::from_str::<Answer>(text).unwrap().first_video().unwrap();
        assert_eq!((stream.index, stream.codec.as_str(), stream.rotation), (2, "av1", 90));
        assert_eq!(stream.average_rate, None);
        assert_eq!(stream.rate(), Rational { num: 30, den: 1 });
        assert_eq!(stream.pixel_aspect, Some(Rational { num: 4, den: 3 }));
        assert!(stream.timed && stream.duration_s == Some(2.5));
        let none = serde_json::from_str::<Answer>(r#"{"streams": [{"index": 0, "codec_type": "audio"}]}"#);
        assert!(none.unwrap().first_video().is_none());
        assert!(serde_json::from_str::<Answer>("{}").unwrap().first_video().is_none());
    }

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(Rational::parse("30000/1001"), Some(Rational { num: 30000, den: 1001 }));
        for text in ["0/0", "1/0", "-1/5", "30", "N/A", "99999999999/1"] {
            assert_eq!(Rational::parse(text), None, "{text}");
        }
    }
}
