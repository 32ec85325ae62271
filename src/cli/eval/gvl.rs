//! The baseline of the paper: the completion that the model writes down for each frame, in the place of its rewards.

use ::image::RgbImage;
use anyhow::{Context, Result, ensure};

use crate::model::gvl::{GvlSettings, values};
use crate::model::qwen3_vl::Qwen3Vl;
use crate::offline::evaluation::{Curves, LabelledEpisode};
use crate::offline::{SampledFrame, changes};
use crate::reward::Reading;

/// As many frames as the paper shows.
pub const FRAMES: usize = 15;

/// The curves of an episode from the frames that end the prefixes of these lengths. What stands for a reward is the
/// completion less 1: −1 at the start, 0 when done. There is nothing to correct: frames are shuffled.
///
/// # Errors
/// An instruction or frames that the model refuses, or an answer without any percentage.
pub fn curves(
    model: &Qwen3Vl,
    entry: &LabelledEpisode,
    frames: &[SampledFrame],
    lengths: &[usize],
    seed: u64,
) -> Result<Curves> {
    let chosen: Vec<&RgbImage> =
        lengths.iter().filter_map(|length| frames.get(length - 1)).map(|frame| &*frame.rgb).collect();
    let still = vec![*chosen.first().context("the episode has no frames")?; chosen.len()];
    let settings = GvlSettings { seed, ..GvlSettings::default() };
    let changes = changes(frames);
    let ask = |shown: &[&RgbImage], instruction: &str| -> Result<Vec<Reading>> {
        let answer = values(model, shown, instruction, &settings)?;
        Ok(points(&answer.values, frames, &changes, lengths))
    };
    let episode = ask(&chosen, &entry.instruction)?;
    ensure!(!episode.is_empty(), "the model's answer has no percentage for any frame");
    let still = Some(ask(&still, &entry.instruction)?);
    let wrong = match entry.wrong_instruction.as_deref().filter(|_| entry.success) {
        Some(instruction) => Some(ask(&chosen, instruction)?),
        None => None,
    };
    Ok(Curves { episode, still, wrong })
}

/// A point for each frame that the answer names.
fn points(
    values: &[Option<f64>],
    frames: &[SampledFrame],
    changes: &[f64],
    lengths: &[usize],
) -> Vec<Reading> {
    let point = |(value, &length): (&Option<f64>, &usize)| {
        Some(Reading {
            frames: length,
            time_s: frames[length - 1].time_s,
            change: changes[length - 1],
            ..Reading::of((*value)? - 1.0, f64::NAN, None)
        })
    };
    values.iter().zip(lengths).filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn frames_that_the_answer_leaves_out_have_no_point() {
        let frames: Vec<SampledFrame> = (0..5)
            .map(|i| SampledFrame { rgb: Arc::new(RgbImage::new(1, 1)), time_s: f64::from(i) * 0.5 })
            .collect();
        let found = points(&[Some(0.0), None, Some(1.0)], &frames, &[0.0; 5], &[1, 3, 5]);
        let seen: Vec<_> = found.iter().map(|p| (p.frames, p.time_s, p.log_prob_true)).collect();
        assert_eq!(seen, [(1, 0.0, -1.0), (5, 2.0, 0.0)]);
    }
}
