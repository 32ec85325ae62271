//! Real and static rewards of the successes for models and sampling rates: how much of a climb is the episode's length
//! alone?

use std::io::Write;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{EvalArgs, Outcome, check_writable, number, print, successes, write};
use crate::cli::dataset::{self, Examination};
use crate::cli::{bar, say};
use crate::config::Config;
use crate::model::VideoVlm;
use crate::offline::evaluation::{CurveMeasures, Curves, LabelledEpisode, LineError, LineFault, Manifest};
use crate::offline::uncontrolled;
use crate::reward::{BiasControl, Bootstrap, Estimate, Reading};

/// One model at one sampling rate; means over the successes, with intervals.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    sample_fps: f64,
    episodes: usize,
    /// Mean number of frames.
    frames: f64,
    real_final_nats: Option<Estimate>,
    static_final_nats: Option<Estimate>,
    real_voc: Option<Estimate>,
    real_voc_undefined: usize,
    static_voc: Option<Estimate>,
    static_voc_undefined: usize,
    real_climb_nats: Option<Estimate>,
    static_climb_nats: Option<Estimate>,
}

#[derive(Debug, Serialize)]
struct Sweep<'a> {
    dataset: String,
    rows: &'a [Row],
    errors: Vec<String>,
}

pub fn run(args: &EvalArgs, config: &Config, manifest: &Manifest, rates: &[f64]) -> Result<Outcome> {
    let entries = successes(manifest);
    ensure!(!entries.is_empty(), "{} lists no successful episode to sweep over", manifest.file.display());
    if let Some(file) = &args.json {
        check_writable(file)?;
    }
    let mut rows = Vec::new();
    let mut errors = manifest.errors.clone();
    let bar = bar::bar("sweeping", "episodes", entries.len() * rates.len() * args.model.len());
    for name in &args.model {
        let model = args.scoring.load(name, config)?;
        for &rate in rates {
            let mut curves = Vec::new();
            for &entry in &entries {
                match examine(args, config, &model, entry, rate) {
                    Ok(examined) => curves.push(examined),
                    Err(error) => {
                        let reason = format!("{name} at {rate} frames a second: {error:#}");
                        let error = manifest.error(entry.line, LineFault::Episode(reason));
                        bar.suspend(|| say::error(&error));
                        errors.push(error);
                    }
                }
                bar.inc(1);
            }
            rows.push(row(name, rate, &curves, args.seed));
        }
    }
    bar.finish_and_clear();
    ensure!(rows.iter().any(|row| row.episodes > 0), "none of the episodes could be used");
    if let Some(file) = &args.json {
        let dataset = args.dataset.display().to_string();
        let errors = errors.iter().map(LineError::to_string).collect();
        let text = serde_json::to_string(&Sweep { dataset, rows: &rows, errors }).context("writing JSON")?;
        write(file, &text)?;
    }
    print(|out| table(out, &rows))?;
    Ok(Outcome::of(&errors))
}

fn examine(
    args: &EvalArgs,
    config: &Config,
    model: &impl VideoVlm,
    entry: &LabelledEpisode,
    sample_fps: f64,
) -> Result<Curves> {
    let examination = Examination {
        sample_fps,
        prefixes: args.scoring.prefixes(config),
        cache: !args.scoring.no_cache,
        control: BiasControl::Static,
        static_samples: args.static_samples,
        wrong: false,
    };
    if let Some(fps) = entry.fps.filter(|fps| *fps < sample_fps) {
        anyhow::bail!("it has only {fps} frames a second");
    }
    let frames = dataset::read_frames(entry, sample_fps)?.frames;
    dataset::curves(model, entry, &frames, &examination)
}

fn row(model: &str, sample_fps: f64, curves: &[Curves], seed: u64) -> Row {
    // Whether success would be called is no part of a sweep; the rest does not depend on the settings.
    let settings = Config::default().success;
    let measures = |curve: &[Reading]| CurveMeasures::of(&uncontrolled(curve), settings);
    let both: Vec<(CurveMeasures, CurveMeasures)> = curves
        .iter()
        .filter_map(|found| measures(&found.episode).zip(measures(found.still.as_deref()?)))
        .collect();
    let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
    let real = |measure: &dyn Fn(&CurveMeasures) -> Option<f64>| {
        bootstrap.mean(&both.iter().filter_map(|(real, _)| measure(real)).collect::<Vec<_>>())
    };
    let still = |measure: &dyn Fn(&CurveMeasures) -> Option<f64>| {
        bootstrap.mean(&both.iter().filter_map(|(_, still)| measure(still)).collect::<Vec<_>>())
    };
    let frames = curves.iter().filter_map(|found| found.episode.last()).map(|reading| reading.frames as f64);
    Row {
        model: model.to_owned(),
        sample_fps,
        episodes: both.len(),
        frames: frames.sum::<f64>() / both.len().max(1) as f64,
        real_final_nats: real(&|found| Some(found.last_nats)),
        static_final_nats: still(&|found| Some(found.last_nats)),
        real_voc: real(&|found| found.voc),
        real_voc_undefined: both.iter().filter(|(real, _)| real.voc.is_none()).count(),
        static_voc: still(&|found| found.voc),
        static_voc_undefined: both.iter().filter(|(_, still)| still.voc.is_none()).count(),
        real_climb_nats: real(&|found| Some(found.climb_nats)),
        static_climb_nats: still(&|found| Some(found.climb_nats.abs())),
    }
}

fn table(out: &mut dyn Write, rows: &[Row]) -> std::io::Result<()> {
    let width = rows.iter().map(|row| row.model.chars().count()).max().unwrap_or_default().max(5);
    writeln!(
        out,
        "{:width$} {:>10} {:>6} {:>11} {:>13} {:>10} {:>8} {:>10} {:>12}",
        "model",
        "sample_fps",
        "frames",
        "real log p",
        "static log p",
        "static VOC",
        "real VOC",
        "real climb",
        "static climb"
    )?;
    for row in rows {
        let value = |found: Option<Estimate>| number(found.map(|found| found.value), 3);
        writeln!(
            out,
            "{:width$} {:>10} {:>6.1} {:>11} {:>13} {:>10} {:>8} {:>10} {:>12}",
            row.model,
            row.sample_fps,
            row.frames,
            value(row.real_final_nats),
            value(row.static_final_nats),
            value(row.static_voc),
            value(row.real_voc),
            value(row.real_climb_nats),
            value(row.static_climb_nats),
        )?;
    }
    let episodes = rows.iter().map(|row| row.episodes).max().unwrap_or_default();
    writeln!(
        out,
        "means over {episodes} successful episodes; log p: of the whole video; static: the first frame over the same times, its climb without sign"
    )
}
