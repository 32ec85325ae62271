//! `topreward merge`: the results of several runs as one.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::score::{Finished, Kept, finish};
use super::{Outcome, say};
use crate::offline::results::{EpisodeResult, Merged, merge};

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
        say::error(&error);
    }
    if !missing.is_empty() {
        eprintln!("{} episodes are not scored yet", missing.len());
    }
    let positions = store.run().positions();
    let mut results: Vec<EpisodeResult> =
        positions.into_iter().filter_map(|position| store.result(position)).collect();
    results.sort_by_key(|result| result.index);
    ensure!(!results.is_empty(), "none of the folders holds a result");
    let kept = Some(Kept { folder: store.folder(), run: store.run() });
    let outcome = finish(&Finished { kept, results: &results, errors: &errors }, args.json)?;
    Ok(if missing.is_empty() { outcome } else { Outcome::Partial })
}
