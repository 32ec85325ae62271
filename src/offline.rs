//! Scores finished episodes: frames in, curves out. The model is asked exactly as it is live, frame by frame on the
//! episode's cache, so the same frames give the same scores.

use std::str::FromStr;
use std::sync::Arc;

use ::image::RgbImage;

use crate::reward::{SuccessDetector, SuccessReading, SuccessSettings};
use crate::vlm::{LogProbs, VideoVlm, VlmError};

/// A frame that the model will see.
#[derive(Debug, Clone)]
pub struct SampledFrame {
    pub rgb: Arc<RgbImage>,
    /// Seconds since the first frame.
    pub time_s: f64,
}

/// One scored prefix of an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Frames in the prefix.
    pub frames: usize,
    /// Time of the newest of them, seconds since the first.
    pub time_s: f64,
    /// The reward, nats, ≤ 0.
    pub log_prob_true: f64,
    /// Nats, ≤ 0.
    pub log_prob_false: f64,
}

/// Which prefixes are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefixes {
    All,
    /// So many, evenly spread from the first frame to the whole episode.
    Evenly(usize),
    /// Each whose length is a multiple of this, and the whole episode.
    Every(usize),
}

impl FromStr for Prefixes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let every = text.strip_prefix("every:");
        match (text, every.unwrap_or(text).parse::<usize>()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(n)) if n > 0 && every.is_some() => Ok(Self::Every(n)),
            (_, Ok(n)) if n > 0 => Ok(Self::Evenly(n)),
            _ => Err("give \"all\", a number of at least 1, or \"every:K\"".to_owned()),
        }
    }
}

impl Prefixes {
    /// Prefix lengths in frames, rising, the whole episode last. `Evenly(n)` is numpy's `linspace(1, total, n)`
    /// rounded, as in the reference, without repeats.
    pub fn lengths(self, total: usize) -> Vec<usize> {
        match self {
            Self::All => (1..=total).collect(),
            Self::Evenly(1) => vec![total],
            Self::Evenly(n) => {
                let step = (total as f64 - 1.0) / (n as f64 - 1.0);
                let mut lengths: Vec<usize> =
                    (0..n).map(|i| (1.0 + i as f64 * step).round_ties_even() as usize).collect();
                lengths.dedup();
                lengths
            }
            Self::Every(k) => {
                let multiples = (1..).map(|i| i * k.max(1)).take_while(|length| *length < total);
                multiples.chain([total]).collect()
            }
        }
    }
}

/// A prefix that could not be scored.
#[derive(Debug, thiserror::Error)]
#[error("the prefix of {frames} frames ({time_s:.2} s): {source}")]
pub struct OfflineError {
    pub frames: usize,
    pub time_s: f64,
    pub source: VlmError,
}

/// What is scored, and how.
#[derive(Debug, Clone, Copy)]
pub struct Scoring<'a> {
    /// Each is asked about every prefix; the frames are seen once.
    pub instructions: &'a [&'a str],
    /// Rising, none longer than the episode.
    pub lengths: &'a [usize],
    /// Whether a prefix goes on from the one before it; the scores are the same to f32 rounding.
    pub cache: bool,
}

/// Scores the prefixes of an episode: one curve for each instruction, one point for each length. `scored` is told
/// after each prefix.
///
/// # Errors
/// The first prefix that the model refuses.
pub fn score_prefixes<V: VideoVlm>(
    model: &V,
    frames: &[SampledFrame],
    scoring: Scoring<'_>,
    scored: &mut dyn FnMut(),
) -> Result<Vec<Vec<CurvePoint>>, OfflineError> {
    let mut curves = vec![Vec::with_capacity(scoring.lengths.len()); scoring.instructions.len()];
    let mut episode = model.new_episode();
    let mut appended = 0;
    for &length in scoring.lengths {
        let Some(newest) = length.checked_sub(1).and_then(|last| frames.get(last)) else { continue };
        if !scoring.cache {
            episode = model.new_episode();
            appended = 0;
        }
        let failed = |source| OfflineError { frames: length, time_s: newest.time_s, source };
        for frame in &frames[appended..length] {
            model.append(&mut episode, &frame.rgb, frame.time_s).map_err(failed)?;
        }
        appended = length;
        for (curve, instruction) in curves.iter_mut().zip(scoring.instructions) {
            let LogProbs { log_prob_true, log_prob_false } =
                model.score(&mut episode, instruction).map_err(failed)?;
            curve.push(CurvePoint { frames: length, time_s: newest.time_s, log_prob_true, log_prob_false });
        }
        scored();
    }
    Ok(curves)
}

/// The episode with its first frame in place of every other: what the model says while nothing happens.
pub fn static_frames(frames: &[SampledFrame]) -> Vec<SampledFrame> {
    let first = frames.first().map(|frame| frame.rgb.clone());
    let repeat = |frame: &SampledFrame| first.clone().map(|rgb| SampledFrame { rgb, time_s: frame.time_s });
    frames.iter().filter_map(repeat).collect()
}

/// The rewards with the climb of the control taken out, s_t − (c_t − c_1), but never above the reward itself: a
/// control that falls must not lift a reward over a threshold. Both curves are of the same prefixes.
pub fn judged(curve: &[CurvePoint], control: &[CurvePoint]) -> Vec<CurvePoint> {
    let Some(first) = control.first() else { return curve.to_vec() };
    let lower = |(point, control): (&CurvePoint, &CurvePoint)| {
        let corrected = point.log_prob_true - (control.log_prob_true - first.log_prob_true);
        CurvePoint { log_prob_true: point.log_prob_true.min(corrected), ..*point }
    };
    curve.iter().zip(control).map(lower).collect()
}

/// The place in the curve at which success would be called.
pub fn first_success(curve: &[CurvePoint], settings: SuccessSettings) -> Option<usize> {
    let mut detector = SuccessDetector::new(settings);
    curve.iter().position(|point| {
        let &CurvePoint { log_prob_true, time_s, frames, .. } = point;
        detector.push(SuccessReading { log_prob_true, time_s, frames }).is_success()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vlm::scripted::ScriptedVlm;
    use std::time::Duration;

    fn frames(count: usize) -> Vec<SampledFrame> {
        let picture = |i: usize| Arc::new(RgbImage::from_pixel(1, 1, ::image::Rgb([i as u8; 3])));
        (0..count).map(|i| SampledFrame { rgb: picture(i), time_s: i as f64 * 0.5 }).collect()
    }

    fn curve(rewards: &[f64]) -> Vec<CurvePoint> {
        let point = |(i, &log_prob_true): (usize, &f64)| CurvePoint {
            frames: i + 1,
            time_s: i as f64 * 0.5,
            log_prob_true,
            log_prob_false: -1.0,
        };
        rewards.iter().enumerate().map(point).collect()
    }

    fn rewards(curve: &[CurvePoint]) -> Vec<f64> {
        curve.iter().map(|point| point.log_prob_true).collect()
    }

    #[test]
    fn evenly_spaced_prefixes_are_the_references() {
        assert_eq!(Prefixes::Evenly(5).lengths(9), [1, 3, 5, 7, 9]);
        // numpy.linspace(1, 30, 15).round(): steps of 2.0714
        let expected = [1, 3, 5, 7, 9, 11, 13, 16, 18, 20, 22, 24, 26, 28, 30];
        assert_eq!(Prefixes::Evenly(15).lengths(30), expected);
        assert_eq!(Prefixes::Evenly(15).lengths(3), [1, 2, 3]);
        assert_eq!(Prefixes::Evenly(1).lengths(7), [7]);
        assert_eq!(Prefixes::All.lengths(3), [1, 2, 3]);
    }

    #[test]
    fn every_kth_prefix_and_the_whole() {
        assert_eq!(Prefixes::Every(3).lengths(8), [3, 6, 8]);
        assert_eq!(Prefixes::Every(3).lengths(6), [3, 6]);
        assert_eq!(Prefixes::Every(9).lengths(4), [4]);
        assert_eq!("every:3".parse(), Ok(Prefixes::Every(3)));
        assert_eq!("15".parse(), Ok(Prefixes::Evenly(15)));
        for wrong in ["every:0", "every:", "0", "some"] {
            assert!(wrong.parse::<Prefixes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_prefix_sees_its_frames_with_and_without_the_cache() {
        for cache in [false, true] {
            let script = |frames: usize, instruction: &str| {
                let log_prob_true = -1.0 / frames as f64 - if instruction == "push" { 1.0 } else { 0.0 };
                Ok(LogProbs { log_prob_true, log_prob_false: -1.0 })
            };
            let model = ScriptedVlm::new(Duration::ZERO, script);
            let scoring = Scoring { instructions: &["lift", "push"], lengths: &[1, 3, 5], cache };
            let mut told = 0;
            let curves = score_prefixes(&model, &frames(5), scoring, &mut || told += 1).unwrap();
            assert_eq!(rewards(&curves[0]), [-1.0, -1.0 / 3.0, -0.2]);
            assert_eq!(rewards(&curves[1]), [-2.0, -1.0 / 3.0 - 1.0, -1.2]);
            assert_eq!((curves[0][1].frames, curves[0][1].time_s), (3, 1.0));
            assert_eq!(told, 3);
            let scored = model.scored.lock().unwrap();
            assert_eq!(scored[2], (vec![0.0, 0.5, 1.0], "lift".to_owned()));
            assert_eq!(scored[5], (vec![0.0, 0.5, 1.0, 1.5, 2.0], "push".to_owned()));
        }
    }

    #[test]
    fn a_prefix_that_cannot_be_scored_is_named() {
        let script = |frames: usize, _: &str| match frames {
            2 => Err(VlmError::Inference("no".into())),
            _ => Ok(LogProbs { log_prob_true: -1.0, log_prob_false: -1.0 }),
        };
        let model = ScriptedVlm::new(Duration::ZERO, script);
        let scoring = Scoring { instructions: &["lift"], lengths: &[1, 2, 3], cache: true };
        let error = score_prefixes(&model, &frames(3), scoring, &mut || {}).unwrap_err();
        assert!(error.to_string().contains("2 frames (0.50 s)"), "{error}");
    }

    #[test]
    fn the_static_video_keeps_the_times_and_the_first_frame() {
        let repeated = static_frames(&frames(3));
        let seen: Vec<_> = repeated.iter().map(|f| (f.rgb.get_pixel(0, 0).0[0], f.time_s)).collect();
        assert_eq!(seen, [(0, 0.0), (0, 0.5), (0, 1.0)]);
        assert!(static_frames(&[]).is_empty());
    }

    #[test]
    fn the_controls_climb_is_taken_out_and_nothing_is_put_in() {
        // The control climbs by 1, then falls to 1 below its start.
        let judged = judged(&curve(&[-4.0, -2.0, -2.0]), &curve(&[-5.0, -4.0, -6.0]));
        assert_eq!(rewards(&judged), [-4.0, -3.0, -2.0]);
        assert_eq!(rewards(&super::judged(&curve(&[-4.0]), &[])), [-4.0]);
        // An unchanged scene stays where it began.
        let still = curve(&[-5.0, -4.0, -3.5]);
        assert_eq!(rewards(&super::judged(&still, &still)), [-5.0; 3]);
    }

    #[test]
    fn success_is_called_where_the_detector_calls_it() {
        let settings = SuccessSettings { threshold_nats: -1.0, window: 2, hold_s: 0.5, min_frames: 1 };
        // Means from the second on: -3, -1.6, -0.2, -0.2: above at 1.5 s, held for half a second at 2 s.
        assert_eq!(first_success(&curve(&[-3.0, -3.0, -0.2, -0.2, -0.2, -0.2]), settings), Some(4));
        assert_eq!(first_success(&curve(&[-3.0, -3.0, -3.0]), settings), None);
    }
}
