//! `topreward score`: the reward of every prefix of recorded episodes.

mod finish;
mod labels;
mod many;
mod one;
mod pipeline;
mod scorer;
mod stoppable;
mod timings;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::plots::PlotArgs;
use super::settings::ScoringArgs;
use super::sources::SourceArgs;
use super::{Outcome, say};
use crate::offline::results::Shard;

pub use finish::{Finished, Results, finish};

#[derive(Debug, Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Folder of a Qwen3-VL checkpoint, or its Hugging Face id (owner/name or owner/name@revision).
    #[arg(long, value_name = "DIR|ID")]
    model: String,
    /// What the robot is to do, in place of what the recordings say.
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,
    /// File of `topreward calibrate` to take the success threshold from.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    scoring: ScoringArgs,
    /// Write one result for each episode into this new folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the folder: what it holds is not scored again.
    #[arg(long, requires = "out")]
    resume: bool,
    /// Score one part of the episodes, counted from 0 (0/4 to 3/4): for job arrays, with an --out for each.
    #[arg(long, value_name = "I/N", requires = "out")]
    shard: Option<Shard>,
    /// Episodes that are scored at the same time on the one model, sharing the cores; the scores are the same.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Print on stderr how long decoding and each of the model's stages took.
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    plots: PlotArgs,
    /// Print JSON: the summary with --out, else the results, one object a line.
    #[arg(long)]
    json: bool,
}

/// Most episodes at a time: each has a cache of its own.
const MOST_JOBS: usize = 256;

pub fn run(args: &ScoreArgs) -> Result<Outcome> {
    let config = args.scoring.config()?;
    ensure!((1..=MOST_JOBS).contains(&args.jobs), "--jobs is {}, not 1 to {MOST_JOBS}", args.jobs);
    let listing = args.sources.listing()?;
    args.plots.check(listing.episodes.len() > 1)?;
    for error in &listing.errors {
        say::error(error);
    }
    let (bad, source) = (listing.errors.len(), &listing.source);
    ensure!(!listing.episodes.is_empty(), "none of the {bad} episodes of {source} could be used");
    match (&args.out, &listing.episodes[..]) {
        (None, [episode]) => one::run(args, config, episode, &listing.errors),
        _ => many::run(args, config, &listing),
    }
}
