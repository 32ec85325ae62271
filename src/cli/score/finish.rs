//! What becomes of the results once all are there: the one place where outputs are made, for `score` and `merge` alike.

use std::path::Path;

use anyhow::Result;

use crate::cli::report::{print, write_episode, write_run};
use crate::results::{EpisodeError, EpisodeResult, RunSummary};

/// All that was scored.
pub struct Finished<'a> {
    /// The folder of the results; none where they were only asked for on the terminal.
    pub folder: Option<&'a Path>,
    /// In order of [`EpisodeResult::index`].
    pub results: &'a [EpisodeResult],
    pub errors: &'a [EpisodeError],
}

/// Prints what was found: with a folder the summary; without one all results, of one episode its whole curve.
///
/// # Errors
/// Nobody reads.
pub fn finish(finished: &Finished<'_>, json: bool) -> Result<()> {
    let Finished { folder, results, errors } = finished;
    let summary = RunSummary::of(results, errors);
    print(|out| match (folder, results) {
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
    })
}
