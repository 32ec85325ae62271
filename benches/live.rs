//! What one live step costs with a real model's shapes, as one line of JSON: loading, memory, a pair of frames through the
//! vision tower, the pair and the question through the language model, the question alone.
//!
//! `cargo bench --bench live -- FOLDER [--dtype auto|f32|q8|q6|q4] [--size 224] [--pairs 4]`; tools/bench/ runs it beside others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use image::RgbImage;
use serde_json::json;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use topreward::model::{DtypeChoice, Stage, StageClock, VideoVlm};

/// `<|im_start|>user` and a line break stand before the first pair and are not asked again.
const OPENING_TOKENS: usize = 3;
const INSTRUCTION: &str = "pick up the red cube and put it into the bowl";

#[derive(Parser)]
struct Options {
    /// A model folder; without one nothing is measured.
    folder: Option<std::path::PathBuf>,
    #[arg(long, default_value = "auto")]
    dtype: DtypeChoice,
    /// Pixels of a frame's side.
    #[arg(long, default_value_t = 224)]
    size: u32,
    /// Pairs of frames; the fastest counts.
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

fn main() {
    let options = Options::parse();
    let Some(folder) = &options.folder else {
        eprintln!("live: no model folder given, nothing measured; ./dev bench gives one");
        return;
    };
    let begun = Instant::now();
    let load = LoadOptions {
        dtype: options.dtype,
        max_pixels: Some((options.size * options.size) as usize),
        weight_cache: options.weights.clone(),
        ..LoadOptions::new(folder)
    };
    let mut model = Qwen3Vl::load(&load).expect("the model folder must load");
    let loaded = begun.elapsed();
    let clock = Arc::new(StageClock::default());
    model.time_stages(clock.clone());
    let spent = || (clock.spent(Stage::Vision), clock.spent(Stage::Language));
    let mut episode = model.new_episode();
    let mut best = [Duration::MAX; 3];
    let mut pair_tokens = 0;
    for pair in 0..options.pairs {
        let before = spent();
        let seen = model.prompt_tokens(&mut episode, INSTRUCTION).expect("a prompt").len();
        for second in 0..2 {
            let rgb = frame(options.size, 2 * pair + second);
            model.append(&mut episode, &rgb, f64::from(2 * pair + second) / 2.0).expect("appended");
        }
        let encoded = spent();
        pair_tokens = model.prompt_tokens(&mut episode, INSTRUCTION).expect("a prompt").len() - seen;
        model.score(&mut episode, INSTRUCTION).expect("a score");
        let scored = spent();
        // The pair is in the cache now.
        model.score(&mut episode, INSTRUCTION).expect("a score");
        let took = [encoded.0 - before.0, scored.1 - encoded.1, spent().1 - scored.1];
        for (best, took) in best.iter_mut().zip(took) {
            *best = took.min(*best);
        }
    }
    let asked = model.prompt_tokens(&mut model.new_episode(), INSTRUCTION).expect("a question").len();
    let [vision, language, question] = best.map(|time| time.as_secs_f64());
    let report = json!({
        "dtype": model.info().dtype, "size": options.size, "threads": rayon::current_num_threads(),
        "load_s": loaded.as_secs_f64(), "peak_gb": memory("VmHWM"), "now_gb": memory("VmRSS"),
        "vision_s_per_pair": vision,
        "cache_bytes_per_token": episode.bytes_per_token(),
        "pair_tokens": pair_tokens, "question_tokens": asked - OPENING_TOKENS,
        "language_s": language, "question_s": question,
    });
    println!("{report}");
}
