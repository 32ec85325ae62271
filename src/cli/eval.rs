//! `topreward eval`: what a model is worth on labelled episodes.

mod chart;
mod gvl;
mod moments;
mod page;
mod sweep;
mod table;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use moments::Moment;

use super::Outcome;
use super::dataset::{self, Examination};
use super::report::{check_writable, print};
use super::settings::{ScoringArgs, calibrate};
use crate::config::Config;
use crate::files;
use crate::model::qwen3_vl::Qwen3Vl;
use crate::model::{Identity, VideoVlm};
use crate::offline::Prefixes;
use crate::offline::evaluation::{
    AblationRow, CurveMeasures, Curves, EpisodeMeasures, Judged, Labelled, LabelledEpisode, LineError,
    Manifest, ModeRow, Summary, Tracked, ablation, judged_curve, overall_and_groups, progress_modes,
};
use crate::reward::{BiasControl, Bootstrap, Reading, SuccessSettings};

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder with a manifest.jsonl, or the manifest itself; docs/evaluation.md has its fields.
    dataset: PathBuf,
    /// Folder of a Qwen3-VL checkpoint, or its Hugging Face id; several for a sweep.
    #[arg(long, value_name = "DIR|ID", required = true)]
    model: Vec<String>,
    /// How the episodes are scored.
    #[arg(long, value_enum, default_value = "topreward")]
    method: Method,
    /// Go on with the repeated first frame up to N samples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    static_samples: usize,
    /// Do not score the repeated first frame: half the work, where only calls of success are looked for.
    #[arg(long, conflicts_with_all = ["static_samples", "sweep"])]
    no_static: bool,
    /// Instead: real and static rewards of the successes, for each model and each of these sampling rates.
    #[arg(long, value_name = "rates=1,2,4", conflicts_with_all = ["html", "sample_fps", "calibration"])]
    sweep: Option<Rates>,
    /// File of `topreward calibrate` to take the success threshold from.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    scoring: ScoringArgs,
    /// Seed of the intervals and of the choice of wrong instructions.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report with curves and frames, one file that needs no other.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    /// log p(" True") of each prefix.
    Topreward,
    /// Generative Value Learning, the paper's baseline: percentages that the model writes down for shuffled frames.
    Gvl,
}

/// Sampling rates, Hz.
#[derive(Debug, Clone, PartialEq)]
struct Rates(Vec<f64>);

/// Why a text is no list of sampling rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NoRates {
    #[error("give rates=, then frames a second: rates=1,2,4")]
    Prefix,
    #[error("\"{0}\" is not a sampling rate: give a number above 0 and at most 1000")]
    Rate(String),
}

impl FromStr for Rates {
    type Err = NoRates;

    fn from_str(text: &str) -> Result<Self, NoRates> {
        let list = text.strip_prefix("rates=").ok_or(NoRates::Prefix)?;
        let rate = |text: &str| match text.trim().parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
            _ => Err(NoRates::Rate(text.to_owned())),
        };
        list.split(',').map(rate).collect::<Result<_, _>>().map(Self)
    }
}

/// Everything that one evaluation has found.
#[derive(Debug, Serialize)]
struct Evaluation {
    dataset: String,
    model: String,
    method: Method,
    #[serde(flatten)]
    made_with: Identity,
    success: Rule,
    seed: u64,
    /// Of all episodes first, then of each group.
    summaries: Vec<Summary>,
    /// What each guard costs, by the curve that success is judged by.
    ablation: Vec<AblationRow>,
    /// What live progress says in each of its modes; none for GVL, whose figures are no log-probabilities.
    modes: Vec<ModeRow>,
    episodes: Vec<Examined>,
    /// Lines that could not be used.
    errors: Vec<String>,
}

impl Evaluation {
    /// The measures of the curve that success is judged by.
    fn judged<'a>(&self, measures: &'a EpisodeMeasures) -> &'a CurveMeasures {
        measures.judged_by(self.success.bias_control)
    }
}

/// By what success is called.
#[derive(Debug, Clone, Serialize)]
struct Rule {
    threshold_nats: f64,
    window: usize,
    hold_s: f64,
    min_frames: usize,
    bias_control: BiasControl,
    /// The file that the threshold is from.
    calibration: Option<String>,
}

/// One episode with all that was found in it.
#[derive(Debug, Serialize)]
struct Examined {
    line: usize,
    episode: String,
    instruction: String,
    success: bool,
    group: Option<String>,
    wrong_instruction: Option<String>,
    completed_s: Option<f64>,
    measures: EpisodeMeasures,
    curve: Vec<Row>,
    #[serde(skip)]
    curves: Curves,
    /// How far the task really was at each point of the curve, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<Vec<f64>>,
    #[serde(skip)]
    moments: Vec<Moment>,
}

/// The rewards of one prefix, nats, as they are written.
#[derive(Debug, Serialize)]
struct Row {
    frames: usize,
    time_s: f64,
    reward: f64,
    false_reward: f64,
    corrected: f64,
    control: Option<f64>,
    wrong: Option<f64>,
}

pub fn run(args: &EvalArgs) -> Result<Outcome> {
    let mut config = args.scoring.config()?;
    let mut manifest = dataset::read(&args.dataset)?;
    if let Some(Rates(rates)) = &args.sweep {
        ensure!(
            args.method == Method::Topreward,
            "--sweep compares rewards, which --method gvl does not have"
        );
        return sweep::run(args, &config, &manifest, rates);
    }
    ensure!(
        args.method == Method::Topreward || args.calibration.is_none(),
        "a calibration is a threshold for rewards, which --method gvl does not have"
    );
    let [name] = &args.model[..] else { anyhow::bail!("several --model are for a --sweep") };
    manifest.choose_wrong_instructions(args.seed);
    for file in [&args.json, &args.html].into_iter().flatten() {
        check_writable(file)?;
    }
    let model = args.scoring.load(name, &config)?;
    let calibration = calibrate(&args.calibration, &model, None, &mut config)?;
    let examine = |entry: &LabelledEpisode| {
        if let Some(calibration) = &calibration {
            calibration.check(&config.in_use(model.info(), Some(&entry.instruction)))?;
        }
        examine(args, &config, &model, entry)
    };
    let (episodes, errors) = dataset::for_each(&manifest, examine)?;
    let evaluation = evaluation(args, &config, name, &model, episodes, &errors);
    if let Some(file) = &args.json {
        let text = serde_json::to_string(&evaluation).context("writing JSON")?;
        write(file, &text)?;
    }
    if let Some(file) = &args.html {
        write(file, &page::page(&evaluation)?)?;
    }
    print(|out| table::write(out, &evaluation))?;
    Ok(Outcome::of(&errors))
}

fn write(file: &Path, text: &str) -> Result<()> {
    files::write(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

fn examine(args: &EvalArgs, config: &Config, model: &Qwen3Vl, entry: &LabelledEpisode) -> Result<Examined> {
    let examination = Examination {
        sample_fps: config.sampling.rate_hz,
        prefixes: args.scoring.prefixes(config),
        cache: !args.scoring.no_cache,
        control: if args.no_static { config.bias.control } else { BiasControl::Static },
        static_samples: args.static_samples,
        wrong: true,
    };
    let sampled = dataset::read_frames(entry, examination.sample_fps)?;
    let frames = &sampled.frames;
    let curves = match args.method {
        Method::Topreward => dataset::curves(model, entry, frames, &examination)?,
        Method::Gvl => {
            let prefixes = args.scoring.prefixes.unwrap_or(Prefixes::Evenly(gvl::FRAMES));
            gvl::curves(model, entry, frames, &prefixes.lengths(frames.len()), args.seed)?
        }
    };
    let settings = config.success;
    let measures = EpisodeMeasures::of(&curves, settings).context("the episode has no frames")?;
    let moments = match args.html {
        Some(_) => {
            let judged = measures.judged_by(config.bias.control);
            moments::of(frames, &curves.episode, judged.called_at_s)?
        }
        None => Vec::new(),
    };
    let truth = entry.progress.as_ref().map(|progress| {
        let scored = curves.episode.iter().map(|reading| sampled.numbers[reading.frames - 1]);
        scored.map(|number| progress[number]).collect()
    });
    let wrong_instruction = curves.wrong.as_ref().and(entry.wrong_instruction.as_deref());
    Ok(Examined {
        line: entry.line,
        episode: entry.name.clone(),
        instruction: entry.instruction.to_string(),
        success: entry.success,
        group: entry.group.clone(),
        wrong_instruction: wrong_instruction.map(str::to_owned),
        completed_s: entry.completed_s,
        measures,
        curve: rows(&curves),
        curves,
        truth,
        moments,
    })
}

fn rows(curves: &Curves) -> Vec<Row> {
    let at = |curve: &Option<Vec<Reading>>, frames: usize| {
        curve.as_ref()?.iter().find(|reading| reading.frames == frames).map(|reading| reading.log_prob_true)
    };
    let row = |reading: &Reading| Row {
        frames: reading.frames,
        time_s: reading.time_s,
        reward: reading.log_prob_true,
        false_reward: reading.log_prob_false,
        corrected: reading.judged(),
        control: at(&curves.still, reading.frames),
        wrong: at(&curves.wrong, reading.frames),
    };
    curves.episode.iter().map(row).collect()
}

fn evaluation(
    args: &EvalArgs,
    config: &Config,
    name: &str,
    model: &Qwen3Vl,
    episodes: Vec<Examined>,
    errors: &[LineError],
) -> Evaluation {
    let labelled: Vec<Labelled<'_>> = episodes
        .iter()
        .map(|episode| Labelled {
            success: episode.success,
            group: episode.group.as_deref(),
            completed_s: episode.completed_s,
            measures: &episode.measures,
        })
        .collect();
    let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let SuccessSettings { threshold_nats, window, hold_s, min_frames, .. } = config.success;
    let calibration = args.calibration.as_ref().map(|file| file.display().to_string());
    Evaluation {
        dataset: args.dataset.display().to_string(),
        model: name.to_owned(),
        method: args.method,
        made_with: config.identity(model.info()),
        success: Rule {
            threshold_nats,
            window,
            hold_s,
            min_frames,
            bias_control: config.bias.control,
            calibration,
        },
        seed: args.seed,
        summaries: overall_and_groups(&labelled, bootstrap),
        ablation: guards(config, &episodes),
        modes: match args.method {
            Method::Topreward => modes(config, &episodes),
            Method::Gvl => Vec::new(),
        },
        errors: errors.iter().map(LineError::to_string).collect(),
        episodes,
    }
}

fn guards(config: &Config, episodes: &[Examined]) -> Vec<AblationRow> {
    let judged = |Examined { curves, .. }: &Examined| judged_curve(&curves.episode, config.bias.control);
    let curves: Vec<Vec<Reading>> = episodes.iter().map(judged).collect();
    let judged: Vec<Judged<'_>> = episodes
        .iter()
        .zip(&curves)
        .map(|(&Examined { success, completed_s, .. }, curve)| Judged { success, completed_s, curve })
        .collect();
    ablation(&judged, config.success)
}

fn modes(config: &Config, episodes: &[Examined]) -> Vec<ModeRow> {
    let read = |Examined { curves, .. }: &Examined| {
        let judged = |curve: &[Reading]| judged_curve(curve, config.bias.control);
        (judged(&curves.episode), curves.still.as_deref().map(judged).unwrap_or_default())
    };
    let read: Vec<_> = episodes.iter().map(read).collect();
    let tracked: Vec<Tracked<'_>> = episodes
        .iter()
        .zip(&read)
        .map(|(Examined { success, truth, .. }, (readings, idle))| Tracked {
            success: *success,
            readings,
            truth: truth.as_deref(),
            idle,
        })
        .collect();
    progress_modes(&tracked, config.progress)
}

/// The successes of a manifest, on which a model should climb.
fn successes(manifest: &Manifest) -> Vec<&LabelledEpisode> {
    manifest.entries.iter().filter(|entry| entry.success).collect()
}

/// `-` where there is none.
fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!("rates=1, 2.5,4".parse(), Ok(Rates(vec![1.0, 2.5, 4.0])));
        for wrong in ["1,2", "rates=", "rates=0", "rates=1,fast", "rates=inf"] {
            assert!(wrong.parse::<Rates>().is_err(), "{wrong}");
        }
    }
}
