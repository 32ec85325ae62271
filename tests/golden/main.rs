//! The engine against transformers 4.57, on the tiny checkpoints of this folder (see the README here).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde::Deserialize;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl, QwenEpisode};
use topreward::model::{DtypeChoice, LogProbs, VideoVlm};

mod cache;
mod equality;
mod generation;
mod refusals;
mod rounding;

const CHECKPOINTS: [&str; 2] = ["tied", "untied"];

const PLAIN: &str = "pick up the red cube and place it at the goal.";

#[derive(Deserialize)]
struct Case {
    checkpoint: String,
    frames_set: String,
    n_frames: usize,
    times_s: Vec<f64>,
    template: bool,
    instruction: String,
    max_pixels: usize,
    size: (u32, u32),
    grid: (usize, usize, usize),
    log_prob_true: f64,
    log_prob_false: f64,
    input_ids: Vec<u32>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(golden().join("cases.json")).unwrap()).unwrap()
}

fn tensors() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden().join("tensors.safetensors"), &Device::Cpu).unwrap()
}

fn frames(set: &str, count: usize) -> Vec<RgbImage> {
    let folder = golden().join("frames").join(set);
    (0..count).map(|index| image::open(folder.join(format!("{index}.png"))).unwrap().to_rgb8()).collect()
}

fn model(checkpoint: &str, chat_template: bool, max_pixels: usize) -> Qwen3Vl {
    model_as(DtypeChoice::F32, checkpoint, chat_template, max_pixels)
}

fn model_as(dtype: DtypeChoice, checkpoint: &str, chat_template: bool, max_pixels: usize) -> Qwen3Vl {
    let options = LoadOptions {
        dtype,
        chat_template,
        max_pixels: Some(max_pixels),
        ..LoadOptions::new(golden().join(checkpoint))
    };
    Qwen3Vl::load(&options).unwrap()
}

/// All seven aligned frames at 2 Hz.
fn aligned() -> Vec<(RgbImage, f64)> {
    frames("aligned", 7).into_iter().enumerate().map(|(index, frame)| (frame, index as f64 / 2.0)).collect()
}

fn episode_of(model: &Qwen3Vl, frames: &[(RgbImage, f64)]) -> QwenEpisode {
    let mut episode = model.new_episode();
    for (frame, time_s) in frames {
        model.append(&mut episode, frame, *time_s).unwrap();
    }
    episode
}

fn difference(a: LogProbs, b: LogProbs) -> f64 {
    (a.log_prob_true - b.log_prob_true).abs().max((a.log_prob_false - b.log_prob_false).abs())
}

fn max_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b.to_dtype(DType::F32).unwrap()).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// A copy of a checkpoint for tests that break or bend it.
fn copy_of(checkpoint: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden().join(checkpoint)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}
