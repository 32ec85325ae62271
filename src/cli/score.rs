//! `topreward score`: the reward of every prefix of one episode.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};

use super::frames::{self, SampledFrame};
use super::model;
use super::report::{PrefixRow, Report};
use crate::config::Config;
use crate::instruction::InstructionRule;
use crate::reward::{ProgressReading, ProgressTracker, SuccessDetector, SuccessReading, voc};
use crate::vlm::qwen3_vl::{LoadOptions, Qwen3Vl};
use crate::vlm::{LogProbs, VideoVlm};

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
    /// Frames a second that the model sees [default: 2, or the parameter file's].
    #[arg(long, value_name = "F")]
    sample_fps: Option<f64>,
    /// Score every prefix, or N evenly spaced ones.
    #[arg(long, value_name = "all|N", default_value = "all")]
    prefixes: Prefixes,
    /// Put the question inside the chat template.
    #[arg(long)]
    chat_template: bool,
    /// Most pixels of one frame after the resize [default: the checkpoint's video budget over 64 frames].
    #[arg(long, value_name = "N")]
    max_pixels: Option<usize>,
    /// ROS 2 parameter file to take the other settings from (progress, success).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Compute every prefix from nothing.
    #[arg(long)]
    no_cache: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which prefixes are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefixes {
    All,
    Evenly(usize),
}

impl FromStr for Prefixes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<usize>()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(n)) if n > 0 => Ok(Self::Evenly(n)),
            _ => Err("give \"all\" or a number of at least 1".to_owned()),
        }
    }
}

impl Prefixes {
    /// Prefix lengths in frames, rising, the whole episode last. `Evenly(n)` is numpy's `linspace(1, total, n)`
    /// rounded, as in the reference, without repeats.
    fn lengths(self, total: usize) -> Vec<usize> {
        match self {
            Self::All => (1..=total).collect(),
            Self::Evenly(1) => vec![total],
            Self::Evenly(n) => {
                let step = (total as f64 - 1.0) / (n as f64 - 1.0);
                let mut lengths: Vec<usize> =
                    (0..n).map(|i| (1.0 + i as f64 * step).round_ties_even() as usize).collect();
                lengths.dedup();
                lengths
            }
        }
    }
}

pub fn run(args: &ScoreArgs) -> Result<()> {
    let mut config = match &args.config {
        Some(file) => Config::from_file(file)?,
        None => Config::default(),
    };
    if let Some(rate_hz) = args.sample_fps {
        config.sampling.rate_hz = rate_hz;
    }
    config.model.chat_template |= args.chat_template;
    config.validate()?;
    // Before the model: an episode that cannot be read must not cost a download first.
    let frames = read_frames(args, config.sampling.rate_hz)?;
    let model = Qwen3Vl::load(&LoadOptions {
        path: model::folder(&args.model)?,
        chat_template: config.model.chat_template,
        max_pixels: args.max_pixels.or(config.max_pixels()),
        max_instruction_tokens: config.model.max_instruction_tokens,
    })?;
    let rule = InstructionRule { model: Some(model.instruction_check()) };
    let instruction = rule.accept(&args.instruction)?;
    let lengths = args.prefixes.lengths(frames.len());
    let bar = progress_bar(lengths.len());
    let scores = score_prefixes(&model, &frames, &instruction, &lengths, args.no_cache, &bar)?;
    bar.finish_and_clear();
    report(args, &config, &instruction, &frames, &lengths, &scores).print(args.json)
}

fn read_frames(args: &ScoreArgs, sample_fps: f64) -> Result<Vec<SampledFrame>> {
    match (&args.video, &args.frames, args.fps) {
        (Some(file), _, _) => frames::from_video(file, sample_fps),
        (_, Some(folder), Some(fps)) => frames::from_folder(folder, fps, sample_fps),
        _ => bail!("give --video FILE, or --frames DIR with --fps F"),
    }
}

/// A bar on stderr, where someone can see it.
fn progress_bar(prefixes: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("scoring {bar:30} {pos}/{len} prefixes, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(prefixes as u64).with_style(style)
}

/// Scores the prefixes of the given rising lengths.
fn score_prefixes<V: VideoVlm>(
    model: &V,
    frames: &[SampledFrame],
    instruction: &str,
    lengths: &[usize],
    no_cache: bool,
    bar: &ProgressBar,
) -> Result<Vec<LogProbs>> {
    let mut episode = model.new_episode();
    let mut appended = 0;
    let mut scores = Vec::with_capacity(lengths.len());
    for &length in lengths {
        if no_cache {
            episode = model.new_episode();
            appended = 0;
        }
        let score = (frames[appended..length].iter())
            .try_for_each(|frame| model.append(&mut episode, &frame.rgb, frame.time_s))
            .and_then(|()| model.score(&mut episode, instruction));
        scores.push(score.with_context(|| {
            let time_s = frames[length - 1].time_s;
            format!("the prefix of {length} frames ({time_s:.2} s)")
        })?);
        appended = length;
        bar.inc(1);
    }
    Ok(scores)
}

fn report(
    args: &ScoreArgs,
    config: &Config,
    instruction: &str,
    frames: &[SampledFrame],
    lengths: &[usize],
    scores: &[LogProbs],
) -> Report {
    let mut progress = ProgressTracker::new(config.progress_settings());
    let mut success = SuccessDetector::new(config.success_settings());
    let mut succeeded = false;
    let prefixes: Vec<PrefixRow> = lengths
        .iter()
        .zip(scores)
        .map(|(&length, &LogProbs { log_prob_true, log_prob_false })| {
            let time_s = frames[length - 1].time_s;
            let reading = ProgressReading::plain(log_prob_true, log_prob_false);
            let verdict = success.push(SuccessReading {
                judged: reading.judged(),
                time_s,
                frames: length,
                age_s: 0.0,
                change: f64::NAN,
                spread_nats: 0.0,
            });
            succeeded |= verdict.is_success();
            let progress = progress.push(reading);
            PrefixRow { frames: length, time_s, log_prob_true, log_prob_false, progress }
        })
        .collect();
    let rewards: Vec<f64> = scores.iter().map(|score| score.log_prob_true).collect();
    Report {
        model: args.model.clone(),
        instruction: instruction.to_owned(),
        sample_fps: config.sampling.rate_hz,
        chat_template: config.model.chat_template,
        prefixes,
        voc: voc(&rewards),
        success: succeeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vlm::scripted::ScriptedVlm;
    use ::image::RgbImage;
    use std::time::Duration;

    #[test]
    fn evenly_spaced_prefixes_are_the_references() {
        assert_eq!(Prefixes::Evenly(5).lengths(9), [1, 3, 5, 7, 9]);
        // numpy.linspace(1, 30, 15).round(): steps of 2.0714
        let expected = [1, 3, 5, 7, 9, 11, 13, 16, 18, 20, 22, 24, 26, 28, 30];
        assert_eq!(Prefixes::Evenly(15).lengths(30), expected);
        assert_eq!(Prefixes::Evenly(15).lengths(3), [1, 2, 3]);
        assert_eq!(Prefixes::Evenly(1).lengths(7), [7]);
        assert_eq!(Prefixes::All.lengths(3), [1, 2, 3]);
    }

    #[test]
    fn each_prefix_sees_its_frames_with_and_without_the_cache() {
        let frames: Vec<SampledFrame> =
            (0..5).map(|i| SampledFrame { rgb: RgbImage::new(2, 2), time_s: f64::from(i) * 0.5 }).collect();
        for no_cache in [false, true] {
            let script = |frames: usize, _: &str| {
                Ok(LogProbs { log_prob_true: -1.0 / frames as f64, log_prob_false: -1.0 })
            };
            let model = ScriptedVlm::new(Duration::ZERO, script);
            let scores =
                score_prefixes(&model, &frames, "lift", &[1, 3, 5], no_cache, &ProgressBar::hidden())
                    .unwrap();
            assert_eq!(scores.iter().map(|s| s.log_prob_true).collect::<Vec<_>>(), [-1.0, -1.0 / 3.0, -0.2]);
            let scored = model.scored.lock().unwrap();
            assert_eq!(scored[1].0, [0.0, 0.5, 1.0]);
            assert_eq!(scored[2].0, [0.0, 0.5, 1.0, 1.5, 2.0]);
        }
    }
}
