//! How well a score tells successes from failures, and how sure one can be of it.

use serde::{Deserialize, Serialize};

use crate::random::SplitMix64;

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// One threshold of a ROC curve: what a "score ≥ threshold" calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    pub threshold: f64,
    /// Share of the failures called, 0 to 1.
    pub false_positive_rate: f64,
    /// Share of the successes called, 0 to 1.
    pub true_positive_rate: f64,
}

/// Every distinct score as a threshold, falling; behind the first, implied, point that calls nothing.
/// Empty when either kind is missing.
pub fn roc(successes: &[f64], failures: &[f64]) -> Vec<RocPoint> {
    if successes.is_empty() || failures.is_empty() {
        return Vec::new();
    }
    let mut thresholds: Vec<f64> = [successes, failures].concat();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let (positives, negatives) = (sorted(successes), sorted(failures));
    let point = |threshold| RocPoint {
        threshold,
        false_positive_rate: share_from(&negatives, threshold),
        true_positive_rate: share_from(&positives, threshold),
    };
    thresholds.into_iter().map(point).collect()
}

/// The share of the rising `scores` that reach the threshold.
fn share_from(scores: &[f64], threshold: f64) -> f64 {
    let below = scores.partition_point(|score| *score < threshold);
    (scores.len() - below) as f64 / scores.len() as f64
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Area under the ROC curve: the probability that a success scores above a failure, a tie counting half.
/// `None` when either kind is missing or a score is NaN.
pub fn auc(successes: &[f64], failures: &[f64]) -> Option<f64> {
    let strange = successes.iter().chain(failures).any(|score| score.is_nan());
    if successes.is_empty() || failures.is_empty() || strange {
        return None;
    }
    let negatives = sorted(failures);
    let wins: f64 = successes
        .iter()
        .map(|&score| {
            let below = negatives.partition_point(|&other| other < score);
            let not_above = negatives.partition_point(|&other| other <= score);
            (below + not_above) as f64 / 2.0
        })
        .sum();
    Some(wins / (successes.len() * failures.len()) as f64)
}

/// A threshold for a wanted rate of false positives, and what it does on the scores it was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Success is called at a score of at least this.
    pub nats: f64,
    /// Failures that it calls all the same.
    pub false_positives: usize,
    /// Successes that it calls.
    pub true_positives: usize,
}

/// Why there is no threshold for a wanted rate of false positives.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoThreshold {
    #[error("the false-positive rate is {0}: it must lie between 0 and 1")]
    Rate(f64),
    #[error("a score is NaN: there is no threshold")]
    NoNumber,
    #[error(
        "{found} failures cannot show a false-positive rate of {wanted}: the smallest rate they show is 1/{found}; label at least {needed} failures"
    )]
    TooFewFailures { found: usize, needed: usize, wanted: f64 },
    #[error("{found} successes are too few: label at least {needed}")]
    TooFewSuccesses { found: usize, needed: usize },
    #[error(
        "no threshold calls a success without calling more than {allowed} of the {failures} failures: the rewards do not tell them apart"
    )]
    NotApart { allowed: usize, failures: usize },
}

/// Fewer than this many successes say nothing about how many will be found.
pub const LEAST_SUCCESSES: usize = 3;

/// The lowest threshold, half-way between two scores, that calls at most the wanted share of the failures.
///
/// # Errors
/// [`NoThreshold`]: too few episodes for that rate, or scores that do not tell successes from failures.
pub fn threshold_for(successes: &[f64], failures: &[f64], wanted: f64) -> Result<Threshold, NoThreshold> {
    if !(wanted > 0.0 && wanted < 1.0) {
        return Err(NoThreshold::Rate(wanted));
    }
    let all = sorted(&[successes, failures].concat());
    if all.iter().any(|score| score.is_nan()) {
        return Err(NoThreshold::NoNumber);
    }
    // The slack: 0.02 · 50 shall be 1 however the product is rounded.
    let allowed = (wanted * failures.len() as f64 + 1e-9).floor() as usize;
    if allowed == 0 {
        let needed = (1.0 / wanted - 1e-9).ceil() as usize;
        return Err(NoThreshold::TooFewFailures { found: failures.len(), needed, wanted });
    }
    if successes.len() < LEAST_SUCCESSES {
        return Err(NoThreshold::TooFewSuccesses { found: successes.len(), needed: LEAST_SUCCESSES });
    }
    let allowed = allowed.min(failures.len() - 1);
    let negatives = sorted(failures);
    // The highest failure that must not be called, and the score that follows it.
    let refused = negatives[negatives.len() - 1 - allowed];
    let not_apart = NoThreshold::NotApart { allowed, failures: failures.len() };
    let Some(&next) = all.get(all.partition_point(|score| *score <= refused)) else { return Err(not_apart) };
    let middle = refused + (next - refused) / 2.0;
    let nats = if middle > refused { middle } else { next };
    let called = |scores: &[f64]| scores.iter().filter(|score| **score >= nats).count();
    match called(successes) {
        0 => Err(not_apart),
        true_positives => Ok(Threshold { nats, false_positives: called(failures), true_positives }),
    }
}

/// How an interval is found: the middle `level` of the figures of `rounds` samples drawn with replacement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    pub rounds: usize,
    /// Share of the samples inside the interval, 0 to 1.
    pub level: f64,
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { rounds: 2000, level: 0.95, seed: 1 }
    }
}

impl Bootstrap {
    /// The mean of the values; `None` without values or with a NaN.
    pub fn mean(self, values: &[f64]) -> Option<Estimate> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        if values.is_empty() || values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let mut random = SplitMix64::new(self.seed);
        let figures = (0..self.rounds).map(|_| mean(&resample(&mut random, values))).collect();
        Some(self.estimate(mean(values), figures))
    }

    /// [`auc`]; successes and failures are drawn each for themselves, so that both always have their number.
    pub fn auc(self, successes: &[f64], failures: &[f64]) -> Option<Estimate> {
        let value = auc(successes, failures)?;
        let mut random = SplitMix64::new(self.seed);
        let figures = (0..self.rounds)
            .filter_map(|_| auc(&resample(&mut random, successes), &resample(&mut random, failures)))
            .collect();
        Some(self.estimate(value, figures))
    }

    fn estimate(self, value: f64, mut figures: Vec<f64>) -> Estimate {
        figures.sort_by(f64::total_cmp);
        let outside = (1.0 - self.level) / 2.0;
        let end = |share| quantile_of_sorted(&figures, share).unwrap_or(value);
        Estimate { value, low: end(outside), high: end(1.0 - outside) }
    }
}

/// The value below which the share lies, linear between neighbours; `None` without values.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    quantile_of_sorted(&sorted(values), share)
}

fn quantile_of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (place - below as f64) * (sorted[above] - sorted[below]))
}

/// As many values, drawn with replacement.
fn resample(random: &mut SplitMix64, values: &[f64]) -> Vec<f64> {
    values.iter().map(|_| values[random.below(values.len())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_a_point_for_each_distinct_score() {
        // Successes -1 and -3, failures -3 and -4: from above -1, -3 (both kinds at once), -4.
        let points = roc(&[-1.0, -3.0], &[-3.0, -4.0]);
        let seen: Vec<_> =
            points.iter().map(|p| (p.threshold, p.false_positive_rate, p.true_positive_rate)).collect();
        assert_eq!(seen, [(-1.0, 0.0, 0.5), (-3.0, 0.5, 1.0), (-4.0, 1.0, 1.0)]);
        assert!(roc(&[], &[-1.0]).is_empty() && roc(&[-1.0], &[]).is_empty());
    }

    #[test]
    fn ties_count_half() {
        // Pairs: 1>0, 1=1, 3>0, 3>1: 3.5 of 4.
        assert_eq!(auc(&[1.0, 3.0], &[0.0, 1.0]), Some(0.875));
        assert_eq!(auc(&[1.0, 2.0], &[-1.0, 0.0]), Some(1.0));
        assert_eq!(auc(&[-2.0], &[-1.0, -1.5]), Some(0.0));
        assert_eq!(auc(&[5.0, 5.0, 5.0], &[5.0]), Some(0.5));
        assert_eq!(auc(&[0.0], &[-0.0]), Some(0.5));
    }

    #[test]
    fn the_area_under_the_points_is_the_auc() {
        let (successes, failures) = ([-0.1, -0.5, -0.5, -2.0, -3.0], [-0.3, -0.5, -2.5, -2.5]);
        let mut area = 0.0;
        let (mut x, mut y) = (0.0, 0.0);
        for point in roc(&successes, &failures) {
            area += (point.false_positive_rate - x) * (point.true_positive_rate + y) / 2.0;
            (x, y) = (point.false_positive_rate, point.true_positive_rate);
        }
        assert!((area - auc(&successes, &failures).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn one_kind_alone_or_no_number_has_no_auc() {
        assert_eq!(auc(&[], &[1.0]), None);
        assert_eq!(auc(&[1.0], &[]), None);
        assert_eq!(auc(&[f64::NAN], &[1.0]), None);
        assert_eq!(auc(&[1.0], &[f64::NAN]), None);
    }

    #[test]
    fn a_threshold_lies_between_scores_and_keeps_the_rate() {
        let failures = [-5.0, -4.0, -3.0, -1.0];
        // One of four may be called: between the failure -3 and the next score, the success -2.
        let got = threshold_for(&[-2.0, -0.5, -0.4], &failures, 0.25).unwrap();
        assert_eq!(got, Threshold { nats: -2.5, false_positives: 1, true_positives: 3 });
        // Half of them: between -4 and -3.
        let got = threshold_for(&[-2.0, -0.5, -6.0], &failures, 0.5).unwrap();
        assert_eq!(got, Threshold { nats: -3.5, false_positives: 2, true_positives: 2 });
        // 0.3 of four is still one.
        assert_eq!(threshold_for(&[-2.0, -0.5, -0.4], &failures, 0.3).unwrap().false_positives, 1);
    }

    #[test]
    fn tied_failures_are_called_together_or_not_at_all() {
        // One of four allowed, but the two highest tie: neither.
        let got = threshold_for(&[-0.5, -0.4, -0.3], &[-5.0, -4.0, -1.0, -1.0], 0.25).unwrap();
        assert_eq!(got, Threshold { nats: -0.75, false_positives: 0, true_positives: 3 });
        // A success tied with the refused failure is refused with it.
        let got = threshold_for(&[-4.0, -0.5, -0.25], &[-5.0, -4.0, -0.75, -6.0], 0.25).unwrap();
        assert_eq!(got, Threshold { nats: -2.375, false_positives: 1, true_positives: 2 });
    }

    #[test]
    fn neighbours_without_a_number_between_them_are_told_apart() {
        let low = -1.0f64;
        let high = low.next_up();
        let got = threshold_for(&[high; 3], &[low, -2.0, low], 0.4).unwrap();
        assert_eq!(got, Threshold { nats: high, false_positives: 0, true_positives: 3 });
    }

    #[test]
    fn what_cannot_be_is_said() {
        let few = threshold_for(&[-1.0; 9], &[-2.0; 49], 0.02).unwrap_err();
        assert_eq!(few, NoThreshold::TooFewFailures { found: 49, needed: 50, wanted: 0.02 });
        assert!(threshold_for(&[-1.0; 9], &[-2.0; 50], 0.02).is_ok());
        let few = threshold_for(&[-1.0; 2], &[-2.0; 50], 0.02).unwrap_err();
        assert_eq!(few, NoThreshold::TooFewSuccesses { found: 2, needed: 3 });
        // Two tied failures above all: one of two may be called, but they come together.
        let apart = threshold_for(&[-1.0; 3], &[-0.5, -0.5], 0.5).unwrap_err();
        assert_eq!(apart, NoThreshold::NotApart { allowed: 1, failures: 2 });
        // A failure may be called, but no success with it.
        let apart = threshold_for(&[-9.0; 3], &[-0.5, -0.7], 0.5).unwrap_err();
        assert_eq!(apart, NoThreshold::NotApart { allowed: 1, failures: 2 });
        for rate in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(threshold_for(&[-1.0; 3], &[-2.0; 3], rate), Err(NoThreshold::Rate(_))));
        }
        let strange = threshold_for(&[-1.0, -1.0, f64::NAN], &[-2.0; 3], 0.5);
        assert_eq!(strange, Err(NoThreshold::NoNumber));
    }

    #[test]
    fn no_wanted_rate_is_exceeded() {
        let mut random = SplitMix64::new(7);
        for _ in 0..200 {
            let mut draw =
                |count: usize| -> Vec<f64> { (0..count).map(|_| -(random.below(30) as f64) / 4.0).collect() };
            let (successes, failures) = (draw(20), draw(25));
            for wanted in [0.04, 0.1, 0.3, 0.9] {
                let Ok(found) = threshold_for(&successes, &failures, wanted) else { continue };
                let called = failures.iter().filter(|score| **score >= found.nats).count();
                assert_eq!(called, found.false_positives);
                assert!(called as f64 <= wanted * 25.0, "{called} for {wanted}");
                assert!(!failures.contains(&found.nats) && !successes.contains(&found.nats));
            }
        }
    }

    #[test]
    fn an_interval_holds_the_figure_and_is_the_same_again() {
        let bootstrap = Bootstrap::default();
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let found = bootstrap.mean(&values).unwrap();
        assert_eq!(found.value, 49.5);
        // The standard error is 28.87 / 10: about ±5.66 at 95 %.
        assert!((found.value - found.low - 5.66).abs() < 0.6, "{found:?}");
        assert!((found.high - found.value - 5.66).abs() < 0.6, "{found:?}");
        assert_eq!(bootstrap.mean(&values), Some(found));
        let constant = bootstrap.mean(&[2.0, 2.0]).unwrap();
        assert_eq!((constant.low, constant.high), (2.0, 2.0));
        assert_eq!(bootstrap.mean(&[]), None);
        assert_eq!(bootstrap.mean(&[f64::NAN]), None);
    }

    #[test]
    fn successes_and_failures_are_drawn_apart() {
        // One failure among many successes: drawn together it would be missing in a third of the samples.
        let found = Bootstrap::default().auc(&[1.0, 1.0, 1.0, 0.0], &[0.5]).unwrap();
        assert_eq!(found.value, 0.75);
        // The share of ones among four draws of 3/4: none is as likely as 1/256, all 81/256.
        assert_eq!((found.low, found.high), (0.25, 1.0));
        let whole = Bootstrap::default().auc(&[2.0, 3.0], &[0.0, 1.0]).unwrap();
        assert_eq!((whole.low, whole.value, whole.high), (1.0, 1.0, 1.0));
    }

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.75), Some(3.0));
        assert_eq!(quantile(&[7.0], 0.1), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn every_place_is_drawn() {
        let mut random = SplitMix64::new(3);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[random.below(5)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }
}
