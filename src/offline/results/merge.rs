use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::NAMED;
use super::run::{EpisodeError, RunFile};
use super::{ResultsError, Store, store};

/// The folder that several have become.
#[derive(Debug)]
pub struct Merged {
    pub store: Store,
    /// What could not be scored, in order of the episodes.
    pub errors: Vec<EpisodeError>,
    /// Episodes that nobody has scored, or tried to.
    pub missing: Vec<String>,
}

/// Brings the results of several folders, most often shards of one input, into a new one, as if one run had scored all.
///
/// # Errors
/// Folders of other settings or another input, an episode in two of them, or in none (unless `partial`).
pub fn merge(folders: &[PathBuf], out: &Path, partial: bool) -> Result<Merged, ResultsError> {
    check_unlike(folders, out)?;
    let stores: Vec<Store> = folders.iter().map(|folder| Store::open(folder)).collect::<Result<_, _>>()?;
    let Some(first) = stores.first() else { return Err(ResultsError::NothingToMerge) };
    let whole = RunFile { shard: None, ..first.run().clone() };
    for store in &stores {
        let part = RunFile { shard: None, ..store.run().clone() };
        store::check(store.folder(), &part, &whole)?;
        part.input
            .check(&whole.input, false)
            .map_err(|reason| ResultsError::Input { folder: store.folder().display().to_string(), reason })?;
    }
    let holders = holders(&stores, &whole);
    let name = |position: usize| whole.input.episodes[position].name.clone();
    let places = || holders.iter().enumerate();
    let twice: Vec<usize> = places().filter(|(_, held)| held.len() > 1).map(|(place, _)| place).collect();
    if !twice.is_empty() {
        let named = twice.iter().take(NAMED).map(|place| name(*place)).collect();
        return Err(ResultsError::Overlap { count: twice.len(), named });
    }
    let errors = errors(&stores, |position| holders.get(position).is_some_and(|held| !held.is_empty()))?;
    let failed: BTreeSet<usize> = errors.iter().filter_map(|error| error.position).collect();
    let absent = places().filter(|(place, held)| held.is_empty() && !failed.contains(place));
    let missing: Vec<String> = absent.map(|(place, _)| name(place)).collect();
    if !missing.is_empty() && !partial {
        return Err(ResultsError::Missing { count: missing.len(), named: missing });
    }
    let merged = Store::create(out, whole)?;
    for (position, held) in holders.iter().enumerate() {
        if let Some(result) = held.first().and_then(|holder| stores[*holder].result(position)) {
            merged.put_result(&result)?;
        }
    }
    merged.put_errors(&errors)?;
    Ok(Merged { store: merged, errors, missing })
}

/// A folder named twice would be locked by its own first opening.
fn check_unlike(folders: &[PathBuf], out: &Path) -> Result<(), ResultsError> {
    let place = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut seen = BTreeSet::new();
    for folder in folders {
        if place(folder) == place(out) {
            return Err(ResultsError::Exists(out.display().to_string()));
        }
        if !seen.insert(place(folder)) {
            let named = vec![format!("all of {}", folder.display())];
            return Err(ResultsError::Overlap { count: 1, named });
        }
    }
    Ok(())
}

/// Which of the folders hold each episode's result.
fn holders(stores: &[Store], whole: &RunFile) -> Vec<Vec<usize>> {
    let held = |position: usize| {
        let holds = |(_, store): &(usize, &Store)| store.result(position).is_some();
        stores.iter().enumerate().filter(holds).map(|(holder, _)| holder).collect()
    };
    (0..whole.input.episodes.len()).map(held).collect()
}

/// All errors of episodes without a result, each once: what is wrong with the listing stands in every shard.
fn errors(stores: &[Store], scored: impl Fn(usize) -> bool) -> Result<Vec<EpisodeError>, ResultsError> {
    let mut all = BTreeSet::new();
    for store in stores {
        all.extend(store.errors()?);
    }
    Ok(all.into_iter().filter(|error| !error.position.is_some_and(&scored)).collect())
}
