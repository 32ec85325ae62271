//! What each guard of success costs: how many episodes would be called without it, and how late.

use serde::Serialize;

use crate::reward::{Reading, SuccessDetector, SuccessSettings, first_success_of, quantile};

/// An episode as the rule of success sees it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    pub success: bool,
    pub completed_s: Option<f64>,
    pub curve: &'a [Reading],
}

/// What would be called by a rule with one guard less, or with none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AblationRow {
    /// The guard that is off, by its parameter.
    pub without: &'static str,
    pub called_successes: usize,
    pub called_failures: usize,
    /// From completion to the call, seconds, median and 95th percentile over the successes called.
    pub delay_p50_s: Option<f64>,
    pub delay_p95_s: Option<f64>,
}

/// All guards first, then each switched off by itself, then all of them: the paper's rule alone. Guards against late scores and
/// disagreeing cameras have nothing to do offline.
pub fn ablation(episodes: &[Judged<'_>], settings: SuccessSettings) -> Vec<AblationRow> {
    let off: [(&'static str, SuccessSettings, bool); 7] = [
        ("-", settings, false),
        ("success.hold_s", SuccessSettings { hold_s: 0.0, ..settings }, false),
        ("success.min_frames", SuccessSettings { min_frames: 0, ..settings }, false),
        ("success.min_change", SuccessSettings { min_change: 0.0, ..settings }, false),
        ("success.max_gap_s", SuccessSettings { max_gap_s: 0.0, ..settings }, false),
        ("true from the start", settings, true),
        ("all of them", SuccessSettings::unguarded(settings.threshold_nats, settings.window), true),
    ];
    off.into_iter().map(|(without, settings, open)| row(without, episodes, settings, open)).collect()
}

fn row(
    without: &'static str,
    episodes: &[Judged<'_>],
    settings: SuccessSettings,
    declared_open: bool,
) -> AblationRow {
    let called = |episode: &Judged<'_>| {
        let mut detector = SuccessDetector::new(settings);
        if declared_open {
            detector.declare_open();
        }
        first_success_of(episode.curve, detector).map(|place| episode.curve[place].time_s)
    };
    let successes = episodes.iter().filter(|episode| episode.success);
    let calls: Vec<(f64, Option<f64>)> =
        successes.filter_map(|episode| Some((called(episode)?, episode.completed_s))).collect();
    let delays: Vec<f64> =
        calls.iter().filter_map(|(at_s, completed_s)| Some(at_s - (*completed_s)?)).collect();
    AblationRow {
        without,
        called_successes: calls.len(),
        called_failures: episodes
            .iter()
            .filter(|episode| !episode.success && called(episode).is_some())
            .count(),
        delay_p50_s: quantile(&delays, 0.5),
        delay_p95_s: quantile(&delays, 0.95),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::half_second_curve as curve;

    #[test]
    fn each_guard_is_taken_away_by_itself() {
        let settings =
            SuccessSettings { hold_s: 1.0, min_change: 1.0, ..SuccessSettings::unguarded(-1.0, 1) };
        // Above from 1 s on, held for a second at 2 s.
        let success = curve(&[-5.0, -5.0, -0.1, -0.1, -0.1, -0.1], 9.0);
        // Above for half a second.
        let blip = curve(&[-5.0, -5.0, -0.1, -0.1, -5.0, -5.0], 9.0);
        let frozen = curve(&[-5.0, -5.0, -0.1, -0.1, -0.1, -0.1], 0.0);
        let open = curve(&[-0.1; 6], 9.0);
        let judged = |success, curve| Judged { success, completed_s: success.then_some(0.5), curve };
        let episodes =
            [judged(true, &success[..]), judged(false, &blip), judged(false, &frozen), judged(false, &open)];
        let rows = ablation(&episodes, settings);
        let found = |without: &str| {
            let row = rows.iter().find(|row| row.without == without).unwrap();
            (row.called_successes, row.called_failures, row.delay_p50_s)
        };
        assert_eq!(found("-"), (1, 0, Some(1.5)));
        assert_eq!(found("success.hold_s"), (1, 1, Some(0.5)));
        assert_eq!(found("success.min_change"), (1, 1, Some(1.5)));
        assert_eq!(found("true from the start"), (1, 1, Some(1.5)));
        assert_eq!(found("success.min_frames"), (1, 0, Some(1.5)));
        assert_eq!(found("all of them"), (1, 3, Some(0.5)));
    }
}
