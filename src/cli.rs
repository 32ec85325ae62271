//! The commands of the program `topreward`.

pub mod bag_args;
mod bar;
mod calibrate;
mod dataset;
mod eval;
mod inspect;
mod interrupt;
pub mod lerobot_args;
mod merge;
mod model;
mod plots;
mod report;
mod say;
mod score;
mod settings;
mod sources;
mod weights;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::offline::recording::Decoder;

/// Scores robot videos with TOPReward: how far has the task come, and is it done?
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The program that decodes videos, with ffprobe beside it [default: TOPREWARD_FFMPEG, or ffmpeg on the path].
    #[arg(long, value_name = "FILE", global = true)]
    ffmpeg: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Score the prefixes of recorded episodes: videos, folders of frames, data sets.
    Score(Box<score::ScoreArgs>),
    /// Bring the results of several runs of `score --out`, most often shards, into one folder.
    Merge(merge::MergeArgs),
    /// Measure a model on labelled episodes: VOC, success, what it says while nothing happens and of wrong instructions.
    Eval(Box<eval::EvalArgs>),
    /// Find the success threshold for a wanted rate of false positives from labelled episodes.
    Calibrate(calibrate::CalibrateArgs),
    /// Say what a model folder, a calibration, a recording or a data set holds.
    Inspect(inspect::InspectArgs),
    /// Weigh the frames of a labelled data set for advantage-weighted behaviour cloning (TOP-AWR).
    Weights(weights::WeightsArgs),
}

/// Whether a command could use all that it was given.
enum Outcome {
    Complete,
    /// Some episodes failed and have been reported.
    Partial,
    /// This signal came, and the rest was left for another time.
    Stopped(i32),
}

/// Runs the program; the exit code is 0, 1 when some episodes of a data set failed, 2 with one line on stderr when the
/// input cannot be used, or 128 and the number of the signal that stopped it.
pub fn main() -> ExitCode {
    say::log();
    let Cli { command, ffmpeg } = Cli::parse();
    if let Some(ffmpeg) = ffmpeg {
        Decoder::choose(&ffmpeg);
    }
    let result = match command {
        Command::Score(args) => score::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Inspect(args) => inspect::run(&args).map(|()| Outcome::Complete),
        Command::Weights(args) => weights::run(&args).map(|()| Outcome::Complete),
    };
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(1),
        Ok(Outcome::Stopped(signal)) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(2)),
        Err(error) => {
            say::error(one_line(&error));
            ExitCode::from(2)
        }
    }
}

/// An error with its causes, without those that the one before has said already.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl Outcome {
    fn of<T>(errors: &[T]) -> Self {
        if errors.is_empty() { Self::Complete } else { Self::Partial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn no_cause_is_told_twice() {
        let missing = || std::io::Error::other("no such file");
        let error = crate::config::ConfigError::Read { path: "a.yaml".to_owned(), source: missing() };
        assert_eq!(one_line(&error.into()), "cannot read a.yaml: no such file");
        let wrapped: anyhow::Error = Err::<(), _>(missing()).context("the second start").unwrap_err();
        assert_eq!(one_line(&wrapped), "the second start: no such file");
        assert_eq!(one_line(&anyhow!("alone")), "alone");
    }
}
