//! Scores finished episodes: frames in, curves out. The model is asked by the [`Probe`] that also asks it live, frame by
//! frame on the episode's cache, so the same frames give the same scores.

use std::sync::Arc;

use ::image::RgbImage;

use crate::episode::ChangeMeter;
use crate::model::{Probe, VideoVlm, VlmError};
use crate::reward::{BiasControl, Reading};

/// A frame that the model will see.
#[derive(Debug, Clone)]
pub struct SampledFrame {
    pub rgb: Arc<RgbImage>,
    /// Seconds since the first frame.
    pub time_s: f64,
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
    /// Whether each prefix is scored with its control.
    pub control: BiasControl,
}

/// Scores the prefixes of an episode: one curve for each instruction, one reading for each length. `scored` is called
/// after each prefix.
///
/// # Errors
/// The first prefix that the model refuses.
pub fn score_prefixes<V: VideoVlm>(
    model: &V,
    frames: &[SampledFrame],
    scoring: Scoring<'_>,
    scored: &mut dyn FnMut(),
) -> Result<Vec<Vec<Reading>>, OfflineError> {
    let append = |probe: &mut Probe<V::Episode>, place: usize| {
        probe.append(model, &frames[place].rgb, frames[place].time_s)
    };
    let score = |probe: &mut Probe<V::Episode>, instruction: &str| probe.score(model, instruction);
    let times_s: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
    ask(model, &times_s, scoring, append, score, scored)
}

/// Scores an unchanged scene, which shows the first frame at all of the times (seconds since it): one curve for each
/// instruction, one reading for each length. [`still_curve`] has the same readings of an episode's own times.
///
/// # Errors
/// The first prefix that the model refuses.
pub fn score_still<V: VideoVlm>(
    model: &V,
    first: &SampledFrame,
    times_s: &[f64],
    scoring: Scoring<'_>,
) -> Result<Vec<Vec<Reading>>, OfflineError> {
    let append = |probe: &mut Probe<V::Episode>, place: usize| match place {
        0 => probe.append(model, &first.rgb, first.time_s),
        _ => probe.append_still(model, times_s[place]),
    };
    let score = |probe: &mut Probe<V::Episode>, instruction: &str| probe.score_still(model, instruction);
    let scoring = Scoring { control: BiasControl::Static, ..scoring };
    ask(model, times_s, scoring, append, score, &mut || {})
}

/// Asks about each length: `append` shows the frame at a place, `score` asks about all frames so far.
fn ask<V: VideoVlm>(
    model: &V,
    times_s: &[f64],
    scoring: Scoring<'_>,
    append: impl Fn(&mut Probe<V::Episode>, usize) -> Result<(), VlmError>,
    score: impl Fn(&mut Probe<V::Episode>, &str) -> Result<Reading, VlmError>,
    scored: &mut dyn FnMut(),
) -> Result<Vec<Vec<Reading>>, OfflineError> {
    let mut curves = vec![Vec::with_capacity(scoring.lengths.len()); scoring.instructions.len()];
    let (mut probe, mut appended) = (Probe::new(model, scoring.control), 0);
    for &frames in scoring.lengths {
        let Some(&time_s) = frames.checked_sub(1).and_then(|last| times_s.get(last)) else { continue };
        let failed = |source| OfflineError { frames, time_s, source };
        if !scoring.cache {
            (probe, appended) = (Probe::new(model, scoring.control), 0);
        }
        (appended..frames).try_for_each(|place| append(&mut probe, place)).map_err(failed)?;
        appended = frames;
        for (curve, instruction) in curves.iter_mut().zip(scoring.instructions) {
            curve.push(score(&mut probe, instruction).map_err(failed)?);
        }
        scored();
    }
    Ok(curves)
}

/// The curve of the static control that was scored with these readings: what an unchanged scene was given at the same
/// times. Empty without a control.
pub fn still_curve(curve: &[Reading]) -> Vec<Reading> {
    let still = |reading: &Reading| {
        let control = reading.control?;
        let Reading { frames, time_s, .. } = *reading;
        let still = Reading::of(control.log_prob_true, control.log_prob_false, Some(control));
        Some(Reading { frames, time_s, ..still })
    };
    curve.iter().filter_map(still).collect()
}

/// The curve as if no control had been scored.
pub fn uncontrolled(curve: &[Reading]) -> Vec<Reading> {
    curve.iter().copied().map(Reading::uncontrolled).collect()
}

/// How much the picture has changed at most up to each frame, 8-bit levels.
pub fn changes(frames: &[SampledFrame]) -> Vec<f64> {
    let mut meter = ChangeMeter::new();
    frames.iter().map(|frame| meter.push(&frame.rgb).largest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogProbs;
    use crate::model::scripted::ScriptedVlm;
    use std::time::Duration;

    const PLAIN: Scoring<'static> =
        Scoring { instructions: &["lift"], lengths: &[], cache: true, control: BiasControl::Off };

    fn frames(count: usize) -> Vec<SampledFrame> {
        let picture = |i: usize| Arc::new(RgbImage::from_pixel(1, 1, ::image::Rgb([i as u8; 3])));
        (0..count).map(|i| SampledFrame { rgb: picture(i), time_s: i as f64 * 0.5 }).collect()
    }

    fn rewards(curve: &[Reading]) -> Vec<f64> {
        curve.iter().map(|reading| reading.log_prob_true).collect()
    }

    #[test]
    fn each_prefix_sees_its_frames_with_and_without_the_cache() {
        for cache in [false, true] {
            let script = |frames: usize, instruction: &str| {
                let log_prob_true = -1.0 / frames as f64 - if instruction == "push" { 1.0 } else { 0.0 };
                Ok(LogProbs { log_prob_true, log_prob_false: -1.0 })
            };
            let model = ScriptedVlm::new(Duration::ZERO, script);
            let scoring = Scoring { instructions: &["lift", "push"], lengths: &[1, 3, 5], cache, ..PLAIN };
            let mut done = 0;
            let curves = score_prefixes(&model, &frames(5), scoring, &mut || done += 1).unwrap();
            assert_eq!(rewards(&curves[0]), [-1.0, -1.0 / 3.0, -0.2]);
            assert_eq!(rewards(&curves[1]), [-2.0, -1.0 / 3.0 - 1.0, -1.2]);
            assert_eq!((curves[0][1].frames, curves[0][1].time_s), (3, 1.0));
            assert_eq!(done, 3);
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
        let scoring = Scoring { lengths: &[1, 2, 3], ..PLAIN };
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
            let scoring = Scoring { lengths: &[2, 3], cache, control: BiasControl::Static, ..PLAIN };
            let curve = score_prefixes(&model, &frames(3), scoring, &mut || {}).unwrap().remove(0);
            let controls: Vec<_> = curve.iter().filter_map(|reading| reading.control).collect();
            assert_eq!(
                (controls[0].first, controls[0].log_prob_true, controls[1].log_prob_true),
                (-8.0, -7.0, -6.0)
            );
            assert!(curve.iter().all(|reading| reading.corrected == -8.0));
            let still = score_still(&model, &frames(1)[0], &[0.0, 0.5, 1.0], scoring).unwrap().remove(0);
            assert_eq!(still, still_curve(&curve));
            assert_eq!(rewards(&still), [-7.0, -6.0]);
            assert!(still_curve(&uncontrolled(&curve)).is_empty());
            assert_eq!(model.scored.lock().unwrap().last().unwrap().0, [0.0, 0.5, 1.0]);
        }
    }
}
