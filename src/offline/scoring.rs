//! Scores finished episodes: frames in, curves out. The model is asked exactly as it is live, frame by frame on the
//! episode's cache, so the same frames give the same scores.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use ::image::RgbImage;

use crate::episode::ChangeMeter;
use crate::model::{LogProbs, VideoVlm, VlmError};
use crate::reward::{ProgressReading, SuccessDetector, SuccessReading, SuccessSettings};

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
    /// How much the picture has changed at most since the first frame, 8-bit levels.
    pub change: f64,
}

/// What the model says while nothing happens: the first frame, repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// The reward of the first frame alone, nats.
    pub start_nats: f64,
    pub curve: Vec<CurvePoint>,
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

impl fmt::Display for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Evenly(n) => write!(f, "{n}"),
            Self::Every(k) => write!(f, "every:{k}"),
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
    let times_s: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
    let changes = changes(frames);
    let append = |episode: &mut V::Episode, places: Range<usize>| {
        frames[places].iter().try_for_each(|frame| model.append(episode, &frame.rgb, frame.time_s))
    };
    let mut curves = ask(model, &times_s, scoring, || Ok(model.new_episode()), append, scored)?;
    for point in curves.iter_mut().flatten() {
        point.change = changes[point.frames - 1];
    }
    Ok(curves)
}

/// Scores the control of an episode that begins with this frame: one for each instruction, over the given times.
/// `scored` is told after each prefix.
///
/// # Errors
/// The first prefix that the model refuses.
pub fn score_control<V: VideoVlm>(
    model: &V,
    first: &SampledFrame,
    times_s: &[f64],
    scoring: Scoring<'_>,
    scored: &mut dyn FnMut(),
) -> Result<Vec<Control>, OfflineError> {
    let begin = || {
        let mut episode = model.new_episode();
        model.append(&mut episode, &first.rgb, first.time_s)?;
        model.begin_control(&mut episode)
    };
    let append = |control: &mut V::Episode, places: Range<usize>| {
        // The control has seen the first frame once when it begins.
        let repeated = &times_s[places.start.max(1)..places.end.max(1)];
        repeated.iter().try_for_each(|time_s| model.append_first_again(control, *time_s))
    };
    let start = Scoring { lengths: &[1], ..scoring };
    let starts = ask(model, times_s, start, begin, append, &mut || {})?;
    let curves = ask(model, times_s, scoring, begin, append, scored)?;
    let pair = |(start, curve): (Vec<CurvePoint>, Vec<CurvePoint>)| {
        let start_nats = start.first()?.log_prob_true;
        Some(Control { start_nats, curve })
    };
    Ok(starts.into_iter().zip(curves).filter_map(pair).collect())
}

/// Asks about each length: `append` brings an episode that `begin` began to it.
fn ask<V: VideoVlm>(
    model: &V,
    times_s: &[f64],
    scoring: Scoring<'_>,
    begin: impl Fn() -> Result<V::Episode, VlmError>,
    append: impl Fn(&mut V::Episode, Range<usize>) -> Result<(), VlmError>,
    scored: &mut dyn FnMut(),
) -> Result<Vec<Vec<CurvePoint>>, OfflineError> {
    let mut curves = vec![Vec::with_capacity(scoring.lengths.len()); scoring.instructions.len()];
    let mut episode = None;
    let mut appended = 0;
    for &frames in scoring.lengths {
        let Some(&time_s) = frames.checked_sub(1).and_then(|last| times_s.get(last)) else { continue };
        let failed = |source| OfflineError { frames, time_s, source };
        if !scoring.cache {
            (episode, appended) = (None, 0);
        }
        let mut running = match episode.take() {
            Some(running) => running,
            None => begin().map_err(failed)?,
        };
        append(&mut running, appended..frames).map_err(failed)?;
        appended = frames;
        for (curve, instruction) in curves.iter_mut().zip(scoring.instructions) {
            let LogProbs { log_prob_true, log_prob_false } =
                model.score(&mut running, instruction).map_err(failed)?;
            curve.push(CurvePoint { frames, time_s, log_prob_true, log_prob_false, change: 0.0 });
        }
        episode = Some(running);
        scored();
    }
    Ok(curves)
}

/// How much the picture has changed at most up to each frame, 8-bit levels.
pub fn changes(frames: &[SampledFrame]) -> Vec<f64> {
    let mut meter = ChangeMeter::new();
    frames.iter().map(|frame| meter.push(&frame.rgb).largest).collect()
}

/// The rewards without the control's climb, s_t − (c_t − c_1), nats, at most 0. Both curves are of the same prefixes;
/// without a control they are the rewards.
pub fn readings(curve: &[CurvePoint], control: Option<&Control>) -> Vec<ProgressReading> {
    let reading = |(index, point): (usize, &CurvePoint)| {
        let CurvePoint { log_prob_true, log_prob_false, .. } = *point;
        let climb = control.and_then(|control| {
            control.curve.get(index).map(|point| point.log_prob_true - control.start_nats)
        });
        ProgressReading::controlled(log_prob_true, log_prob_false, climb)
    };
    curve.iter().enumerate().map(reading).collect()
}

/// The curve by which success is judged: the rewards or, where they are lower, those without the control's climb.
pub fn judged(curve: &[CurvePoint], control: Option<&Control>) -> Vec<CurvePoint> {
    let lower = |(point, reading): (&CurvePoint, ProgressReading)| CurvePoint {
        log_prob_true: reading.judged(),
        ..*point
    };
    curve.iter().zip(readings(curve, control)).map(lower).collect()
}

/// The place in the curve at which success would be called. Offline no score comes late, and there is one camera.
pub fn first_success(curve: &[CurvePoint], settings: SuccessSettings) -> Option<usize> {
    first_success_of(curve, SuccessDetector::new(settings))
}

/// As [`first_success`], with a detector that may have been told more than its settings.
pub fn first_success_of(curve: &[CurvePoint], mut detector: SuccessDetector) -> Option<usize> {
    curve.iter().position(|point| {
        let &CurvePoint { log_prob_true, time_s, frames, change, .. } = point;
        let reading =
            SuccessReading { judged: log_prob_true, time_s, frames, age_s: 0.0, change, spread_nats: 0.0 };
        detector.push(reading).is_success()
    })
}

/// A curve for tests: a point every half second, one frame each.
#[cfg(test)]
pub(crate) fn half_second_curve(rewards: &[f64], change: f64) -> Vec<CurvePoint> {
    let point = |(i, &log_prob_true): (usize, &f64)| CurvePoint {
        frames: i + 1,
        time_s: i as f64 * 0.5,
        log_prob_true,
        log_prob_false: -1.0,
        change,
    };
    rewards.iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scripted::ScriptedVlm;
    use std::time::Duration;

    fn frames(count: usize) -> Vec<SampledFrame> {
        let picture = |i: usize| Arc::new(RgbImage::from_pixel(1, 1, ::image::Rgb([i as u8; 3])));
        (0..count).map(|i| SampledFrame { rgb: picture(i), time_s: i as f64 * 0.5 }).collect()
    }

    fn curve(rewards: &[f64]) -> Vec<CurvePoint> {
        half_second_curve(rewards, 0.0)
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
        for text in ["all", "15", "every:3"] {
            assert_eq!(text.parse::<Prefixes>().unwrap().to_string(), text);
        }
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
    fn the_control_is_of_the_first_frame_over_the_same_times() {
        for cache in [true, false] {
            let script = |frames: usize, _: &str| {
                Ok(LogProbs { log_prob_true: -9.0 + frames as f64, log_prob_false: -1.0 })
            };
            let model = ScriptedVlm::new(Duration::ZERO, script);
            let scoring = Scoring { instructions: &["lift"], lengths: &[2, 3], cache };
            let first = &frames(1)[0];
            let found = score_control(&model, first, &[0.0, 0.5, 1.0], scoring, &mut || {}).unwrap();
            assert_eq!((found[0].start_nats, rewards(&found[0].curve)), (-8.0, vec![-7.0, -6.0]));
            assert_eq!(model.scored.lock().unwrap()[2].0, [0.0, 0.5, 1.0]);
        }
    }

    #[test]
    fn the_controls_climb_is_taken_out_and_nothing_is_put_in() {
        // The control climbs by 1, then falls to 1 below its start.
        let control = Control { start_nats: -5.0, curve: curve(&[-5.0, -4.0, -6.0]) };
        let found = judged(&curve(&[-4.0, -2.0, -2.0]), Some(&control));
        assert_eq!(rewards(&found), [-4.0, -3.0, -2.0]);
        assert_eq!(rewards(&judged(&curve(&[-4.0]), None)), [-4.0]);
        // An unchanged scene stays where it began.
        let still = Control { start_nats: -5.0, curve: curve(&[-5.0, -4.0, -3.5]) };
        assert_eq!(rewards(&judged(&still.curve, Some(&still))), [-5.0; 3]);
        // What falls out of a control is progress, but no probability above 1.
        let falling = Control { start_nats: -1.0, curve: curve(&[-3.0]) };
        assert_eq!(readings(&curve(&[-1.0]), Some(&falling))[0].corrected, 0.0);
    }

    #[test]
    fn the_change_of_the_picture_is_measured() {
        let picture = |level: u8, x: u32| {
            let mut rgb = RgbImage::new(64, 48);
            (0..16).for_each(|y| rgb.put_pixel(x, y, ::image::Rgb([level; 3])));
            Arc::new(rgb)
        };
        let frames = [(0, 0), (255, 40), (0, 0)].map(|(level, x)| picture(level, x));
        let frames: Vec<SampledFrame> =
            frames.into_iter().map(|rgb| SampledFrame { rgb, time_s: 0.0 }).collect();
        let script = |_: usize, _: &str| Ok(LogProbs { log_prob_true: -1.0, log_prob_false: -1.0 });
        let model = ScriptedVlm::new(Duration::ZERO, script);
        let scoring = Scoring { instructions: &["lift"], lengths: &[1, 2, 3], cache: true };
        let curves = score_prefixes(&model, &frames, scoring, &mut || {}).unwrap();
        let changes: Vec<f64> = curves[0].iter().map(|point| point.change).collect();
        assert_eq!(changes[0], 0.0);
        // A column of 16 white pixels: 255 · 16 of 64 · 48.
        assert!((changes[1] - 255.0 * 16.0 / (64.0 * 48.0)).abs() < 1e-3, "{changes:?}");
        assert_eq!(changes[2], changes[1], "the largest so far");
    }

    #[test]
    fn success_is_called_where_the_detector_calls_it() {
        let settings = SuccessSettings { hold_s: 0.5, ..SuccessSettings::unguarded(-1.0, 2) };
        // Means from the second on: -3, -1.6, -0.2, -0.2: above at 1.5 s, held for half a second at 2 s.
        assert_eq!(first_success(&curve(&[-3.0, -3.0, -0.2, -0.2, -0.2, -0.2]), settings), Some(4));
        assert_eq!(first_success(&curve(&[-3.0, -3.0, -3.0]), settings), None);
        let moving = SuccessSettings { min_change: 1.0, ..settings };
        assert_eq!(first_success(&curve(&[-3.0, -3.0, -0.2, -0.2, -0.2, -0.2]), moving), None);
    }
}
