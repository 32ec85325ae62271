//! What long episodes cost, as one line of JSON: a step late in an episode against an early one, and the prefix cache
//! against recomputing every prefix, beside the ratio that counting multiplications promises.
//!
//! `cargo bench --bench long -- FOLDER [--size 64] [--frames 984] [--prefixes 15] [--dtype f32]`.

use std::time::Instant;

use clap::Parser;
use image::RgbImage;
use serde_json::json;
use topreward::model::qwen3_vl::config::Qwen3VlConfig;
use topreward::model::qwen3_vl::{LoadOptions, ModelFolder, Qwen3Vl, QwenEpisode};
use topreward::model::{DtypeChoice, VideoVlm};

const INSTRUCTION: &str = "pick up the red cube and put it into the bowl";
const FPS: f64 = 30.0;
/// Steps whose fastest counts, and episodes that they are the last of.
const STEPS: usize = 5;
const EPISODES: usize = 3;
/// Samples after which a step is early, and late.
const EARLY: usize = 20;
const LATE: usize = 600;

#[derive(Parser)]
struct Options {
    /// A model folder; without one nothing is measured.
    folder: Option<std::path::PathBuf>,
    #[arg(long, default_value = "f32")]
    dtype: DtypeChoice,
    /// Pixels of a frame's side.
    #[arg(long, default_value_t = 64)]
    size: u32,
    #[arg(long, default_value_t = 984)]
    frames: usize,
    /// Prefixes that are scored, evenly spaced, the last one being the whole episode.
    #[arg(long, default_value_t = 15)]
    prefixes: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn frame(size: u32, step: usize) -> RgbImage {
    let step = step as u32;
    RgbImage::from_fn(size, size, |x, y| {
        image::Rgb([3 * x + 5 * step, 2 * y + 3 * step, x * y].map(|v| v as u8))
    })
}

/// A model, and the frames that it is shown.
struct Run<'a> {
    model: &'a Qwen3Vl,
    video: &'a [(RgbImage, f64)],
}

impl Run<'_> {
    /// [`Run::step`] behind few samples and behind many, in turns: a shared machine is faster at one time than at another.
    fn early_and_late(&self) -> [f64; 2] {
        let least = |[a, b]: [f64; 2], _| [a.min(self.step(EARLY)), b.min(self.step(LATE))];
        (0..EPISODES).fold([f64::MAX; 2], least)
    }

    /// Seconds for a pair and a question at the end of so many samples: the fastest of some.
    fn step(&self, samples: usize) -> f64 {
        let mut episode = self.model.new_episode();
        let before = samples - 2 * STEPS;
        self.append(&mut episode, 0..before);
        let timed = |pair: usize, episode: &mut QwenEpisode| {
            let begun = Instant::now();
            self.append(episode, before + 2 * pair..before + 2 * pair + 2);
            self.model.score(episode, INSTRUCTION).expect("a score");
            begun.elapsed().as_secs_f64()
        };
        (0..STEPS).map(|pair| timed(pair, &mut episode)).fold(f64::MAX, f64::min)
    }

    fn append(&self, episode: &mut QwenEpisode, frames: std::ops::Range<usize>) {
        for (rgb, time_s) in &self.video[frames] {
            self.model.append(episode, rgb, *time_s).expect("a frame must fit");
        }
    }

    /// Seconds for an episode that grows once and is asked at each of these lengths.
    fn cached(&self, lengths: &[usize]) -> f64 {
        let begun = Instant::now();
        let (mut episode, mut shown) = (self.model.new_episode(), 0);
        for &length in lengths {
            self.append(&mut episode, shown..length);
            shown = length;
            self.model.score(&mut episode, INSTRUCTION).expect("a score");
        }
        begun.elapsed().as_secs_f64()
    }

    /// Seconds for one prefix computed from nothing.
    fn recomputed(&self, length: usize) -> f64 {
        let begun = Instant::now();
        let frames: Vec<_> = self.video[..length].iter().map(|(rgb, time_s)| (rgb, *time_s)).collect();
        self.model.score_at_once(&frames, INSTRUCTION).expect("a score");
        begun.elapsed().as_secs_f64()
    }
}

/// Multiplications of an episode's parts; the embeddings are looked up, and the head answers for one row.
struct Arithmetic {
    pair: f64,
    token: f64,
    /// For each token that a token looks at.
    look: f64,
    head: f64,
    pair_tokens: f64,
    question_tokens: f64,
}

impl Arithmetic {
    fn of(config: &Qwen3VlConfig, patches: f64, pair_tokens: usize, question_tokens: usize) -> Self {
        let (text, vision) = (&config.text, &config.vision);
        let [hidden, wide, head_dim] =
            [text.hidden_size, text.intermediate_size, text.head_dim].map(|v| v as f64);
        let [heads, shared, layers] = [text.heads, text.key_value_heads, text.layers].map(|v| v as f64);
        let of_layer = hidden * head_dim * (2.0 * heads + 2.0 * shared) + 3.0 * hidden * wide;
        let [width, inner, depth] =
            [vision.hidden_size, vision.intermediate_size, vision.depth].map(|v| v as f64);
        let merged = width * (vision.merge_size * vision.merge_size) as f64;
        let merger = (merged * merged + merged * hidden) * patches * width / merged;
        let block = patches * (4.0 * width * width + 2.0 * width * inner) + 2.0 * patches * patches * width;
        let embedding = patches * width * (3 * 2 * vision.patch_size * vision.patch_size) as f64;
        Self {
            pair: embedding + depth * block + (1 + vision.deepstack_layers.len()) as f64 * merger,
            token: layers * of_layer,
            look: 2.0 * layers * heads * head_dim,
            head: hidden * text.vocab_size as f64,
            pair_tokens: pair_tokens as f64,
            question_tokens: question_tokens as f64,
        }
    }

    /// Of `tokens` behind `before` others.
    fn language(&self, before: f64, tokens: f64) -> f64 {
        tokens * self.token + tokens * (before + tokens / 2.0) * self.look
    }

    fn question(&self, before: f64) -> f64 {
        self.language(before, self.question_tokens) + self.head
    }

    fn tokens(&self, frames: usize) -> f64 {
        frames.div_ceil(2) as f64 * self.pair_tokens
    }

    fn recomputed(&self, frames: usize) -> f64 {
        let tokens = self.tokens(frames);
        frames.div_ceil(2) as f64 * self.pair + self.language(0.0, tokens) + self.question(tokens)
    }

    /// An odd last frame is encoded doubled, and again once its partner has come.
    fn cached(&self, lengths: &[usize]) -> f64 {
        let all = lengths.last().copied().unwrap_or(0);
        let odd = lengths.iter().filter(|&&length| !length.is_multiple_of(2)).count() as f64;
        let doubled = |length: &usize| {
            let before = self.tokens(length / 2 * 2);
            if length.is_multiple_of(2) { 0.0 } else { self.language(before, self.pair_tokens) }
        };
        (all / 2) as f64 * self.pair
            + odd * self.pair
            + self.language(0.0, self.tokens(all / 2 * 2))
            + lengths.iter().map(|length| self.question(self.tokens(*length)) + doubled(length)).sum::<f64>()
    }
}

/// What every length from 1 on takes, of some that were measured: straight lines between them.
fn all_lengths(measured: &[(usize, f64)]) -> f64 {
    let between = |pair: &[(usize, f64)]| {
        let ((from, first), (to, last)) = (pair[0], pair[1]);
        (to - from) as f64 * (first + last) / 2.0
    };
    measured.windows(2).map(between).sum()
}

fn main() {
    let options = Options::parse();
    let Some(folder) = &options.folder else {
        eprintln!("long: no model folder given, nothing measured; ./dev bench gives one");
        return;
    };
    let load = LoadOptions {
        dtype: options.dtype,
        max_pixels: Some((options.size * options.size) as usize),
        ..LoadOptions::new(folder)
    };
    let model = Qwen3Vl::load(&load).expect("the model folder must load");
    let config = Qwen3VlConfig::load(&ModelFolder::open(folder).expect("a folder")).expect("a config.json");
    let count = options.frames.max(LATE);
    let video: Vec<_> = (0..count).map(|step| (frame(options.size, step), step as f64 / FPS)).collect();
    let run = Run { model: &model, video: &video };

    let mut episode = model.new_episode();
    let question = model.prompt_tokens(&mut episode, INSTRUCTION).map_or(0, |tokens| tokens.len());
    run.append(&mut episode, 0..4);
    model.score(&mut episode, INSTRUCTION).expect("a score");
    let pair_tokens = episode.cached_tokens() / 2;
    let patches = episode.grid().map_or(0, |grid| grid.patches()) as f64;
    let arithmetic = Arithmetic::of(&config, patches, pair_tokens, question);

    let [early, late] = run.early_and_late();
    let work = |samples: usize| {
        let tokens = arithmetic.tokens(samples);
        arithmetic.pair
            + arithmetic.language(tokens - arithmetic.pair_tokens, arithmetic.pair_tokens)
            + arithmetic.question(tokens)
    };
    let lengths: Vec<_> =
        (1..=options.prefixes).map(|part| part * options.frames / options.prefixes).collect();
    let cached = run.cached(&lengths);
    let recomputed: Vec<_> = lengths.iter().map(|&length| (length, run.recomputed(length))).collect();
    let every: Vec<_> = (1..=options.frames).collect();
    let dense = run.cached(&every);
    let dense_recomputed = all_lengths(&[&[(0, 0.0)], &recomputed[..]].concat());
    let promised = |lengths: &[usize]| {
        lengths.iter().map(|&length| arithmetic.recomputed(length)).sum::<f64>() / arithmetic.cached(lengths)
    };
    let sum: f64 = recomputed.iter().map(|(_, seconds)| seconds).sum();
    println!(
        "{}",
        json!({
            "dtype": model.info().dtype, "size": options.size, "pair_tokens": pair_tokens,
            "bytes_per_sample": episode.bytes_per_token() * pair_tokens / 2,
            "early_samples": EARLY, "late_samples": LATE, "early_s": early, "late_s": late,
            "late_arithmetic": work(LATE) / work(EARLY),
            "frames": options.frames, "prefixes": options.prefixes,
            "cached_s": cached, "recomputed_s": sum, "ratio": sum / cached, "arithmetic": promised(&lengths),
            "dense_s": dense, "dense_recomputed_s": dense_recomputed,
            "dense_ratio": dense_recomputed / dense, "dense_arithmetic": promised(&every),
        })
    );
}
