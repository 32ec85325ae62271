//! One episode, on the terminal.

use anyhow::Result;

use super::scorer::Scorer;
use super::timings::read;
use super::{Finished, Results, ScoreArgs, finish};
use crate::cli::{Outcome, bar};
use crate::config::Config;
use crate::offline::recording::RecordedEpisode;
use crate::offline::results::EpisodeError;

pub fn run(
    args: &ScoreArgs,
    config: Config,
    episode: &RecordedEpisode,
    errors: &[EpisodeError],
) -> Result<Outcome> {
    // Before the model: an episode that cannot be read must not cost a download first.
    let read = read(&*episode.footage, &episode.name, config.sampling.rate_hz)?;
    let scorer = Scorer::load(args, config)?;
    scorer.timings.decoded(&read);
    let instruction = scorer.instruction(episode)?;
    let bar = bar::bar("scoring", "prefixes", scorer.prefixes(&read.sampled));
    let result = scorer.score(scorer.model(), episode, &instruction, read.sampled, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let outcome = finish(&Finished { results: Results::Held(&[result]), errors }, args.json)?;
    scorer.tell_timings(args);
    Ok(outcome)
}
