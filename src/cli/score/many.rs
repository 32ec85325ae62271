//! Many episodes: read ahead, scored by several jobs on one model, kept one by one.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::scorer::Scorer;
use super::stoppable::Stoppable;
use super::timings::{Read, read};
use super::{Finished, Results, ScoreArgs, finish, pipeline};
use crate::cli::sources::Listing;
use crate::cli::{Outcome, bar, interrupt, one_line, say};
use crate::config::Config;
use crate::offline::recording::RecordedEpisode;
use crate::offline::results::{EpisodeError, EpisodeResult, Input, ListedEpisode, RunFile, Store};

pub fn run(args: &ScoreArgs, config: Config, listing: &Listing) -> Result<Outcome> {
    let scorer = Scorer::load(args, config)?;
    let run = RunFile::new(scorer.settings.clone(), args.shard, input(listing));
    let positions = run.positions();
    let keeper = Keeper::open(args, run)?;
    let work: Vec<usize> = positions.iter().copied().filter(|position| !keeper.has(*position)).collect();
    let (total, held) = (positions.len(), positions.len() - work.len());
    if held > 0 {
        eprintln!("{held} of {total} episodes are scored already");
    }
    let bar = bar::episodes(total, held);
    let mut collected = Collected { listing, scorer: &scorer, keeper, errors: listing.errors.clone(), bar };
    collected.keeper.put_errors(&collected.errors)?;
    score_all(args, &scorer, listing, &work, &mut collected)?;
    collected.bar.finish_and_clear();
    let Collected { keeper, mut errors, .. } = collected;
    if let Some(signal) = interrupt::received() {
        let scored = positions.iter().filter(|position| keeper.has(**position)).count();
        eprintln!(
            "stopped: {scored} of {total} episodes are scored; give the same command with --resume to go on"
        );
        return Ok(Outcome::Stopped(signal));
    }
    errors.sort();
    // A shard may be empty where there are more of them than episodes.
    let usable = total == 0 || positions.iter().any(|position| keeper.has(*position));
    ensure!(usable, "none of the {} episodes of {} could be used", errors.len(), listing.source);
    let outcome = keeper.finish(&errors, args.json)?;
    scorer.tell_timings(args);
    Ok(outcome)
}

fn input(listing: &Listing) -> Input {
    let listed = |episode: &RecordedEpisode| ListedEpisode {
        position: None,
        name: episode.name.clone(),
        index: episode.index,
        instruction: episode.instruction.clone(),
    };
    let episodes = listing.episodes.iter().map(listed).collect();
    Input { source: listing.source.clone(), lerobot: listing.lerobot, part_of: None, episodes }
}

/// Where results are kept.
enum Keeper {
    Folder(Box<Store>),
    /// By position.
    Memory(Vec<Option<EpisodeResult>>),
}

impl Keeper {
    fn open(args: &ScoreArgs, run: RunFile) -> Result<Self> {
        let Some(folder) = &args.out else {
            return Ok(Self::Memory(vec![None; run.input.episodes.len()]));
        };
        // From here on there is something to finish.
        interrupt::watch().context("watching for Ctrl-C")?;
        let store = if args.resume { Store::resume(folder, run) } else { Store::create(folder, run) };
        Ok(Self::Folder(Box::new(store?)))
    }

    fn has(&self, position: usize) -> bool {
        match self {
            Self::Folder(store) => store.result(position).is_some(),
            Self::Memory(results) => results[position].is_some(),
        }
    }

    fn put(&mut self, position: usize, result: EpisodeResult) -> Result<()> {
        match self {
            Self::Folder(store) => store.put_result(&result)?,
            Self::Memory(results) => results[position] = Some(result),
        }
        Ok(())
    }

    fn put_errors(&self, errors: &[EpisodeError]) -> Result<()> {
        match self {
            Self::Folder(store) => Ok(store.put_errors(errors)?),
            Self::Memory(_) => Ok(()),
        }
    }

    fn finish(self, errors: &[EpisodeError], json: bool) -> Result<Outcome> {
        match self {
            Self::Folder(store) => finish(&Finished { results: Results::Kept(&store), errors }, json),
            Self::Memory(results) => {
                let mut results: Vec<EpisodeResult> = results.into_iter().flatten().collect();
                results.sort_by_key(|result| result.index);
                finish(&Finished { results: Results::Held(&results), errors }, json)
            }
        }
    }
}

/// What comes out of the pipeline.
struct Collected<'a> {
    listing: &'a Listing,
    scorer: &'a Scorer,
    keeper: Keeper,
    errors: Vec<EpisodeError>,
    bar: ProgressBar,
}

impl Collected<'_> {
    fn take(&mut self, position: usize, outcome: Result<EpisodeResult>) -> Result<()> {
        match outcome {
            Ok(result) => self.keeper.put(position, result)?,
            // Ctrl-C also reaches ffmpeg: what fails then is not the episode's fault.
            Err(_) if interrupt::received().is_some() => return Ok(()),
            Err(error) => {
                let name = self.listing.episodes[position].name.clone();
                let reason = one_line(&error);
                let error = EpisodeError { position: Some(position), name, reason };
                self.bar.suspend(|| say::error(&error));
                self.errors.push(error);
                self.keeper.put_errors(&self.errors)?;
            }
        }
        self.bar.set_message(format!("{:.1} frames/s", self.scorer.timings.frames_per_second()));
        self.bar.inc(1);
        Ok(())
    }
}

fn score_all(
    args: &ScoreArgs,
    scorer: &Scorer,
    listing: &Listing,
    work: &[usize],
    collected: &mut Collected<'_>,
) -> Result<()> {
    let pools = pools(args.jobs)?;
    let stop = || interrupt::received().is_some();
    let read = |position: usize| -> Result<(Arc<str>, Read)> {
        let episode = &listing.episodes[position];
        let instruction = scorer.instruction(episode)?;
        let footage = Stoppable { inner: &*episode.footage, stop };
        let read = read(&footage, &episode.name, scorer.settings.made_with.sample_fps)?;
        scorer.timings.decoded(&read);
        Ok((instruction, read))
    };
    let score = |job: usize, position: usize, (instruction, read): (Arc<str>, Read)| {
        let model = Stoppable { inner: scorer.model(), stop };
        let episode = &listing.episodes[position];
        let score = || scorer.score(&model, episode, &instruction, read.sampled, &mut || {});
        match pools.get(job) {
            Some(pool) => pool.install(score),
            None => score(),
        }
    };
    pipeline::run(work, args.jobs, read, score, stop, |position, outcome| collected.take(position, outcome))
}

/// For several jobs a part of the cores each: one episode's small operations then never wait for another's. A single job
/// has all of them.
fn pools(jobs: usize) -> Result<Vec<ThreadPool>> {
    if jobs == 1 {
        return Ok(Vec::new());
    }
    let threads = (rayon::current_num_threads() / jobs).max(1);
    (0..jobs).map(|_| Ok(ThreadPoolBuilder::new().num_threads(threads).build()?)).collect()
}
