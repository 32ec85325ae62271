//! What the session knows of each camera, and what all of them say together.

use super::watch::Watch;
use crate::config::{Config, ConfigError};
use crate::episode::{EpisodeBuffer, FrameAccount};
use crate::live::engine::PrefixScore;
use crate::reward::{Control, Fusion, ProgressTracker, Reading};

/// One camera's side of the session.
pub struct Camera {
    pub name: String,
    pub(super) buffer: EpisodeBuffer,
    pub(super) account: FrameAccount,
    pub(super) watch: Watch,
    pub(super) tracker: ProgressTracker,
    /// The newest score of the running episode and its present instruction.
    newest: Option<PrefixScore>,
    /// Whether that score is not yet part of a fusion.
    fresh: bool,
}

impl Camera {
    pub(super) fn all(config: &Config) -> Result<Vec<Self>, ConfigError> {
        let camera = |(index, name): (usize, &String)| {
            Ok(Self {
                name: name.clone(),
                buffer: EpisodeBuffer::new(index, config.sampler()?, config.episode_limits()),
                account: FrameAccount::default(),
                watch: Watch::default(),
                tracker: ProgressTracker::new(config.progress),
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
        self.buffer.start();
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
/// keeps the others from going on without it. Frames, time and change are those of the camera that has seen least; the
/// header and the picture are those of `completing`, whose score makes it complete.
pub(super) fn fuse(cameras: &mut [Camera], fusion: Fusion, completing: &PrefixScore) -> Option<PrefixScore> {
    if !cameras.iter().all(|camera| camera.fresh) {
        return None;
    }
    let scores: Vec<&PrefixScore> = cameras.iter().filter_map(|camera| camera.newest.as_ref()).collect();
    let readings: Vec<&Reading> = scores.iter().map(|score| &score.reading).collect();
    let fused = PrefixScore {
        inference: scores.iter().map(|score| score.inference).sum(),
        reading: fuse_readings(&readings, fusion),
        ..completing.clone()
    };
    for camera in cameras {
        camera.fresh = false;
    }
    Some(fused)
}

fn fuse_readings(readings: &[&Reading], fusion: Fusion) -> Reading {
    let pairs: Vec<_> =
        readings.iter().map(|reading| (reading.log_prob_true, reading.log_prob_false)).collect();
    // What cannot be fused is NaN, which no rule takes for a success.
    let (log_prob_true, log_prob_false) = fusion.fuse(&pairs).unwrap_or((f64::NAN, f64::NAN));
    let values =
        |of: &dyn Fn(&Reading) -> f64| readings.iter().map(|reading| of(reading)).collect::<Vec<_>>();
    let fuse = |of: &dyn Fn(&Reading) -> f64| {
        let pairs: Vec<_> = values(of).into_iter().map(|value| (value, 0.0)).collect();
        fusion.fuse(&pairs).map_or(f64::NAN, |(fused, _)| fused)
    };
    let controlled = readings.iter().all(|reading| reading.control.is_some());
    let of_control = |of: fn(Control) -> f64| fuse(&move |reading| reading.control.map_or(f64::NAN, of));
    let control = controlled.then(|| Control {
        first: of_control(|control| control.first),
        log_prob_true: of_control(|control| control.log_prob_true),
        log_prob_false: of_control(|control| control.log_prob_false),
    });
    let least = |of: &dyn Fn(&Reading) -> f64| values(of).into_iter().fold(f64::INFINITY, f64::min);
    let most = |of: &dyn Fn(&Reading) -> f64| values(of).into_iter().fold(f64::NEG_INFINITY, f64::max);
    Reading {
        frames: readings.iter().map(|reading| reading.frames).min().unwrap_or_default(),
        time_s: least(&|reading| reading.time_s),
        log_prob_true,
        log_prob_false,
        control,
        // Each camera's own correction: the law does not hold for fused rewards.
        corrected: if controlled { fuse(&|reading| reading.corrected) } else { log_prob_true },
        change: least(&|reading| reading.change),
        age_s: most(&|reading| reading.age_s),
        spread_nats: most(&Reading::judged) - least(&Reading::judged),
    }
}
