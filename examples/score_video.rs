//! Scores a video: `cargo run --release --example score_video -- models/so101-sim VIDEO "instruction"`.

use std::path::Path;

use anyhow::Context;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use topreward::offline::recording::{open_file, sample};
use topreward::offline::{Prefixes, Scoring, score_prefixes};
use topreward::reward::{BiasControl, voc};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        |what| arguments.next().with_context(|| format!("{what} is missing: MODEL VIDEO INSTRUCTION"));
    let (model, video, instruction) = (next("the model")?, next("the video")?, next("the instruction")?);

    let model = Qwen3Vl::load(&LoadOptions::new(model))?;
    // Two frames a second, chosen as the node chooses them.
    let sampled = sample(&*open_file(Path::new(&video))?, &video, 2.0)?;
    let lengths = Prefixes::All.lengths(sampled.frames.len());
    let scoring =
        Scoring { instructions: &[&instruction], lengths: &lengths, cache: true, control: BiasControl::Off };
    let curves = score_prefixes(&model, &sampled.frames, scoring, &mut || {})?;
    for point in &curves[0] {
        println!("{:6.2} s  {:8.4} nats", point.time_s, point.log_prob_true);
    }
    let rewards: Vec<f64> = curves[0].iter().map(|point| point.log_prob_true).collect();
    println!("VOC {:?}", voc(&rewards));
    Ok(())
}
