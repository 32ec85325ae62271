//! What the session knows of each camera, and what all of them say together.

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::episode::{ChangeMeter, EpisodeBuffer, EpisodeEvent, Frame, FrameAccount};
use crate::live::engine::{Control, PrefixScore};
use crate::model::LogProbs;
use crate::reward::{Fusion, ProgressReading, ProgressTracker};

/// One camera's side of the session.
pub struct Camera {
    pub name: String,
    pub(super) buffer: EpisodeBuffer,
    pub(super) account: FrameAccount,
    pub(super) tracker: ProgressTracker,
    change: ChangeMeter,
    /// The largest change of the picture so far, 8-bit levels, by the stamp of the sample that brought it.
    changes: Vec<(i64, f64)>,
    /// The newest score of the running episode and its present instruction.
    newest: Option<PrefixScore>,
    /// Whether that score is not yet part of a fusion.
    fresh: bool,
}

impl Camera {
    pub(super) fn all(config: &Config, instruction: &Arc<str>) -> Result<Vec<Self>, ConfigError> {
        let camera = |(index, name): (usize, &String)| {
            Ok(Self {
                name: name.clone(),
                buffer: EpisodeBuffer::new(
                    index,
                    config.sampler()?,
                    config.episode_limits(),
                    instruction.clone(),
                ),
                account: FrameAccount::default(),
                tracker: ProgressTracker::new(config.progress),
                change: ChangeMeter::new(),
                changes: Vec::new(),
                newest: None,
                fresh: false,
            })
        };
        config.cameras.iter().enumerate().map(camera).collect()
    }

    /// Frames of the running episode that the model was given.
    pub fn samples(&self) -> usize {
        self.buffer.frames()
    }

    /// Where its frames went.
    pub fn account(&self) -> &FrameAccount {
        &self.account
    }

    pub(super) fn start(&mut self) {
        self.buffer.apply(EpisodeEvent::Start);
        self.change.reset();
        self.changes.clear();
    }

    /// The model is given a sample.
    pub(super) fn sampled(&mut self, frame: &Frame) {
        let largest = self.change.push(&frame.rgb).largest;
        if self.changes.last().is_none_or(|(_, newest)| largest > *newest) {
            self.changes.push((frame.stamp_ns, largest));
        }
    }

    /// The largest change up to the newest scored frame: the picture may have moved on while the model was busy, and of
    /// that the score knows nothing.
    fn change_scored(&self) -> f64 {
        let scored_ns = self.newest.as_ref().map_or(i64::MIN, |score| score.stamp_ns);
        let seen = self.changes.partition_point(|(stamp_ns, _)| *stamp_ns <= scored_ns);
        seen.checked_sub(1).map_or(0.0, |newest| self.changes[newest].1)
    }

    pub(super) fn forget_scores(&mut self) {
        self.tracker.reset();
        self.newest = None;
        self.fresh = false;
    }

    pub(super) fn note(&mut self, score: &PrefixScore) {
        self.newest = Some(score.clone());
        self.fresh = true;
    }
}

/// What all cameras say together, once each of them has a score that is in no fusion yet: a camera that has stopped
/// keeps the others from going on without it. Frames and time are those of the camera that has seen least; the header
/// and the picture are those of `completing`, whose score makes it complete.
pub(super) fn fuse(cameras: &mut [Camera], fusion: Fusion, completing: &PrefixScore) -> Option<PrefixScore> {
    if !cameras.iter().all(|camera| camera.fresh) {
        return None;
    }
    let scores: Vec<&PrefixScore> = cameras.iter().filter_map(|camera| camera.newest.as_ref()).collect();
    let pairs: Vec<_> =
        scores.iter().map(|score| (score.log_probs.log_prob_true, score.log_probs.log_prob_false)).collect();
    // What cannot be fused is no number, which no rule takes for a success.
    let (log_prob_true, log_prob_false) = fusion.fuse(&pairs).unwrap_or((f64::NAN, f64::NAN));
    let controls: Option<Vec<Control>> = scores.iter().map(|score| score.control).collect();
    let control = controls.map(|controls| {
        let fuse = |of: fn(&Control) -> f64| {
            let values: Vec<_> = controls.iter().map(|control| (of(control), 0.0)).collect();
            fusion.fuse(&values).map_or(f64::NAN, |(fused, _)| fused)
        };
        Control {
            log_prob_true: fuse(|one| one.log_prob_true),
            corrected_nats: fuse(|one| one.corrected_nats),
        }
    });
    let fused = PrefixScore {
        frames: scores.iter().map(|score| score.frames).min().unwrap_or_default(),
        time_s: scores.iter().map(|score| score.time_s).fold(f64::INFINITY, f64::min),
        latency: scores.iter().map(|score| score.latency).max().unwrap_or_default(),
        inference: scores.iter().map(|score| score.inference).sum(),
        log_probs: LogProbs { log_prob_true, log_prob_false },
        control,
        ..completing.clone()
    };
    for camera in cameras {
        camera.fresh = false;
    }
    Some(fused)
}

/// The largest change of the picture since the episode began, 8-bit levels, of the camera that has seen least of it.
pub(super) fn least_change(cameras: &[Camera]) -> f64 {
    cameras.iter().map(Camera::change_scored).fold(f64::INFINITY, f64::min)
}

/// How far the cameras' newest judged rewards lie apart, nats; 0 for one camera.
pub(super) fn spread_nats(cameras: &[Camera]) -> f64 {
    let judged = || cameras.iter().filter_map(|camera| Some(reading_of(camera.newest.as_ref()?).judged()));
    judged().fold(f64::NEG_INFINITY, f64::max) - judged().fold(f64::INFINITY, f64::min)
}

/// A score as the reward layer reads it.
pub(super) fn reading_of(score: &PrefixScore) -> ProgressReading {
    let LogProbs { log_prob_true, log_prob_false } = score.log_probs;
    ProgressReading { log_prob_true, log_prob_false, corrected: score.corrected_nats() }
}
