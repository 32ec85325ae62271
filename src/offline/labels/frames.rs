use super::LabelError;
use crate::reward::{ProgressSettings, ProgressTracker, Reading, episode_progress};

/// A scored prefix: its newest frame, and what is known there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    /// The recorded frame's number in its episode, from 0.
    pub frame: usize,
    pub reading: Reading,
}

/// How rewards become progress.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Normalisation {
    /// From the episode's lowest reward (0) to its highest (1), as the paper and LeRobot do. It needs the whole episode,
    /// and every episode reaches 1, also one that failed.
    Episode,
    /// As the node publishes it: causal, and comparable between episodes.
    Live(ProgressSettings),
}

impl Normalisation {
    /// The progress of each reading, 0 to 1. What is read is the reward less the control's climb, which is the reward
    /// itself where no control was scored.
    fn progress(self, readings: &[Reading]) -> Vec<f64> {
        match self {
            Self::Episode => {
                let rewards: Vec<f64> = readings.iter().map(|reading| reading.corrected).collect();
                episode_progress(&rewards)
            }
            Self::Live(settings) => {
                let mut tracker = ProgressTracker::new(settings);
                readings.iter().map(|reading| tracker.push(*reading)).collect()
            }
        }
    }
}

/// The anchors of scored prefixes. `lengths`: how many samples each prefix has; `numbers`: which recorded frame each
/// sample is ([`crate::offline::recording::Sampled::numbers`]); `readings`: of the same prefixes. A prefix that is longer than
/// there are samples is left out.
pub fn anchors(lengths: &[usize], numbers: &[usize], readings: &[Reading]) -> Vec<Anchor> {
    let anchor = |(length, reading): (&usize, &Reading)| {
        let frame = *numbers.get(length.checked_sub(1)?)?;
        Some(Anchor { frame, reading: *reading })
    };
    lengths.iter().zip(readings).filter_map(anchor).collect()
}

/// The progress of each of an episode's `frames` recorded frames: on a straight line between two anchors, by the frames'
/// numbers, and that of the nearest anchor before the first and behind the last. Anchors whose reward is NaN are
/// left out. Shape: (frames,), from 0 to 1.
///
/// LeRobot's labelling (TOPReward's `compute_rabc_weights`) and the paper's authors do the same: normalise the anchors
/// first, then draw the lines.
///
/// # Errors
/// No anchor that is a number, anchors out of order or beyond the episode.
pub fn frame_progress(
    anchors: &[Anchor],
    normalisation: Normalisation,
    frames: usize,
) -> Result<Vec<f32>, LabelError> {
    let sound: Vec<Anchor> =
        anchors.iter().copied().filter(|anchor| anchor.reading.corrected.is_finite()).collect();
    let (Some(first), Some(last)) = (sound.first(), sound.last()) else { return Err(LabelError::NoReward) };
    if let Some(pair) = sound.windows(2).find(|pair| pair[1].frame <= pair[0].frame) {
        return Err(LabelError::Unordered { before: pair[0].frame, after: pair[1].frame });
    }
    if last.frame >= frames {
        return Err(LabelError::Beyond { frame: last.frame, frames });
    }
    let readings: Vec<Reading> = sound.iter().map(|anchor| anchor.reading).collect();
    let progress = normalisation.progress(&readings);
    let mut labels = vec![progress[0] as f32; first.frame + 1];
    for (pair, values) in sound.windows(2).zip(progress.windows(2)) {
        let steps = pair[1].frame - pair[0].frame;
        let slope = (values[1] - values[0]) / steps as f64;
        labels.extend((1..steps).map(|step| (values[0] + slope * step as f64) as f32));
        // The line's own end would be a rounding away from the anchor.
        labels.push(values[1] as f32);
    }
    labels.resize(frames, progress[progress.len() - 1] as f32);
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor((frame, reward): (usize, f64)) -> Anchor {
        Anchor { frame, reading: Reading::of(reward, -1.0, None) }
    }

    fn labels(anchors: &[(usize, f64)], frames: usize) -> Result<Vec<f32>, LabelError> {
        let anchors: Vec<Anchor> = anchors.iter().copied().map(anchor).collect();
        frame_progress(&anchors, Normalisation::Episode, frames)
    }

    #[test]
    fn labels_lie_on_lines_between_the_anchors() {
        // Rewards −8, −4, −6, −0 → progress 0, .5, .25, 1.
        let found = labels(&[(0, -8.0), (4, -4.0), (6, -6.0), (7, 0.0)], 10).unwrap();
        assert_eq!(found, [0.0, 0.125, 0.25, 0.375, 0.5, 0.375, 0.25, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn before_the_first_anchor_and_behind_the_last_nothing_changes() {
        assert_eq!(labels(&[(2, -3.0), (4, -1.0)], 7).unwrap(), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]);
        // One reward says nothing about progress: a constant curve.
        assert_eq!(labels(&[(1, -3.0)], 3).unwrap(), [0.0; 3]);
    }

    #[test]
    fn a_reward_that_is_no_number_leaves_no_dent() {
        assert_eq!(labels(&[(0, -2.0), (1, f64::NAN), (2, 0.0)], 3).unwrap(), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn live_progress_is_that_of_the_node() {
        // Goal −1, from −5: −5 → 0, −3 → .5, then back to −4 → .25.
        let anchors: Vec<Anchor> = [(0, -5.0), (2, -3.0), (3, -4.0)].into_iter().map(anchor).collect();
        let live = Normalisation::Live(ProgressSettings::default());
        assert_eq!(frame_progress(&anchors, live, 4).unwrap(), [0.0, 0.25, 0.5, 0.25]);
    }

    #[test]
    fn prefixes_are_anchored_at_their_newest_frame() {
        let readings: Vec<Reading> = [-3.0, -2.0].map(|nats| Reading::of(nats, -1.0, None)).into();
        // Samples are the recorded frames 0, 5, 10; prefixes of 1 and of 3 of them.
        let found = anchors(&[1, 3], &[0, 5, 10], &readings);
        assert_eq!(found.iter().map(|anchor| anchor.frame).collect::<Vec<_>>(), [0, 10]);
        assert_eq!(found[1].reading, readings[1]);
        assert!(anchors(&[0, 4], &[0, 5, 10], &readings).is_empty());
    }

    #[test]
    fn what_cannot_be_labelled_is_named() {
        let message = |anchors: &[(usize, f64)], frames| labels(anchors, frames).unwrap_err().to_string();
        assert!(message(&[(0, f64::NAN)], 3).contains("NaN"));
        assert!(message(&[(0, -1.0), (3, -1.0)], 3).contains("of frame 3"));
        assert!(message(&[(2, -1.0), (2, -1.0)], 3).contains("order"));
    }
}
