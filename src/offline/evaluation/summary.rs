//! What many episodes say together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::measures::{CurveMeasures, EpisodeMeasures};
use crate::reward::{BiasControl, Bootstrap, Estimate, quantile};

/// One measured episode with its label.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    pub success: bool,
    pub group: Option<&'a str>,
    /// When the task was done, seconds since the first frame.
    pub completed_s: Option<f64>,
    pub measures: &'a EpisodeMeasures,
}

/// A mean over the episodes for which the measure is defined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanOf {
    /// `None` where it is defined for no episode.
    pub mean: Option<Estimate>,
    pub defined: usize,
    pub undefined: usize,
}

/// What the curves of some episodes say together, with or without the control's climb in them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurveSummary {
    pub voc_of_successes: MeanOf,
    pub voc_of_failures: MeanOf,
    pub climb_of_successes_nats: MeanOf,
    pub climb_of_failures_nats: MeanOf,
    /// Successes against failures by the success score at the end.
    pub auc_end: Option<Estimate>,
    /// The same by the best success score at any time.
    pub auc_peak: Option<Estimate>,
    /// Successes under their own instruction against themselves under another, by the score at the end.
    pub auc_wrong_instruction: Option<Estimate>,
    /// Own less other instruction, the score at the end, nats.
    pub wrong_instruction_gap_nats: MeanOf,
    /// Successes for which success would be called.
    pub called_successes: usize,
    /// Failures for which success would be called.
    pub called_failures: usize,
    /// From the completion of the task to the call, seconds: median and 95th percentile of the successes that were
    /// called and say when they were completed.
    pub delay_p50_s: Option<f64>,
    pub delay_p95_s: Option<f64>,
}

/// What the model says while nothing happens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StaticSummary {
    /// Episodes whose first frame was scored repeated.
    pub videos: usize,
    pub voc: MeanOf,
    /// |last − first|, nats.
    pub climb_nats: MeanOf,
    pub climb_p95_nats: Option<f64>,
    /// Episodes of which the first frame alone would be called a success.
    pub called: usize,
}

/// What some episodes say together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The group's name; `None` for all episodes.
    pub group: Option<String>,
    pub episodes: usize,
    pub successes: usize,
    pub failures: usize,
    /// Whether success AUCs are against the successes (or failures) of all groups, as this one has none of its own.
    pub auc_against_all: bool,
    /// Episodes too short for success to be called, left out of `auc_peak`.
    pub too_short: usize,
    pub reward: CurveSummary,
    pub corrected: CurveSummary,
    #[serde(rename = "static")]
    pub control: StaticSummary,
}

impl Summary {
    /// What the curves say together that success is judged by.
    pub fn judged_by(&self, control: BiasControl) -> &CurveSummary {
        match control {
            BiasControl::Off => &self.reward,
            BiasControl::Static => &self.corrected,
        }
    }
}

/// Of all episodes first, then of each group by name.
pub fn overall_and_groups(episodes: &[Labelled<'_>], bootstrap: Bootstrap) -> Vec<Summary> {
    let mut groups: BTreeMap<&str, Vec<Labelled<'_>>> = BTreeMap::new();
    for episode in episodes {
        if let Some(group) = episode.group {
            groups.entry(group).or_default().push(*episode);
        }
    }
    let whole = summary(None, episodes, episodes, bootstrap);
    let of_groups =
        groups.into_iter().map(|(name, members)| summary(Some(name), &members, episodes, bootstrap));
    std::iter::once(whole).chain(of_groups).collect()
}

fn summary(
    group: Option<&str>,
    members: &[Labelled<'_>],
    all: &[Labelled<'_>],
    bootstrap: Bootstrap,
) -> Summary {
    let successes = members.iter().filter(|episode| episode.success).count();
    let failures = members.len() - successes;
    let context = Context { members, all, bootstrap };
    let own = |measures: &EpisodeMeasures| (measures.reward, measures.wrong);
    let corrected = |measures: &EpisodeMeasures| (measures.corrected, measures.wrong_corrected);
    Summary {
        group: group.map(str::to_owned),
        episodes: members.len(),
        successes,
        failures,
        auc_against_all: group.is_some() && (successes == 0 || failures == 0),
        too_short: members.iter().filter(|episode| episode.measures.reward.peak_nats.is_none()).count(),
        reward: context.curves(&own),
        corrected: context.curves(&corrected),
        control: context.control(),
    }
}

/// Takes from an episode a curve's measures and those under a wrong instruction.
type Choice<'a> = &'a dyn Fn(&EpisodeMeasures) -> (CurveMeasures, Option<CurveMeasures>);

struct Context<'a> {
    members: &'a [Labelled<'a>],
    all: &'a [Labelled<'a>],
    bootstrap: Bootstrap,
}

impl Context<'_> {
    fn curves(&self, choice: Choice<'_>) -> CurveSummary {
        let of = |success: bool, measure: &dyn Fn(&CurveMeasures) -> Option<f64>| {
            let labelled = self.members.iter().filter(|episode| episode.success == success);
            labelled.map(|episode| measure(&choice(episode.measures).0)).collect::<Vec<_>>()
        };
        let called = |success| of(success, &|found| found.called_at_s).iter().flatten().count();
        let pairs: Vec<(f64, f64)> = (self.members.iter().filter(|episode| episode.success))
            .filter_map(|episode| {
                let (own, wrong) = choice(episode.measures);
                own.end_nats.zip(wrong?.end_nats)
            })
            .collect();
        let (own, wrong): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let gaps: Vec<Option<f64>> = pairs.iter().map(|(own, wrong)| Some(own - wrong)).collect();
        let delays = self.delays(choice);
        CurveSummary {
            voc_of_successes: self.mean(&of(true, &|found| found.voc)),
            voc_of_failures: self.mean(&of(false, &|found| found.voc)),
            climb_of_successes_nats: self.mean(&of(true, &|found| Some(found.climb_nats))),
            climb_of_failures_nats: self.mean(&of(false, &|found| Some(found.climb_nats))),
            auc_end: self.auc(&|episode| choice(episode).0.end_nats),
            auc_peak: self.auc(&|episode| choice(episode).0.peak_nats),
            auc_wrong_instruction: self.bootstrap.auc(&own, &wrong),
            wrong_instruction_gap_nats: self.mean(&gaps),
            called_successes: called(true),
            called_failures: called(false),
            delay_p50_s: quantile(&delays, 0.5),
            delay_p95_s: quantile(&delays, 0.95),
        }
    }

    fn delays(&self, choice: Choice<'_>) -> Vec<f64> {
        let successes = self.members.iter().filter(|episode| episode.success);
        let delay =
            |episode: &Labelled<'_>| Some(choice(episode.measures).0.called_at_s? - episode.completed_s?);
        successes.filter_map(delay).collect()
    }

    fn control(&self) -> StaticSummary {
        let of = |measure: &dyn Fn(&CurveMeasures) -> Option<f64>| {
            let controls = self.members.iter().filter_map(|episode| episode.measures.control.as_ref());
            controls.map(measure).collect::<Vec<_>>()
        };
        let climbs = of(&|found| Some(found.climb_nats.abs()));
        StaticSummary {
            videos: climbs.len(),
            voc: self.mean(&of(&|found| found.voc)),
            climb_nats: self.mean(&climbs),
            climb_p95_nats: quantile(&climbs.into_iter().flatten().collect::<Vec<_>>(), 0.95),
            called: of(&|found| found.called_at_s).iter().flatten().count(),
        }
    }

    fn mean(&self, values: &[Option<f64>]) -> MeanOf {
        let defined: Vec<f64> = values.iter().copied().flatten().collect();
        MeanOf {
            mean: self.bootstrap.mean(&defined),
            defined: defined.len(),
            undefined: values.len() - defined.len(),
        }
    }

    /// Successes against failures; a label that the members lack is taken from all episodes.
    fn auc(&self, score: &dyn Fn(&EpisodeMeasures) -> Option<f64>) -> Option<Estimate> {
        let of = |success: bool| -> Vec<f64> {
            let has_own = self.members.iter().any(|episode| episode.success == success);
            let pool = if has_own { self.members } else { self.all };
            let labelled = pool.iter().filter(|episode| episode.success == success);
            labelled.filter_map(|episode| score(episode.measures)).collect()
        };
        self.bootstrap.auc(&of(true), &of(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(voc: Option<f64>, end: f64, called_at_s: Option<f64>) -> CurveMeasures {
        CurveMeasures {
            voc,
            climb_nats: end + 4.0,
            last_nats: end,
            end_nats: Some(end),
            peak_nats: Some(end),
            called_at_s,
        }
    }

    fn measured(voc: Option<f64>, end: f64, called_at_s: Option<f64>, wrong: Option<f64>) -> EpisodeMeasures {
        let reward = curve(voc, end, called_at_s);
        let corrected = CurveMeasures { end_nats: Some(end - 1.0), ..reward };
        let control = CurveMeasures { voc: None, climb_nats: -0.5, called_at_s: None, ..reward };
        let wrong = wrong.map(|end| curve(None, end, None));
        EpisodeMeasures { reward, corrected, control: Some(control), wrong, wrong_corrected: wrong }
    }

    #[test]
    fn groups_and_all_are_summed_up() {
        let found = [
            measured(Some(1.0), -0.5, Some(6.0), Some(-3.0)),
            measured(Some(0.5), -1.0, None, Some(-0.75)),
            measured(None, -2.0, None, None),
            measured(Some(-0.5), -0.75, Some(4.0), None),
        ];
        let labels = [(true, "a"), (true, "a"), (false, "b"), (false, "a")];
        let episodes: Vec<Labelled<'_>> = found
            .iter()
            .zip(labels)
            .map(|(measures, (success, group))| Labelled {
                success,
                group: Some(group),
                completed_s: success.then_some(4.5),
                measures,
            })
            .collect();
        let [all, a, b] = &overall_and_groups(&episodes, Bootstrap::default())[..] else { panic!() };
        assert_eq!((all.group.as_deref(), all.episodes, all.successes, all.failures), (None, 4, 2, 2));
        assert_eq!(all.reward.voc_of_successes.mean.unwrap().value, 0.75);
        let failures = all.reward.voc_of_failures;
        assert_eq!((failures.mean.unwrap().value, failures.defined, failures.undefined), (-0.5, 1, 1));
        // -0.5 beats both failures, -1 only the one of -2.
        assert_eq!(all.reward.auc_end.unwrap().value, 0.75);
        // Own -0.5 and -1 against -3 and -0.75: three of four.
        assert_eq!(all.reward.auc_wrong_instruction.unwrap().value, 0.75);
        // 2.5 and -0.25.
        assert_eq!(all.reward.wrong_instruction_gap_nats.mean.unwrap().value, 1.125);
        assert_eq!((all.reward.called_successes, all.reward.called_failures), (1, 1));
        assert_eq!(all.reward.delay_p50_s, Some(1.5));
        assert_eq!(all.control.climb_nats.mean.unwrap().value, 0.5);
        assert_eq!((all.control.voc.mean, all.control.voc.undefined), (None, 4));
        assert_eq!((a.group.as_deref(), a.episodes, a.auc_against_all), (Some("a"), 3, false));
        // -0.5 above -0.75, -1 below it.
        assert_eq!(a.reward.auc_end.unwrap().value, 0.5);
        assert!(b.auc_against_all);
        assert_eq!(b.reward.auc_end.unwrap().value, 1.0, "its failure against all successes");
        assert_eq!(b.reward.auc_wrong_instruction, None);
    }

    #[test]
    fn what_is_missing_is_none() {
        let found = measured(Some(1.0), -0.5, None, None);
        let alone = Labelled { success: true, group: None, completed_s: None, measures: &found };
        let summaries = overall_and_groups(&[alone], Bootstrap::default());
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].reward.auc_end, None);
        assert_eq!(summaries[0].reward.voc_of_failures.mean, None);
        assert_eq!(summaries[0].reward.delay_p50_s, None);
    }
}
