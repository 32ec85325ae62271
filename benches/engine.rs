//! The engine's steps one by one, and whole episodes with and without the prefix cache.
//!
//! `TOPREWARD_MODEL=<folder> cargo bench --bench engine`; without the variable a tiny random model stands in, whose
//! times say nothing about a real one.

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use image::RgbImage;
use topreward::model::VideoVlm;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl, QwenEpisode};

const INSTRUCTION: &str = "pick up the red cube and place it at the goal";
/// Frames as the embedded model takes them, without a resize.
const WIDTH: u32 = 160;
const HEIGHT: u32 = 128;
const SAMPLE_FPS: f64 = 2.0;

fn load() -> Qwen3Vl {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tied");
    let folder = std::env::var_os("TOPREWARD_MODEL").map_or(default, Into::into);
    Qwen3Vl::load(&LoadOptions::new(folder)).expect("the model folder must load")
}

/// Moving gradients: cheap, and no two frames are alike.
fn frame(width: u32, height: u32, step: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x + 5 * step, y + 3 * step, x * y / 64].map(|v| v as u8))
    })
}

fn video(frames: u32) -> Vec<(RgbImage, f64)> {
    (0..frames).map(|step| (frame(WIDTH, HEIGHT, step), f64::from(step) / SAMPLE_FPS)).collect()
}

fn episode_of(model: &Qwen3Vl, frames: &[(RgbImage, f64)]) -> QwenEpisode {
    let mut episode = model.new_episode();
    for (rgb, time_s) in frames {
        model.append(&mut episode, rgb, *time_s).expect("a frame must fit");
    }
    episode
}

fn steps(criterion: &mut Criterion) {
    let model = load();
    let camera = [frame(640, 480, 0), frame(640, 480, 1)];
    criterion.bench_function("preprocess/640x480 pair to 128x160", |bencher| {
        let grid = model.processor().grid(WIDTH, HEIGHT).expect("a usable size");
        bencher.iter(|| {
            let resized = camera.each_ref().map(|rgb| model.processor().resize(rgb, &grid).expect("resized"));
            model.processor().patches([&resized[0], &resized[1]], &grid).expect("patches")
        });
    });
    criterion.bench_function("vision/pair", |bencher| {
        let grid = model.processor().grid(WIDTH, HEIGHT).expect("a usable size");
        let tables = model.vision().grid_tables(&grid).expect("tables");
        let pair = [frame(WIDTH, HEIGHT, 0), frame(WIDTH, HEIGHT, 1)];
        let patches = model.processor().patches([&pair[0], &pair[1]], &grid).expect("patches");
        bencher.iter(|| model.vision().encode(black_box(&patches), &tables).expect("features"));
    });
    let frames = video(16);
    criterion.bench_function("append/8th pair", |bencher| {
        bencher.iter_batched_ref(
            || episode_of(&model, &frames[..15]),
            |episode| model.append(episode, &frames[15].0, frames[15].1).expect("appended"),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("question/behind 8 pairs", |bencher| {
        let mut episode = episode_of(&model, &frames);
        bencher.iter(|| model.score(&mut episode, black_box(INSTRUCTION)).expect("a score"));
    });
}

/// Scores after every frame of an episode.
fn episodes(criterion: &mut Criterion) {
    let model = load();
    let mut group = criterion.benchmark_group("score");
    group.sample_size(10);
    for count in [4u32, 8, 16] {
        let frames = video(count);
        group.bench_with_input(BenchmarkId::new("cached", count), &frames, |bencher, frames| {
            bencher.iter(|| {
                let mut episode = model.new_episode();
                for (rgb, time_s) in frames {
                    model.append(&mut episode, rgb, *time_s).expect("appended");
                    black_box(model.score(&mut episode, INSTRUCTION).expect("a score"));
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("recomputed", count), &frames, |bencher, frames| {
            bencher.iter(|| {
                for prefix in 1..=frames.len() {
                    let prefix: Vec<_> =
                        frames[..prefix].iter().map(|(rgb, time_s)| (rgb, *time_s)).collect();
                    black_box(model.score_at_once(&prefix, INSTRUCTION).expect("a score"));
                }
            });
        });
    }
    group.finish();
}

/// What `bias.control: static` costs beside an episode that is scored after every frame: nothing, the control as the
/// engine keeps it (the first frame is encoded once), and a second episode that is given the first frame again and again.
fn control(criterion: &mut Criterion) {
    let model = load();
    let mut group = criterion.benchmark_group("control");
    group.sample_size(10);
    let frames = video(16);
    let first = &frames[0].0;
    let ask = |episode: &mut QwenEpisode| {
        black_box(model.score(episode, INSTRUCTION).expect("a score"));
    };
    group.bench_function("off", |bencher| {
        bencher.iter(|| {
            let mut episode = model.new_episode();
            for (rgb, time_s) in &frames {
                model.append(&mut episode, rgb, *time_s).expect("appended");
                ask(&mut episode);
            }
        });
    });
    group.bench_function("static", |bencher| {
        bencher.iter(|| {
            let mut episode = model.new_episode();
            let mut still: Option<QwenEpisode> = None;
            for (rgb, time_s) in &frames {
                model.append(&mut episode, rgb, *time_s).expect("appended");
                ask(&mut episode);
                match &mut still {
                    Some(still) => model.append_first_again(still, *time_s).expect("repeated"),
                    None => still = Some(model.begin_control(&mut episode).expect("a control")),
                }
                still.as_mut().into_iter().for_each(ask);
            }
        });
    });
    group.bench_function("a second episode", |bencher| {
        bencher.iter(|| {
            let (mut episode, mut still) = (model.new_episode(), model.new_episode());
            for (rgb, time_s) in &frames {
                for (episode, rgb) in [(&mut episode, rgb), (&mut still, first)] {
                    model.append(episode, rgb, *time_s).expect("appended");
                    ask(episode);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, steps, episodes, control);
criterion_main!(benches);
