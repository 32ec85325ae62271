//! `topreward merge`: the results of several runs as one.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::score::{Finished, Results, finish};
use super::{Outcome, say};
use crate::offline::results::{Merged, merge};

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of `topreward score --out`, scored with the same settings from the same input.
    #[arg(value_name = "OUT", required = true)]
    runs: Vec<PathBuf>,
    /// New folder for all of their results.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also when episodes have not been scored yet: `score --resume` can score them in the new folder.
    #[arg(long)]
    partial: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &MergeArgs) -> Result<Outcome> {
    let Merged { store, errors, missing } = merge(&args.runs, &args.out, args.partial)?;
    for error in &errors {
        say::error(error);
    }
    if missing > 0 {
        eprintln!("{missing} episodes are not scored yet");
    }
    ensure!(store.results().next().is_some(), "none of the folders holds a result");
    let outcome = finish(&Finished { results: Results::Kept(&store), errors: &errors }, args.json)?;
    Ok(if missing == 0 { outcome } else { Outcome::Partial })
}
