//! What becomes of the results once all are there: the one place where outputs are made, for `score` and `merge` alike.

use std::path::Path;

use anyhow::Result;

use super::labels;
use crate::cli::report::{print, write_episode, write_run};
use crate::cli::{Outcome, one_line, say};
use crate::offline::labels::PROGRESS_NAME;
use crate::offline::results::{EpisodeError, EpisodeResult, RunFile, RunSummary};

/// All that was scored.
pub struct Finished<'a> {
    /// None where results were only asked for on the terminal.
    pub kept: Option<Kept<'a>>,
    /// In order of [`EpisodeResult::index`].
    pub results: &'a [EpisodeResult],
    pub errors: &'a [EpisodeError],
}

/// Where results are kept, and what they are of.
pub struct Kept<'a> {
    pub folder: &'a Path,
    pub run: &'a RunFile,
}

/// Writes the labels of all frames into the folder, but for a shard, and prints what was found: with a folder the
/// summary; without one all results, of one episode its whole curve.
///
/// # Errors
/// Labels that cannot be written, or nobody reads.
pub fn finish(finished: &Finished<'_>, json: bool) -> Result<Outcome> {
    let Finished { kept, results, errors } = finished;
    let mut errors = errors.to_vec();
    if let Some(kept) = kept.as_ref().filter(|kept| kept.run.shard.is_none()) {
        for error in write_labels(kept, results)? {
            say::error(&error);
            errors.push(error);
        }
    }
    let summary = RunSummary::of(results, &errors);
    print(|out| match (kept, results) {
        (Some(_), _) if json => {
            serde_json::to_writer(&mut *out, &summary)?;
            writeln!(out)
        }
        (None, _) if json => results.iter().try_for_each(|result| {
            serde_json::to_writer(&mut *out, result)?;
            writeln!(out)
        }),
        (None, [result]) => write_episode(out, result),
        _ => write_run(out, &summary),
    })?;
    Ok(Outcome::of(&errors))
}

fn write_labels(kept: &Kept<'_>, results: &[EpisodeResult]) -> Result<Vec<EpisodeError>> {
    let Kept { folder, run } = kept;
    match labels::dataset_of(&run.input) {
        Ok(dataset) => labels::write(folder, &run.settings, dataset.as_ref(), results),
        Err(error) => {
            let reason = one_line(&error);
            Ok(vec![EpisodeError { position: None, name: PROGRESS_NAME.to_owned(), reason }])
        }
    }
}
