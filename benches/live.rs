//! What one live step costs with a real model's shapes, as one line of JSON: loading, memory, a pair of frames through the
//! vision tower, the pair and the question through the language model, the question alone.
//!
//! `cargo bench --bench live -- FOLDER [--device cpu] [--dtype auto] [--size 224] [--pairs 4]`; tools/bench/ and tools/gpu/ run it
//! beside others.

use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use image::RgbImage;
use serde_json::json;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use topreward::model::{DeviceChoice, DtypeChoice, Stage, StageClock, VideoVlm, VlmError};

/// `<|im_start|>user` and a line break stand before the first pair and are not asked again.
const OPENING_TOKENS: usize = 3;
const INSTRUCTION: &str = "pick up the red cube and put it into the bowl";

#[derive(Parser)]
struct Options {
    /// A model folder; without one nothing is measured.
    folder: Option<std::path::PathBuf>,
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    #[arg(long, default_value = "auto")]
    dtype: DtypeChoice,
    /// Pixels of a frame's side.
    #[arg(long, default_value_t = 224)]
    size: u32,
    /// Pairs of frames, one episode; the fastest counts.
    #[arg(long, default_value_t = 4)]
    pairs: u32,
    /// Where rounded weights are kept for the next time; without it they are rounded each time.
    #[arg(long)]
    weights: Option<std::path::PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Noise, so that nothing is easy.
fn frame(size: u32, seed: u32) -> RgbImage {
    let mut state = u64::from(seed) + 1;
    RgbImage::from_fn(size, size, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        image::Rgb([state >> 40, state >> 48, state >> 56].map(|v| v as u8))
    })
}

/// A line of /proc/self/status, GB.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes * 1024.0 / 1e9)
}

/// One live step after the other, seconds.
#[derive(Default)]
struct Steps {
    /// A pair's frames appended and the prefix scored, by the clock on the wall: nothing is left to be computed then.
    whole: Vec<f64>,
    /// Its parts by the model's own clock: vision, and pair and question. On a GPU work may wait beyond its own part.
    vision: Vec<f64>,
    language: Vec<f64>,
    /// The question asked again, the pair being in the cache.
    question: Vec<f64>,
    pair_tokens: usize,
}

fn measure(model: &mut Qwen3Vl, options: &Options) -> Result<(Steps, usize), VlmError> {
    let clock = Arc::new(StageClock::default());
    model.time_stages(clock.clone());
    let spent = |stage| clock.spent(stage).as_secs_f64();
    let mut episode = model.new_episode();
    let mut steps = Steps::default();
    for pair in 0..options.pairs {
        let frames = [0, 1].map(|second| frame(options.size, 2 * pair + second));
        let seen = model.prompt_tokens(&mut episode, INSTRUCTION)?.len();
        let (begun, vision, language) = (Instant::now(), spent(Stage::Vision), spent(Stage::Language));
        for (second, rgb) in (0..).zip(&frames) {
            model.append(&mut episode, rgb, f64::from(2 * pair + second) / 2.0)?;
        }
        model.score(&mut episode, INSTRUCTION)?;
        steps.whole.push(begun.elapsed().as_secs_f64());
        steps.vision.push(spent(Stage::Vision) - vision);
        steps.language.push(spent(Stage::Language) - language);
        let begun = Instant::now();
        model.score(&mut episode, INSTRUCTION)?;
        steps.question.push(begun.elapsed().as_secs_f64());
        steps.pair_tokens = model.prompt_tokens(&mut episode, INSTRUCTION)?.len() - seen;
    }
    Ok((steps, episode.bytes_per_token()))
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let Some(folder) = &options.folder else {
        eprintln!("live: no model folder given, nothing measured; ./dev bench gives one");
        return Ok(());
    };
    let begun = Instant::now();
    let load = LoadOptions {
        dtype: options.dtype,
        device: options.device,
        max_pixels: Some((options.size * options.size) as usize),
        weight_cache: options.weights.clone(),
        max_samples: Some((2 * options.pairs).max(2) as usize),
        ..LoadOptions::new(folder)
    };
    let mut model = Qwen3Vl::load(&load)?;
    let loaded = begun.elapsed();
    let (steps, bytes_per_token) = measure(&mut model, &options)?;
    let asked = model.prompt_tokens(&mut model.new_episode(), INSTRUCTION)?.len();
    let report = json!({
        "device": options.device, "dtype": model.info().dtype, "size": options.size, "threads": rayon::current_num_threads(),
        "load_s": loaded.as_secs_f64(), "peak_gb": memory("VmHWM"), "now_gb": memory("VmRSS"),
        "vision_s_per_pair": least(&steps.vision),
        "cache_bytes_per_token": bytes_per_token,
        "pair_tokens": steps.pair_tokens, "question_tokens": asked - OPENING_TOKENS,
        "language_s": least(&steps.language), "question_s": least(&steps.question), "steps_s": steps.whole,
    });
    println!("{report}");
    Ok(())
}
