//! The commands of the program `topreward`.

mod bar;
mod calibrate;
mod dataset;
mod eval;
mod model;
mod plots;
mod report;
mod score;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Scores robot videos with TOPReward: how far has the task come, and is it done?
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Score the prefixes of one episode, from a video file or a folder of frames.
    Score(score::ScoreArgs),
    /// Measure a model on labelled episodes: VOC, success, what it says while nothing happens and of wrong instructions.
    Eval(Box<eval::EvalArgs>),
    /// Find the success threshold for a wanted rate of false positives from labelled episodes.
    Calibrate(calibrate::CalibrateArgs),
}

/// Whether a command could use all that it was given.
enum Outcome {
    Complete,
    /// Some episodes failed and have been told.
    Partial,
}

/// Runs the program; the exit code is 0, 1 when some episodes of a data set failed, or 2 with one line on stderr when
/// the input cannot be used.
pub fn main() -> ExitCode {
    // A plot with a character that the embedded font lacks shows a box: no news for a terminal.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn,usvg=error")).init();
    let result = match Cli::parse().command {
        Command::Score(args) => score::run(&args).map(|()| Outcome::Complete),
        Command::Eval(args) => eval::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
    };
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Outcome {
    fn of<T>(errors: &[T]) -> Self {
        if errors.is_empty() { Self::Complete } else { Self::Partial }
    }
}
