use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::NAMED;
use super::input::InputDifference;
use super::run::{EpisodeError, RunFile};
use super::{Input, ListedEpisode, ResultsError, Store, Whole, store};

/// The folder that several have become.
#[derive(Debug)]
pub struct Merged {
    pub store: Store,
    /// What could not be scored, in order of the episodes.
    pub errors: Vec<EpisodeError>,
    /// How many episodes nobody has scored, or tried to.
    pub missing: usize,
}

/// Brings the results of several folders, most often shards of one input, into a new one, as if one run had scored all.
/// Of the results one is in memory at a time.
///
/// # Errors
/// Folders of other settings or another input, an episode in two of them, or in none (unless `partial`).
pub fn merge(folders: &[PathBuf], out: &Path, partial: bool) -> Result<Merged, ResultsError> {
    check_unlike(folders, out)?;
    let stores: Vec<Store> = folders.iter().map(|folder| Store::open(folder)).collect::<Result<_, _>>()?;
    let input = joined(&stores)?;
    let holders = holders(&stores)?;
    let errors = errors(&stores, |position| holders.contains_key(&position))?;
    let failed: BTreeSet<usize> = errors.iter().filter_map(|error| error.position).collect();
    let (missing, named) = missing(&stores, &input, |at| holders.contains_key(&at) || failed.contains(&at));
    if missing > 0 && !partial {
        return Err(ResultsError::Missing { count: missing, named });
    }
    let Some(first) = stores.first() else { return Err(ResultsError::NothingToMerge) };
    let merged = Store::create(out, RunFile { shard: None, input, ..first.run().clone() })?;
    for (position, holder) in holders {
        merged.take(holder, position)?;
    }
    merged.sync()?;
    merged.put_errors(&errors)?;
    Ok(Merged { store: merged, errors, missing })
}

/// The input of which the folders are parts, with all episodes that any of them lists.
fn joined(stores: &[Store]) -> Result<Input, ResultsError> {
    let Some(first) = stores.first() else { return Err(ResultsError::NothingToMerge) };
    let wanted = RunFile { shard: None, ..first.run().clone() };
    let whole = wanted.input.whole();
    let mut listed = BTreeMap::new();
    for store in stores {
        store::check(store.folder(), &RunFile { shard: None, ..store.run().clone() }, &wanted)?;
        let input = &store.run().input;
        let found = input.whole();
        if found != whole {
            let source = difference(input, &found, &list(&wanted.input, &whole, &listed));
            return Err(ResultsError::Input { folder: store.folder().display().to_string(), source });
        }
        listed.extend(input.positions().zip(&input.episodes));
    }
    Ok(list(&wanted.input, &whole, &listed))
}

/// With positions unless all are listed.
fn list(like: &Input, whole: &Whole, listed: &BTreeMap<usize, &ListedEpisode>) -> Input {
    let complete = listed.len() == whole.episodes;
    let placed = |(position, episode): (&usize, &&ListedEpisode)| ListedEpisode {
        position: (!complete).then_some(*position),
        ..(*episode).clone()
    };
    Input {
        source: like.source.clone(),
        lerobot: like.lerobot,
        part_of: (!complete).then(|| whole.clone()),
        episodes: listed.iter().map(placed).collect(),
    }
}

/// How an input differs from another whole.
fn difference(input: &Input, found: &Whole, wanted: &Input) -> InputDifference {
    let rest = || InputDifference::Rest { then: found.episodes, now: wanted.whole().episodes };
    match wanted.part_of {
        None => input.check(wanted, input.part_of.is_some()).err().unwrap_or_else(rest),
        Some(_) => rest(),
    }
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

/// Which of the folders holds each episode's result, by position.
fn holders(stores: &[Store]) -> Result<BTreeMap<usize, &Store>, ResultsError> {
    let (mut holders, mut twice) = (BTreeMap::new(), BTreeMap::new());
    for store in stores {
        let input = &store.run().input;
        for (position, episode) in input.positions().zip(&input.episodes) {
            if store.result(position).is_some() && holders.insert(position, store).is_some() {
                twice.insert(position, &episode.name);
            }
        }
    }
    if twice.is_empty() {
        return Ok(holders);
    }
    let named = twice.values().take(NAMED).map(|name| (*name).clone()).collect();
    Err(ResultsError::Overlap { count: twice.len(), named })
}

/// How many episodes nobody has tried, and the first of them by name, or by position where no folder lists them.
fn missing(stores: &[Store], input: &Input, tried: impl Fn(usize) -> bool) -> (usize, Vec<String>) {
    let listed: BTreeMap<usize, &String> =
        input.positions().zip(input.episodes.iter().map(|episode| &episode.name)).collect();
    let total = input.whole().episodes;
    let untried =
        || listed.iter().filter(|(position, _)| !tried(**position)).map(|(_, name)| (*name).clone());
    let part = |position: usize| {
        let shard = stores.iter().find_map(|store| store.run().shard);
        shard.map_or_else(String::new, |shard| format!(", of shard {}", shard.beside(position)))
    };
    let unlisted = (0..total).filter(|position| !listed.contains_key(position));
    let unnamed = unlisted.map(|position| format!("the one at position {position}{}", part(position)));
    let count = untried().count() + total.saturating_sub(listed.len());
    (count, untried().chain(unnamed).take(NAMED).collect())
}

/// All errors of episodes without a result, each once: what is wrong with the listing stands in every shard.
fn errors(stores: &[Store], scored: impl Fn(usize) -> bool) -> Result<Vec<EpisodeError>, ResultsError> {
    let mut all = BTreeSet::new();
    for store in stores {
        all.extend(store.errors()?);
    }
    Ok(all.into_iter().filter(|error| !error.position.is_some_and(&scored)).collect())
}
