use serde::Serialize;

use super::{EpisodeError, EpisodeResult, SCHEMA};

/// One scored episode in a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpisodeSummary {
    pub name: String,
    pub index: u64,
    /// Sampled frames.
    pub frames: usize,
    /// Reward of the first scored prefix, nats.
    pub first_nats: Option<f64>,
    /// Reward of the last, nats.
    pub last_nats: Option<f64>,
    /// The highest reward, nats.
    pub best_nats: Option<f64>,
    /// Progress at the end, 0 to 1.
    pub progress: Option<f64>,
    pub voc: Option<f64>,
    /// When success would have been called, seconds since the first frame.
    pub success_s: Option<f64>,
}

/// What a run has found, in a line for each episode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Episodes that were scored.
    pub scored: usize,
    /// Of them, those with success.
    pub successes: usize,
    /// Sampled frames of all of them.
    pub frames: usize,
    /// Over the episodes whose VOC is defined.
    pub mean_voc: Option<f64>,
    pub episodes: Vec<EpisodeSummary>,
    /// What could not be scored.
    pub errors: Vec<EpisodeError>,
}

impl EpisodeSummary {
    pub fn of(result: &EpisodeResult) -> Self {
        let reward = |place: Option<usize>| Some(result.prefixes.get(place?)?.log_prob_true);
        let last = result.prefixes.len().checked_sub(1);
        Self {
            name: result.name.clone(),
            index: result.index,
            frames: result.sampled.len(),
            first_nats: reward(Some(0)),
            last_nats: reward(last),
            best_nats: result.prefixes.iter().map(|prefix| prefix.log_prob_true).reduce(f64::max),
            progress: result.prefixes.last().map(|prefix| prefix.progress),
            voc: result.voc,
            success_s: result.success_s,
        }
    }
}

impl RunSummary {
    pub fn of(episodes: Vec<EpisodeSummary>, errors: Vec<EpisodeError>) -> Self {
        let vocs: Vec<f64> = episodes.iter().filter_map(|episode| episode.voc).collect();
        Self {
            schema: SCHEMA,
            scored: episodes.len(),
            successes: episodes.iter().filter(|episode| episode.success_s.is_some()).count(),
            frames: episodes.iter().map(|episode| episode.frames).sum(),
            mean_voc: (!vocs.is_empty()).then(|| vocs.iter().sum::<f64>() / vocs.len() as f64),
            episodes,
            errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::settings;
    use super::super::{PrefixResult, ScoredEpisode};
    use super::*;

    fn result(rewards: &[f64], voc: Option<f64>) -> EpisodeResult {
        let scored = ScoredEpisode {
            name: "a",
            index: 0,
            instruction: "lift",
            recorded_s: vec![0.0; 9],
            sampled: vec![0, 4, 8],
            prefixes: &[],
        };
        let prefix = |&log_prob_true: &f64| PrefixResult {
            frames: 1,
            time_s: 0.0,
            log_prob_true,
            log_prob_false: -1.0,
            control: None,
            judged: None,
            progress: 0.25,
        };
        let prefixes = rewards.iter().map(prefix).collect();
        EpisodeResult { prefixes, voc, ..EpisodeResult::of(scored, &settings()) }
    }

    #[test]
    fn an_episode_is_its_first_last_and_best_reward() {
        let found = EpisodeSummary::of(&result(&[-5.0, -1.0, -2.0], None));
        assert_eq!(
            (found.frames, found.first_nats, found.last_nats, found.best_nats, found.progress),
            (3, Some(-5.0), Some(-2.0), Some(-1.0), Some(0.25))
        );
        assert_eq!(EpisodeSummary::of(&result(&[], None)).best_nats, None);
    }

    #[test]
    fn a_voc_that_is_undefined_does_not_count() {
        let results = [result(&[-1.0], Some(0.5)), result(&[-1.0], None), result(&[-1.0], Some(1.0))];
        let found = RunSummary::of(results.iter().map(EpisodeSummary::of).collect(), Vec::new());
        assert_eq!((found.scored, found.frames, found.mean_voc), (3, 9, Some(0.75)));
        assert_eq!(RunSummary::of(Vec::new(), Vec::new()).mean_voc, None);
    }
}
