//! `topreward weights`: what each frame of a labelled dataset counts in advantage-weighted behaviour cloning.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::report::check_writable;
use crate::offline::labels::{Baseline, Increments, ProgressFile, WEIGHTS_NAME, WeightSettings, Weights};
use crate::picture::plot::{Distribution, Format, histogram};
use crate::reward::quantile;

#[derive(Debug, Args)]
pub struct WeightsArgs {
    /// The labels: a topreward_progress.parquet.
    #[arg(value_name = "FILE")]
    progress: PathBuf,
    /// Where the weights go [default: topreward_weights.parquet beside the labels].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The weight of an average gain in progress.
    #[arg(long, value_name = "T", default_value_t = 2.0)]
    tau: f64,
    /// The largest weight.
    #[arg(long, value_name = "W", default_value_t = 2.0)]
    delta_max: f64,
    /// Count gains between so many anchors, evenly spread over each episode.
    #[arg(long, value_name = "N", default_value_t = 15, conflicts_with = "horizon")]
    anchors: usize,
    /// Count each frame's gain over so many frames ahead instead.
    #[arg(long, value_name = "FRAMES")]
    horizon: Option<usize>,
    /// Draw how the weights are distributed, as .png or .svg.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// What is taken from the gains first.
    #[arg(long, value_enum, default_value_t = Baseline::Mean)]
    baseline: Baseline,
}

pub fn run(args: &WeightsArgs) -> Result<()> {
    if let Some(file) = &args.plot {
        check_writable(file)?;
        Format::of(file)?;
    }
    let labels = ProgressFile::read(&args.progress)?;
    let weights = Weights::of(&labels, args.settings())?;
    let out = args.out.clone().unwrap_or_else(|| args.progress.with_file_name(WEIGHTS_NAME));
    weights.write(&out, &labels)?;
    println!("{}: {} frames of {} episodes", out.display(), labels.frames(), labels.episodes.len());
    println!("{}", summary(&weights));
    if let Some(file) = &args.plot {
        args.draw(&weights, file)?;
    }
    Ok(())
}

impl WeightsArgs {
    fn draw(&self, weights: &Weights, file: &Path) -> Result<()> {
        let values: Vec<f64> = weights.values.iter().copied().map(f64::from).collect();
        let gains = match self.horizon {
            Some(frames) => format!("gains over {frames} frames"),
            None => format!("gains between {} anchors", self.anchors),
        };
        let settings = format!("τ = {}, δ_max = {}, {gains}", self.tau, self.delta_max);
        let title = self.progress.display().to_string();
        let shown = Distribution {
            title: &title,
            settings: &settings,
            name: "weight",
            counted: "frames",
            values: &values,
        };
        Ok(histogram(&shown).write(file)?)
    }

    fn settings(&self) -> WeightSettings {
        let increments = self.horizon.map_or(Increments::Anchors(self.anchors), Increments::Frames);
        WeightSettings { tau: self.tau, delta_max: self.delta_max, increments, baseline: self.baseline }
    }
}

/// How the weights are spread, in two lines.
fn summary(weights: &Weights) -> String {
    let values: Vec<f64> = weights.values.iter().copied().map(f64::from).collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let at = |share: f64| quantile(&values, share).unwrap_or_default();
    format!(
        "weight: mean {mean:.3}, least {:.3}, 10 % {:.3}, median {:.3}, 90 % {:.3}, most {:.3}; {:.0} % at the largest\n\
         baseline: {:+.4} of progress",
        at(0.0),
        at(0.1),
        at(0.5),
        at(0.9),
        at(1.0),
        100.0 * weights.clipped(),
        weights.baseline
    )
}
