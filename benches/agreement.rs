//! How far scores lie from those of transformers in f32, for each kind of weights on a device, as one line of JSON each:
//! `cargo bench --bench agreement -- tests/golden --device cuda --dtype f32,bf16,q8`; tools/gpu/check runs it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Parser;
use image::RgbImage;
use serde::Deserialize;
use serde_json::json;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use topreward::model::{DeviceChoice, DtypeChoice, LogProbs, VideoVlm};

#[derive(Parser)]
struct Options {
    /// The folder tests/golden; without it nothing is measured.
    folder: Option<PathBuf>,
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Each as `model.dtype` names it.
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    dtype: Vec<String>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Deserialize)]
struct Case {
    checkpoint: String,
    frames_set: String,
    n_frames: usize,
    times_s: Vec<f64>,
    template: bool,
    instruction: String,
    max_pixels: usize,
    log_prob_true: f64,
    log_prob_false: f64,
}

/// The larger of the two answers' differences, nats.
fn difference(one: LogProbs, other: LogProbs) -> f64 {
    let of_true = (one.log_prob_true - other.log_prob_true).abs();
    of_true.max((one.log_prob_false - other.log_prob_false).abs())
}

/// The frames of a case with their times.
fn video(folder: &Path, case: &Case) -> anyhow::Result<Vec<(RgbImage, f64)>> {
    let set = folder.join("frames").join(&case.frames_set);
    let read = |index| anyhow::Ok(image::open(set.join(format!("{index}.png")))?.to_rgb8());
    (0..case.n_frames).map(|index| Ok((read(index)?, case.times_s[index]))).collect()
}

/// How far a case's score is from the golden one, and how far from the score that a full recompute gives, nats.
fn compare(model: &Qwen3Vl, case: &Case, frames: &[(RgbImage, f64)]) -> anyhow::Result<(f64, f64)> {
    let mut episode = model.new_episode();
    let mut cached = None;
    for (frame, time_s) in frames {
        model.append(&mut episode, frame, *time_s)?;
        // Asked at every prefix, as live: what is in the cache then has been through many small steps.
        cached = Some(model.score(&mut episode, &case.instruction)?);
    }
    let cached = cached.ok_or_else(|| anyhow::anyhow!("a case without frames"))?;
    let borrowed: Vec<_> = frames.iter().map(|(frame, time_s)| (frame, *time_s)).collect();
    let at_once = model.score_at_once(&borrowed, &case.instruction)?;
    let golden = LogProbs { log_prob_true: case.log_prob_true, log_prob_false: case.log_prob_false };
    Ok((difference(cached, golden), difference(cached, at_once)))
}

/// All cases, in their order; `models` are loaded once for each of their settings.
fn agreement(options: &Options, folder: &Path, dtype: &str) -> anyhow::Result<serde_json::Value> {
    let choice: DtypeChoice = dtype.parse().map_err(|reason| anyhow::anyhow!("--dtype {dtype}: {reason}"))?;
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(folder.join("cases.json"))?)?;
    let mut models = HashMap::new();
    let (mut golden, mut cached) = (Vec::new(), Vec::new());
    for case in &cases {
        let key = (case.checkpoint.clone(), case.template, case.max_pixels);
        if !models.contains_key(&key) {
            let load = LoadOptions {
                dtype: choice,
                device: options.device,
                chat_template: case.template,
                max_pixels: Some(case.max_pixels),
                ..LoadOptions::new(folder.join(&case.checkpoint))
            };
            models.insert(key.clone(), Qwen3Vl::load(&load)?);
        }
        let (off, moved) = compare(&models[&key], case, &video(folder, case)?)?;
        golden.push(off);
        cached.push(moved);
    }
    Ok(json!({ "dtype": dtype, "device": options.device, "golden": golden, "recomputed": cached }))
}

fn main() {
    let options = Options::parse();
    let Some(folder) = &options.folder else {
        eprintln!("agreement: no folder given, nothing measured; give tests/golden");
        return;
    };
    for dtype in &options.dtype {
        // What one kind of weights cannot do is told, and the next one is tried.
        let report = agreement(&options, folder, dtype);
        println!(
            "{}",
            report.unwrap_or_else(|error| json!({ "dtype": dtype, "error": format!("{error:#}") }))
        );
    }
}
