//! From camera frames to the patches the vision tower takes.
//!
//! Source: transformers 4.57, `models/qwen3_vl/video_processing_qwen3_vl.py`. One thing differs on purpose: there
//! the pixel budget is for the whole video, so that a growing video is resized again and again; here it is for one
//! frame, and the size chosen for an episode's first frame stays.

use ::image::RgbImage;
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::super::{SizeError, VlmError};
use super::config::{CHANNELS, FRAMES_PER_PAIR, VisionConfig};
use super::error::{LoadError, inference};
use super::folder::ModelFolder;
use super::pixels::{PatchGrid, Pixels};
use super::resize::{resize, smart_resize};

/// Pixels of a whole video that Qwen3-VL is published with.
const PUBLISHED_VIDEO_PIXELS: VideoPixels = VideoPixels { shortest_edge: 4096, longest_edge: 25_165_824 };
/// The video whose budget is dealt out: one frame may have a 64th of it.
const BUDGET_FRAMES: usize = 64;
/// Where the settings may stand, the first found counts; transformers 5 nests them.
const FILES: [(&str, Option<&str>); 3] = [
    ("video_preprocessor_config.json", None),
    ("processor_config.json", Some("video_processor")),
    ("preprocessor_config.json", None),
];

/// Bounds for the pixels of a whole video, called edges in the files for historical reasons.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq)]
struct VideoPixels {
    shortest_edge: usize,
    longest_edge: usize,
}

#[derive(Debug, Default, Deserialize)]
struct RawProcessor {
    size: Option<VideoPixels>,
    patch_size: Option<usize>,
    temporal_patch_size: Option<usize>,
    merge_size: Option<usize>,
    image_mean: Option<Vec<f64>>,
    image_std: Option<Vec<f64>>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    resample: Option<Value>,
}

/// Resizes, normalises and cuts frames.
#[derive(Debug)]
pub struct Processor {
    patch_size: usize,
    merge_size: usize,
    min_pixels: usize,
    max_pixels: usize,
    /// The normalised value of every byte, for every channel.
    normalised: [[f32; 256]; CHANNELS],
}

impl Processor {
    /// Reads the video settings of a model folder; `max_pixels` per frame overrides the folder's.
    ///
    /// # Errors
    /// Settings that contradict `config` or that this engine does not have.
    pub fn load(
        folder: &ModelFolder,
        config: &VisionConfig,
        max_pixels: Option<usize>,
    ) -> Result<Self, LoadError> {
        for (file, nested) in FILES {
            let Some(mut value) = folder.read_json_if_present::<Value>(file)? else { continue };
            if let Some(key) = nested {
                match value.get_mut(key) {
                    Some(inner) => value = inner.take(),
                    None => continue,
                }
            }
            let raw = serde_json::from_value(value)
                .map_err(|source| LoadError::Json { file: file.to_owned(), source })?;
            return Self::from_raw(raw, file, config, max_pixels);
        }
        log::info!(
            "the model folder has no preprocessor settings: Qwen3-VL's own are used, with patches of {0}×{0} pixels",
            config.patch_size
        );
        Self::from_raw(RawProcessor::default(), "(default settings)", config, max_pixels)
    }

    fn from_raw(
        raw: RawProcessor,
        file: &str,
        config: &VisionConfig,
        max_pixels: Option<usize>,
    ) -> Result<Self, LoadError> {
        raw.check_against(file, config)?;
        let bounds = raw.size.unwrap_or(PUBLISHED_VIDEO_PIXELS);
        let max_pixels = match max_pixels {
            Some(given) => given,
            None => {
                let share = bounds.longest_edge / BUDGET_FRAMES;
                log::info!(
                    "at most {share} pixels per frame: a {BUDGET_FRAMES}th of the model's budget for a video"
                );
                share
            }
        };
        let block = config.patch_size * config.merge_size;
        if max_pixels < block * block {
            let expected =
                format!("a visual token covers {block}×{block} pixels: allow at least {}", block * block);
            return Err(LoadError::field("processor settings", "max_pixels", max_pixels, expected));
        }
        Ok(Self {
            patch_size: config.patch_size,
            merge_size: config.merge_size,
            // The bound is for a video, and the shortest is one pair.
            min_pixels: (bounds.shortest_edge / FRAMES_PER_PAIR).min(max_pixels),
            max_pixels,
            normalised: raw.normalisation(file)?,
        })
    }

    /// Upper bound of the pixels of one resized frame.
    pub fn max_pixels(&self) -> usize {
        self.max_pixels
    }

    /// The patch grid of frames of this size in pixels.
    ///
    /// # Errors
    /// [`VlmError::FrameSize`] when a side is shorter than a visual token or the frame is a thin strip.
    pub fn grid(&self, width: u32, height: u32) -> Result<PatchGrid, VlmError> {
        let block = self.patch_size * self.merge_size;
        let (resized_height, resized_width) =
            smart_resize(height as usize, width as usize, block, self.min_pixels, self.max_pixels)
                .map_err(|source| VlmError::FrameSize { width, height, source })?;
        Ok(PatchGrid {
            rows: resized_height / self.patch_size,
            columns: resized_width / self.patch_size,
            merge_size: self.merge_size,
        })
    }

    /// The frame at the grid's size: bicubic and antialiased, rounded to bytes as torchvision does for byte images.
    ///
    /// # Errors
    /// [`VlmError::FrameSize`] when the frame has no pixels.
    pub fn resize(&self, rgb: &RgbImage, grid: &PatchGrid) -> Result<RgbImage, VlmError> {
        let (width, height) = ((grid.columns * self.patch_size) as u32, (grid.rows * self.patch_size) as u32);
        if rgb.dimensions() == (width, height) {
            return Ok(rgb.clone());
        }
        resize(rgb, width, height).ok_or_else(|| VlmError::FrameSize {
            width: rgb.width(),
            height: rgb.height(),
            source: SizeError::Resize { width, height },
        })
    }

    /// Two resized frames as (patches, channels · 2 · patch²): patches in merge-block order, each laid out as
    /// channel, frame, row, column.
    ///
    /// # Errors
    /// [`VlmError::Inference`] when a frame is not of the grid's size.
    pub fn patches(&self, pair: [&RgbImage; FRAMES_PER_PAIR], grid: &PatchGrid) -> Result<Tensor, VlmError> {
        self.pixels(pair, grid)?.cut().map_err(inference)
    }

    /// Two resized frames, to be cut into patches.
    pub(super) fn pixels<'a>(
        &'a self,
        pair: [&'a RgbImage; FRAMES_PER_PAIR],
        grid: &PatchGrid,
    ) -> Result<Pixels<'a>, VlmError> {
        let (width, height) = (grid.columns * self.patch_size, grid.rows * self.patch_size);
        if pair.iter().any(|frame| frame.dimensions() != (width as u32, height as u32)) {
            return Err(VlmError::Inference(
                format!("a frame is not of the grid's {width}×{height} pixels").into(),
            ));
        }
        Ok(Pixels { pair, grid: *grid, side: self.patch_size, normalised: &self.normalised })
    }
}

impl RawProcessor {
    fn check_against(&self, file: &str, config: &VisionConfig) -> Result<(), LoadError> {
        let sizes = [
            ("patch_size", self.patch_size, config.patch_size),
            ("merge_size", self.merge_size, config.merge_size),
            ("temporal_patch_size", self.temporal_patch_size, FRAMES_PER_PAIR),
        ];
        for (field, found, expected) in sizes {
            if let Some(found) = found
                && found != expected
            {
                return Err(LoadError::field(file, field, found, format!("the model works with {expected}")));
            }
        }
        let switches = [
            ("do_resize", self.do_resize),
            ("do_rescale", self.do_rescale),
            ("do_normalize", self.do_normalize),
        ];
        if let Some((field, _)) = switches.into_iter().find(|(_, value)| *value == Some(false)) {
            return Err(LoadError::field(file, field, false, "this step cannot be left out"));
        }
        // 3 is bicubic in Pillow's numbering.
        if let Some(resample) = &self.resample
            && !matches!(resample.as_u64(), Some(3))
            && !matches!(resample.as_str(), Some("bicubic"))
            && !resample.is_null()
        {
            return Err(LoadError::field(file, "resample", resample, "only bicubic (3) is supported"));
        }
        if let Some(VideoPixels { shortest_edge, longest_edge }) = self.size
            && (longest_edge == 0 || shortest_edge > longest_edge)
        {
            let expected = format!("it must lie above shortest_edge, {shortest_edge}");
            return Err(LoadError::field(file, "size.longest_edge", longest_edge, expected));
        }
        Ok(())
    }

    /// (byte · factor − mean) / std, computed as transformers fuses it: (byte − mean / factor) / (std / factor).
    fn normalisation(&self, file: &str) -> Result<[[f32; 256]; CHANNELS], LoadError> {
        let half = || vec![0.5; CHANNELS];
        let mean = self.image_mean.clone().unwrap_or_else(half);
        let std = self.image_std.clone().unwrap_or_else(half);
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if !(factor.is_finite() && factor > 0.0) {
            return Err(LoadError::field(file, "rescale_factor", factor, "it must be positive"));
        }
        if mean.len() != CHANNELS || !mean.iter().all(|value| value.is_finite()) {
            return Err(LoadError::field(
                file,
                "image_mean",
                format!("{mean:?}"),
                "three numbers are needed",
            ));
        }
        if std.len() != CHANNELS || !std.iter().all(|value| value.is_finite() && *value > 0.0) {
            return Err(LoadError::field(
                file,
                "image_std",
                format!("{std:?}"),
                "three positive numbers are needed",
            ));
        }
        let mut table = [[0.0; 256]; CHANNELS];
        for (channel, row) in table.iter_mut().enumerate() {
            let (mean, std) = ((mean[channel] / factor) as f32, (std[channel] / factor) as f32);
            for (byte, value) in row.iter_mut().enumerate() {
                *value = (byte as f32 - mean) / std;
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vision() -> VisionConfig {
        VisionConfig {
            depth: 1,
            hidden_size: 16,
            intermediate_size: 16,
            heads: 2,
            activation: super::super::config::Activation::GeluTanh,
            rope_theta: 1e4,
            patch_size: 2,
            merge_size: 2,
            position_table_side: 4,
            deepstack_layers: vec![],
        }
    }

    fn processor(raw: Value, max_pixels: Option<usize>) -> Result<Processor, LoadError> {
        Processor::from_raw(serde_json::from_value(raw).unwrap(), "test.json", &vision(), max_pixels)
    }

    #[test]
    fn the_budget_of_a_video_is_dealt_out() {
        assert_eq!(processor(serde_json::json!({}), None).unwrap().max_pixels(), 393_216);
        let small = serde_json::json!({"size": {"shortest_edge": 64, "longest_edge": 6400}});
        assert_eq!(processor(small.clone(), None).unwrap().max_pixels(), 100);
        assert_eq!(processor(small, Some(50)).unwrap().max_pixels(), 50);
        assert!(processor(serde_json::json!({}), Some(15)).unwrap_err().to_string().contains("at least 16"));
    }

    #[test]
    fn patches_are_laid_out_channel_frame_row_column() {
        let raw = serde_json::json!({
            "image_mean": [0.0, 0.0, 0.0],
            "image_std": [1.0, 1.0, 1.0],
            "rescale_factor": 1.0,
        });
        let processor = processor(raw, None).unwrap();
        let grid = PatchGrid { rows: 2, columns: 4, merge_size: 2 };
        let frame = |base: u8| {
            RgbImage::from_fn(8, 4, |x, y| {
                ::image::Rgb([0, 60, 120].map(|channel| base + channel + (y * 8 + x) as u8))
            })
        };
        let (first, second) = (frame(0), frame(100));
        let patches: Vec<Vec<f32>> = processor.patches([&first, &second], &grid).unwrap().to_vec2().unwrap();
        assert_eq!(patches.len(), 8);
        // Patch 2 in merge-block order is row 1, column 0: pixels (0..2, 2..4), that is 16, 17, 24, 25.
        let one_channel = |base: f32| [16.0, 17.0, 24.0, 25.0, 116.0, 117.0, 124.0, 125.0].map(|v| v + base);
        assert_eq!(patches[2], [one_channel(0.0), one_channel(60.0), one_channel(120.0)].concat());
        // Patch 4 opens the second merge block: row 0, column 2.
        assert_eq!(patches[4][..4], [4.0, 5.0, 12.0, 13.0]);
        assert!(processor.patches([&first, &RgbImage::new(4, 4)], &grid).is_err());
    }

    #[test]
    fn normalisation_follows_the_settings() {
        let plain = processor(serde_json::json!({}), None).unwrap();
        assert_eq!((plain.normalised[0][0], plain.normalised[1][255]), (-1.0, 1.0));
        let other = processor(
            serde_json::json!({"image_mean": [0.0, 0.5, 1.0], "image_std": [1.0, 0.25, 2.0]}),
            None,
        );
        let table = other.unwrap().normalised;
        for (got, expected) in [(table[0][51], 0.2), (table[1][255], 2.0), (table[2][0], -0.5)] {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn settings_that_cannot_be_met_are_refused() {
        let cases = [
            (serde_json::json!({"patch_size": 14}), "patch_size is 14"),
            (serde_json::json!({"merge_size": 4}), "merge_size is 4"),
            (serde_json::json!({"temporal_patch_size": 1}), "temporal_patch_size is 1"),
            (serde_json::json!({"do_resize": false}), "do_resize"),
            (serde_json::json!({"resample": 2}), "resample is 2"),
            (serde_json::json!({"image_std": [0.5, 0.0, 0.5]}), "image_std"),
            (serde_json::json!({"image_mean": [0.5]}), "image_mean"),
            (serde_json::json!({"rescale_factor": 0.0}), "rescale_factor"),
            (serde_json::json!({"size": {"shortest_edge": 10, "longest_edge": 5}}), "longest_edge is 5"),
        ];
        for (raw, expected) in cases {
            let message = processor(raw, None).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
