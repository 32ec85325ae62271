//! What one episode's curves say.

use serde::Serialize;

use crate::offline::{Control, CurvePoint, first_success, judged};
use crate::reward::{BiasControl, SuccessSettings, voc};

/// All curves of one episode, over the same prefixes.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    pub reward: Vec<CurvePoint>,
    /// As long as the reward's curve, or longer.
    pub control: Option<Control>,
    /// The same frames under an instruction that was not carried out, and its control.
    pub wrong: Option<(Vec<CurvePoint>, Option<Control>)>,
    /// Whether the control's climb can be taken out of the rewards, prefix by prefix.
    pub comparable: bool,
}

impl Curves {
    /// The rewards or, where they are lower, those without the control's climb.
    pub fn corrected(&self) -> Vec<CurvePoint> {
        judged(&self.reward, self.control.as_ref().filter(|_| self.comparable))
    }
}

/// What one curve says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurveMeasures {
    /// Undefined for a constant curve or fewer than two points.
    pub voc: Option<f64>,
    /// Last reward less the first, nats.
    pub climb_nats: f64,
    pub last_nats: f64,
    /// The success score: [`end_score`].
    pub end_nats: Option<f64>,
    /// [`peak_score`].
    pub peak_nats: Option<f64>,
    /// When success would be called, seconds since the first frame.
    pub called_at_s: Option<f64>,
}

impl CurveMeasures {
    /// `None` without points.
    pub fn of(curve: &[CurvePoint], settings: SuccessSettings) -> Option<Self> {
        let rewards: Vec<f64> = curve.iter().map(|point| point.log_prob_true).collect();
        let (first, last) = (rewards.first()?, *rewards.last()?);
        Some(Self {
            voc: voc(&rewards),
            climb_nats: last - first,
            last_nats: last,
            end_nats: end_score(curve, settings.window),
            peak_nats: peak_score(curve, settings),
            called_at_s: first_success(curve, settings).map(|place| curve[place].time_s),
        })
    }
}

/// What one episode says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpisodeMeasures {
    pub reward: CurveMeasures,
    /// With the control's climb taken out.
    pub corrected: CurveMeasures,
    /// Of the first frame repeated, where that was scored.
    #[serde(rename = "static")]
    pub control: Option<CurveMeasures>,
    /// Under an instruction that was not carried out.
    pub wrong: Option<CurveMeasures>,
    pub wrong_corrected: Option<CurveMeasures>,
}

impl EpisodeMeasures {
    /// `None` without points.
    pub fn of(curves: &Curves, settings: SuccessSettings) -> Option<Self> {
        let measures = |curve: &[CurvePoint]| CurveMeasures::of(curve, settings);
        let wrong = curves.wrong.as_ref();
        Some(Self {
            reward: measures(&curves.reward)?,
            corrected: measures(&curves.corrected())?,
            control: curves.control.as_ref().and_then(|control| measures(&control.curve)),
            wrong: wrong.and_then(|(wrong, _)| measures(wrong)),
            wrong_corrected: wrong.and_then(|(wrong, control)| measures(&judged(wrong, control.as_ref()))),
        })
    }

    /// Those of the curve that success is judged by.
    pub fn judged_by(&self, control: BiasControl) -> &CurveMeasures {
        match control {
            BiasControl::Off => &self.reward,
            BiasControl::Static => &self.corrected,
        }
    }
}

/// The mean of the last `window` rewards, nats; `None` for a shorter curve.
pub fn end_score(curve: &[CurvePoint], window: usize) -> Option<f64> {
    means(curve, window).pop().map(|(_, mean)| mean)
}

/// The highest threshold at which success would be called at any time, nats: the best mean of `window` rewards that
/// holds for `hold_s` without a gap and rests on enough frames and change. `None` for an episode in which success
/// cannot be called at all.
///
/// "Already true at the start" is left out: it can only call fewer.
pub fn peak_score(curve: &[CurvePoint], settings: SuccessSettings) -> Option<f64> {
    let SuccessSettings { window, hold_s, min_frames, min_change, max_gap_s, .. } = settings;
    let mut best: Option<f64> = None;
    // Means since the last gap.
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut last_s = None;
    for (point, mean) in means(curve, window) {
        let gap_s = point.time_s - last_s.replace(point.time_s).unwrap_or(point.time_s);
        if max_gap_s > 0.0 && gap_s > max_gap_s {
            run.clear();
            continue;
        }
        run.push((point.time_s, mean));
        if point.frames < min_frames || point.change < min_change {
            continue;
        }
        let Some(begin) = run.iter().rposition(|(since_s, _)| point.time_s - since_s >= hold_s) else {
            continue;
        };
        let held = run[begin..].iter().map(|(_, mean)| *mean).fold(f64::INFINITY, f64::min);
        best = Some(best.map_or(held, |best| best.max(held)));
    }
    best
}

/// The mean of the `window` rewards up to each point that has that many.
fn means(curve: &[CurvePoint], window: usize) -> Vec<(CurvePoint, f64)> {
    let mean = |points: &[CurvePoint]| {
        let sum: f64 = points.iter().map(|point| point.log_prob_true).sum();
        (points[points.len() - 1], sum / points.len() as f64)
    };
    curve.windows(window.max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::half_second_curve;

    fn curve(rewards: &[f64]) -> Vec<CurvePoint> {
        half_second_curve(rewards, 9.0)
    }

    const SETTINGS: SuccessSettings =
        SuccessSettings { hold_s: 0.5, min_frames: 3, ..SuccessSettings::unguarded(-1.0, 2) };

    fn control(rewards: &[f64]) -> Option<Control> {
        Some(Control { start_nats: rewards[0], curve: curve(rewards) })
    }

    #[test]
    fn the_end_score_is_the_mean_of_the_last_rewards() {
        assert_eq!(end_score(&curve(&[-9.0, -1.0, -2.0]), 2), Some(-1.5));
        assert_eq!(end_score(&curve(&[-9.0, -1.0, -2.0]), 4), None);
    }

    #[test]
    fn the_peak_is_the_best_mean_that_holds() {
        // Means at 0.5, 1, 1.5, 2 s: -3, -1, -2, -5. Pairs half a second apart hold at least -3, -2, -5.
        let found = curve(&[-4.0, -2.0, 0.0, -4.0, -6.0]);
        assert_eq!(peak_score(&found, SETTINGS), Some(-2.0));
        assert_eq!(peak_score(&found, SuccessSettings { hold_s: 0.0, ..SETTINGS }), Some(-1.0));
        // From the fourth frame on: min(-1, -2) at 1.5 s; from the fifth: -5.
        assert_eq!(peak_score(&found, SuccessSettings { min_frames: 5, ..SETTINGS }), Some(-5.0));
        assert_eq!(peak_score(&found, SuccessSettings { min_frames: 6, ..SETTINGS }), None);
        assert_eq!(peak_score(&found, SuccessSettings { hold_s: 9.0, ..SETTINGS }), None);
    }

    #[test]
    fn the_peak_needs_change_and_knows_gaps() {
        let mut found = curve(&[-4.0, -1.0, -1.0, -1.0, -1.0]);
        assert_eq!(peak_score(&found, SuccessSettings { min_change: 10.0, ..SETTINGS }), None);
        // Three seconds are missing before the last point: nothing holds across them, and none behind them.
        found[4].time_s += 3.0;
        found[3].log_prob_true = -2.0;
        // Means -2.5, -1, -1.5: the last two hold for half a second.
        let gaps = SuccessSettings { max_gap_s: 2.0, ..SETTINGS };
        assert_eq!(peak_score(&found, gaps), Some(-1.5));
        found[2].time_s += 9.0;
        found[3].time_s += 9.0;
        found[4].time_s += 9.0;
        assert_eq!(peak_score(&found, gaps), None);
    }

    #[test]
    fn the_peak_is_where_the_detector_begins_to_call() {
        let found = curve(&[-4.0, -3.5, -2.0, -0.5, -0.75, -0.25, -3.0, -0.5]);
        for settings in [SETTINGS, SuccessSettings { window: 3, hold_s: 1.0, min_frames: 5, ..SETTINGS }] {
            let peak = peak_score(&found, settings).unwrap();
            let called = |threshold_nats: f64| {
                first_success(&found, SuccessSettings { threshold_nats, ..settings }).is_some()
            };
            assert!(called(peak) && !called(peak + 1e-9), "{peak}");
        }
    }

    #[test]
    fn an_episode_is_measured_with_and_without_its_control() {
        let curves = Curves {
            reward: curve(&[-4.0, -2.0, -1.0, 0.0]),
            control: control(&[-4.0, -3.0, -3.0, -3.0]),
            wrong: Some((curve(&[-5.0, -5.0, -4.0, -6.0]), control(&[-5.0; 4]))),
            comparable: true,
        };
        let found = EpisodeMeasures::of(&curves, SETTINGS).unwrap();
        assert_eq!(
            (found.reward.climb_nats, found.reward.end_nats, found.reward.voc),
            (4.0, Some(-0.5), Some(1.0))
        );
        assert_eq!((found.corrected.climb_nats, found.corrected.end_nats), (3.0, Some(-1.5)));
        assert_eq!(found.control.unwrap().climb_nats, 1.0);
        assert_eq!(found.wrong.unwrap().end_nats, Some(-5.0));
        assert_eq!(found.wrong_corrected.unwrap().end_nats, Some(-5.0));
        // Means -3, -1.5, -0.5: never above -1 for half a second.
        assert_eq!(found.reward.called_at_s, None);
        let apart = Curves { comparable: false, ..curves };
        let found = EpisodeMeasures::of(&apart, SETTINGS).unwrap();
        assert_eq!((found.corrected.climb_nats, found.control.unwrap().climb_nats), (4.0, 1.0));
        let still =
            Curves { reward: curve(&[-1.0; 3]), control: control(&[-1.0; 3]), wrong: None, comparable: true };
        assert_eq!(EpisodeMeasures::of(&still, SETTINGS).unwrap().reward.voc, None);
        let empty = Curves { reward: Vec::new(), control: None, wrong: None, comparable: true };
        assert_eq!(EpisodeMeasures::of(&empty, SETTINGS), None);
    }
}
