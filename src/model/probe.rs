//! How a model is asked about one episode: the one way, while it happens and afterwards.

use std::collections::BTreeMap;

use ::image::RgbImage;

use super::{LogProbs, VideoVlm, VlmError};
use crate::episode::ChangeMeter;
use crate::reward::{BiasControl, Control, Reading};

/// One episode as the model has seen it, and its static control beside it.
pub struct Probe<E> {
    episode: E,
    frames: usize,
    time_s: f64,
    change: ChangeMeter,
    control: BiasControl,
    still: Option<StillScene<E>>,
    /// The control lacks frames since then: nothing can be corrected by it in this episode.
    control_failed: bool,
}

/// The static control: an episode in which the first frame is repeated.
struct StillScene<E> {
    /// Only the first frame.
    first: E,
    repeated: E,
    frames: usize,
    time_s: f64,
    /// The first frame's reward (nats) by the instruction that was asked about.
    first_rewards: BTreeMap<String, f64>,
}

impl<E> Probe<E> {
    /// An episode without frames.
    pub fn new<V: VideoVlm<Episode = E>>(model: &V, control: BiasControl) -> Self {
        Self {
            episode: model.new_episode(),
            frames: 0,
            time_s: 0.0,
            change: ChangeMeter::new(),
            control,
            still: None,
            control_failed: false,
        }
    }

    /// Frames that the model has seen.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Adds the next frame, to the control the first one again; `time_s` is seconds since the episode's first frame.
    ///
    /// # Errors
    /// The model's own. After a failure of the control the episode's rewards cannot be corrected any more.
    pub fn append<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        rgb: &RgbImage,
        time_s: f64,
    ) -> Result<(), VlmError> {
        model.append(&mut self.episode, rgb, time_s)?;
        self.frames += 1;
        self.time_s = time_s;
        self.change.push(rgb);
        let appended = match self.control {
            BiasControl::Off => Ok(()),
            BiasControl::Static => self.append_still(model, time_s),
        };
        appended.inspect_err(|_| self.control_failed = true)
    }

    /// Adds a frame to the control alone, as if nothing had happened for longer than the episode lasts.
    ///
    /// # Errors
    /// The model's own; the episode must have a frame.
    pub fn append_still<V: VideoVlm<Episode = E>>(&mut self, model: &V, time_s: f64) -> Result<(), VlmError> {
        match &mut self.still {
            Some(still) => {
                model.append_first_again(&mut still.repeated, time_s)?;
                still.frames += 1;
                still.time_s = time_s;
            }
            None => {
                let first = model.begin_control(&mut self.episode)?;
                let repeated = model.begin_control(&mut self.episode)?;
                let first_rewards = BTreeMap::new();
                self.still = Some(StillScene { first, repeated, frames: 1, time_s, first_rewards });
            }
        }
        Ok(())
    }

    /// Scores all frames so far, and the control where there is one.
    ///
    /// # Errors
    /// The model's own; a control that has failed.
    pub fn score<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        instruction: &str,
    ) -> Result<Reading, VlmError> {
        let LogProbs { log_prob_true, log_prob_false } = model.score(&mut self.episode, instruction)?;
        let control = match self.control {
            BiasControl::Off => None,
            BiasControl::Static => self.score_still(model, instruction)?.control,
        };
        Ok(Reading {
            frames: self.frames,
            time_s: self.time_s,
            change: self.change.newest().largest,
            ..Reading::of(log_prob_true, log_prob_false, control)
        })
    }

    /// Scores the control by itself: what an unchanged scene is given, which is its own control.
    ///
    /// # Errors
    /// The model's own; a control that has failed or has no frame.
    pub fn score_still<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        instruction: &str,
    ) -> Result<Reading, VlmError> {
        if self.control_failed {
            let reason = "the static control has failed: the rest of this episode cannot be corrected";
            return Err(VlmError::Inference(reason.into()));
        }
        let still = self.still.as_mut().ok_or(VlmError::NoFrames)?;
        let first = match still.first_rewards.get(instruction) {
            Some(first) => *first,
            None => {
                let first = model.score(&mut still.first, instruction)?.log_prob_true;
                still.first_rewards.insert(instruction.to_owned(), first);
                first
            }
        };
        let LogProbs { log_prob_true, log_prob_false } = model.score(&mut still.repeated, instruction)?;
        let control = Control { first, log_prob_true, log_prob_false };
        let reading = Reading::of(log_prob_true, log_prob_false, Some(control));
        Ok(Reading { frames: still.frames, time_s: still.time_s, ..reading })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scripted::ScriptedVlm;
    use std::time::Duration;

    /// The longer the video the higher the reward, by 1 a frame, whatever it shows.
    fn climbing() -> ScriptedVlm {
        let script = |frames: usize, instruction: &str| {
            let log_prob_true = -9.0 + frames as f64 - if instruction == "push" { 1.0 } else { 0.0 };
            Ok(LogProbs { log_prob_true, log_prob_false: -1.0 })
        };
        ScriptedVlm::new(Duration::ZERO, script)
    }

    fn picture(level: u8) -> RgbImage {
        let mut rgb = RgbImage::new(64, 48);
        (0..16).for_each(|y| rgb.put_pixel(40, y, ::image::Rgb([level; 3])));
        rgb
    }

    #[test]
    fn a_reading_knows_its_frames_time_and_change() {
        let model = climbing();
        let mut probe = Probe::new(&model, BiasControl::Off);
        for (level, time_s) in [(0, 0.0), (255, 0.5), (0, 1.0)] {
            probe.append(&model, &picture(level), time_s).unwrap();
        }
        let reading = probe.score(&model, "lift").unwrap();
        assert_eq!((reading.frames, reading.time_s, reading.log_prob_true), (3, 1.0, -6.0));
        assert_eq!((reading.control, reading.corrected), (None, -6.0));
        // A column of 16 white pixels: 255 · 16 of 64 · 48; the largest so far.
        assert!((reading.change - 255.0 * 16.0 / (64.0 * 48.0)).abs() < 1e-3, "{reading:?}");
    }

    #[test]
    fn the_control_has_the_same_times_and_takes_away_what_length_alone_gives() {
        let model = climbing();
        let mut probe = Probe::new(&model, BiasControl::Static);
        for time_s in [0.0, 0.5] {
            probe.append(&model, &picture(0), time_s).unwrap();
        }
        for (instruction, first, now) in [("lift", -8.0, -7.0), ("push", -9.0, -8.0), ("lift", -8.0, -7.0)] {
            let reading = probe.score(&model, instruction).unwrap();
            let control = Control { first, log_prob_true: now, log_prob_false: -1.0 };
            assert_eq!((reading.control, reading.corrected), (Some(control), first));
        }
        probe.append_still(&model, 3.0).unwrap();
        let still = probe.score_still(&model, "lift").unwrap();
        assert_eq!((still.frames, still.time_s, still.log_prob_true), (3, 3.0, -6.0));
        let scored = model.scored.lock().unwrap();
        let asked = |index: usize| (&scored[index].0[..], &scored[index].1[..]);
        assert_eq!(asked(1), (&[0.0][..], "lift"));
        assert_eq!(asked(2), (&[0.0, 0.5][..], "lift"));
        // The first frame is asked about once for each instruction.
        assert_eq!(scored.len(), 3 + 3 + 2 + 1);
        assert_eq!(asked(8), (&[0.0, 0.5, 3.0][..], "lift"));
    }

    #[test]
    fn without_frames_there_is_nothing_to_score() {
        let model = climbing();
        let mut probe = Probe::new(&model, BiasControl::Static);
        assert!(matches!(probe.score(&model, "lift"), Err(VlmError::NoFrames)));
        assert!(matches!(probe.score_still(&model, "lift"), Err(VlmError::NoFrames)));
    }
}
