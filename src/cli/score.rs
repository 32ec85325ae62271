//! `topreward score`: the reward of every prefix of one episode.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};

use super::bar;
use super::plots::{PlotArgs, model_name};
use super::report::{PrefixRow, Report};
use super::settings::{ScoringArgs, calibrate};
use crate::config::Config;
use crate::instruction::InstructionRule;
use crate::offline::{
    Control, CurvePoint, SampledFrame, Scoring, first_success, judged, readings, score_control,
    score_prefixes,
};
use crate::plot::{Point, ScoredEpisode};
use crate::recording::{Footage, Pictures, Video, sample};
use crate::reward::{BiasControl, ProgressTracker, voc};
use crate::vlm::VideoVlm;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
pub struct ScoreArgs {
    /// Folder of a Qwen3-VL checkpoint, or its Hugging Face id (owner/name or owner/name@revision).
    #[arg(long, value_name = "DIR|ID")]
    model: String,
    /// Video file (decoded by ffmpeg).
    #[arg(long, value_name = "FILE", group = "source")]
    video: Option<PathBuf>,
    /// Folder of PNG or JPEG frames.
    #[arg(long, value_name = "DIR", group = "source", requires = "fps")]
    frames: Option<PathBuf>,
    /// Frames a second of the folder.
    #[arg(long, value_name = "F", requires = "frames")]
    fps: Option<f64>,
    /// What the robot is to do.
    #[arg(long, value_name = "TEXT")]
    instruction: String,
    /// File of `topreward calibrate` to take the success threshold from.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    scoring: ScoringArgs,
    #[command(flatten)]
    plots: PlotArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ScoreArgs) -> Result<()> {
    let mut config = args.scoring.config()?;
    // Before the model: an episode that cannot be read must not cost a download first.
    args.plots.check(false)?;
    let (footage, name) = footage(args)?;
    let frames = sample(&*footage, &name, config.sampling.rate_hz)?.frames;
    let model = args.scoring.load(&args.model, &config)?;
    let rule = InstructionRule { model: Some(model.instruction_check()), ..InstructionRule::default() };
    let instruction = rule.accept(&args.instruction)?;
    calibrate(&args.calibration, &model, Some(&instruction), &mut config)?;
    let controlled = config.bias.control == BiasControl::Static;
    let lengths = args.scoring.prefixes(&config).lengths(frames.len());
    let scores = score(args, &model, &frames, &instruction, &lengths, controlled)?;
    let report = report(args, &config, &instruction, &scores);
    draw(args, &config, (&name, &*footage, &frames), &scores, &report)?;
    report.print(args.json)
}

fn draw(
    args: &ScoreArgs,
    config: &Config,
    (name, footage, frames): (&str, &dyn Footage, &[SampledFrame]),
    scores: &Scores,
    report: &Report,
) -> Result<()> {
    let point =
        |row: &PrefixRow| Point { time_s: row.time_s, nats: row.log_prob_true, progress: row.progress };
    let points: Vec<Point> = report.prefixes.iter().map(point).collect();
    let control = scores.control.iter().flat_map(|control| &control.curve);
    let control: Vec<(f64, f64)> = control.map(|point| (point.time_s, point.log_prob_true)).collect();
    let judged = judged(&scores.curve, scores.control.as_ref());
    let called = first_success(&judged, config.success);
    let scored = ScoredEpisode {
        instruction: &report.instruction,
        model: &model_name(&report.model),
        voc: report.voc,
        points: &points,
        control: &control,
        threshold_nats: config.success.threshold_nats,
        called_s: called.map(|place| judged[place].time_s),
        completed_s: None,
    };
    args.plots.draw((name, 0), footage, frames, &scored)
}

/// The rewards, and what success is judged by.
struct Scores {
    curve: Vec<CurvePoint>,
    control: Option<Control>,
}

fn score(
    args: &ScoreArgs,
    model: &impl VideoVlm,
    frames: &[SampledFrame],
    instruction: &str,
    lengths: &[usize],
    controlled: bool,
) -> Result<Scores> {
    let passes = if controlled { 2 } else { 1 };
    let bar = bar::bar("scoring", "prefixes", lengths.len() * passes);
    let scoring = Scoring { instructions: &[instruction], lengths, cache: !args.scoring.no_cache };
    let mut scored = || bar.inc(1);
    let curve = score_prefixes(model, frames, scoring, &mut scored)?.pop().context("no curve")?;
    let control = match frames.first().filter(|_| controlled) {
        Some(first) => {
            let times_s: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
            score_control(model, first, &times_s, scoring, &mut scored)?.pop()
        }
        None => None,
    };
    bar.finish_and_clear();
    Ok(Scores { curve, control })
}

/// The recording, and what it is called.
fn footage(args: &ScoreArgs) -> Result<(Box<dyn Footage>, String)> {
    let (footage, name): (Box<dyn Footage>, _) = match (&args.video, &args.frames, args.fps) {
        (Some(file), _, _) => (Box::new(Video::open(file)?), file),
        (_, Some(folder), Some(fps)) => (Box::new(Pictures::open(folder, fps)?), folder),
        _ => bail!("give --video FILE, or --frames DIR with --fps F"),
    };
    Ok((footage, name.display().to_string()))
}

fn report(args: &ScoreArgs, config: &Config, instruction: &str, scores: &Scores) -> Report {
    let Scores { curve, control } = scores;
    let judged = judged(curve, control.as_ref());
    let readings = readings(curve, control.as_ref());
    let mut progress = ProgressTracker::new(config.progress);
    let row = |(index, point): (usize, &CurvePoint)| PrefixRow {
        frames: point.frames,
        time_s: point.time_s,
        log_prob_true: point.log_prob_true,
        log_prob_false: point.log_prob_false,
        control: control.as_ref().map(|control| control.curve[index].log_prob_true),
        judged: control.as_ref().map(|_| judged[index].log_prob_true),
        progress: progress.push(readings[index]),
    };
    let rewards: Vec<f64> = curve.iter().map(|point| point.log_prob_true).collect();
    Report {
        model: args.model.clone(),
        instruction: instruction.to_owned(),
        sample_fps: config.sampling.rate_hz,
        chat_template: config.model.chat_template,
        prefixes: curve.iter().enumerate().map(row).collect(),
        voc: voc(&rewards),
        success: first_success(&judged, config.success).is_some(),
    }
}
