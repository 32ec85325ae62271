//! The commands of the program `topreward`.

mod frames;
mod model;
mod report;
mod score;

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
}

/// Runs the program; the exit code is 0, or 2 with one line on stderr when the input cannot be used.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let Command::Score(args) = Cli::parse().command;
    match score::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
