//! What becomes of the results once all are there: the one place where outputs are made, for `score` and `merge` alike.

use anyhow::Result;

use super::labels::{Labels, dataset_of};
use crate::cli::report::{print, write_episode, write_run};
use crate::cli::{Outcome, one_line, say};
use crate::offline::labels::PROGRESS_NAME;
use crate::offline::results::{EpisodeError, EpisodeResult, EpisodeSummary, RunSummary, Store};

/// All that was scored.
pub struct Finished<'a> {
    pub results: Results<'a>,
    pub errors: &'a [EpisodeError],
}

/// Where the results are.
#[derive(Clone, Copy)]
pub enum Results<'a> {
    /// Only asked for on the terminal; in order of [`EpisodeResult::index`].
    Held(&'a [EpisodeResult]),
    /// In a folder; one is read at a time.
    Kept(&'a Store),
}

/// Writes the labels of all frames into the folder, but for a shard, and prints what was found: with a folder the
/// summary; without one all results, of one episode its whole curve.
///
/// # Errors
/// Labels that cannot be written, or nobody reads.
pub fn finish(finished: &Finished<'_>, json: bool) -> Result<Outcome> {
    let mut errors = finished.errors.to_vec();
    let episodes = match finished.results {
        Results::Held(results) => results.iter().map(EpisodeSummary::of).collect(),
        Results::Kept(store) => summarise(store, &mut errors)?,
    };
    let summary = RunSummary::of(episodes, errors);
    print(|out| match finished.results {
        Results::Kept(_) if json => {
            serde_json::to_writer(&mut *out, &summary)?;
            writeln!(out)
        }
        Results::Held(results) if json => results.iter().try_for_each(|result| {
            serde_json::to_writer(&mut *out, result)?;
            writeln!(out)
        }),
        Results::Held([result]) => write_episode(out, result),
        _ => write_run(out, &summary),
    })?;
    Ok(Outcome::of(&summary.errors))
}

/// Reads all results once: for the summary and for the labels. What cannot be labelled is reported and added to the errors.
fn summarise(store: &Store, errors: &mut Vec<EpisodeError>) -> Result<Vec<EpisodeSummary>> {
    let (mut labels, mut unlabelled) = (None, Vec::new());
    if store.run().shard.is_none() {
        match dataset_of(&store.run().input) {
            Ok(dataset) => labels = Some(Labels::begin(store, dataset)?),
            Err(error) => {
                let reason = one_line(&error);
                unlabelled.push(EpisodeError { position: None, name: PROGRESS_NAME.to_owned(), reason });
            }
        }
    }
    let mut episodes = Vec::new();
    for result in store.results() {
        episodes.push(EpisodeSummary::of(&result));
        if let Some(labels) = &mut labels {
            labels.add(&result)?;
        }
    }
    if let Some(labels) = labels {
        unlabelled.extend(labels.finish()?);
    }
    unlabelled.iter().for_each(say::error);
    errors.extend(unlabelled);
    Ok(episodes)
}
