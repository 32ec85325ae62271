//! What a score says of the episode: progress, success, failure.

use super::*;
use crate::reward::SuccessReading;

impl Session {
    pub(super) fn scored(&mut self, score: PrefixScore) {
        self.latencies.push(score.latency);
        // What was asked before the episode's end or the instruction's change answers nobody's question any more.
        let asked = |running: &EpisodeReport| {
            (score.episode_id, &score.instruction) == (running.episode_id, &running.instruction)
        };
        if !self.running.as_ref().is_some_and(asked) {
            return;
        }
        self.cameras[score.camera].note(&score);
        if self.cameras.len() > 1 {
            let camera = &mut self.cameras[score.camera];
            let progress = camera.tracker.push(cameras::reading_of(&score));
            let report = ProgressReport { score: score.clone(), progress, verdict: self.verdict };
            self.effects.push(Effect::CameraProgress(report));
        }
        if let Some(fused) = cameras::fuse(&mut self.cameras, self.fusion, &score) {
            self.judge(fused);
        }
    }

    /// What all cameras say together.
    fn judge(&mut self, score: PrefixScore) {
        let Some(running) = &mut self.running else { return };
        let reading = cameras::reading_of(&score);
        let progress = self.tracker.push(reading);
        self.verdict = self.detector.push(SuccessReading {
            judged: reading.judged(),
            time_s: score.time_s,
            frames: score.frames,
            age_s: score.latency.as_secs_f64(),
            change: cameras::least_change(&self.cameras),
            spread_nats: cameras::spread_nats(&self.cameras),
        });
        let failure = self.failures.push(score.time_s, progress);
        running.add(ProgressReport { score: score.clone(), progress, verdict: self.verdict });
        let success = match self.verdict {
            Verdict::Success { mean_nats } => {
                Some(SuccessReport { score: score.clone(), mean_nats, threshold_nats: self.threshold_nats })
            }
            _ => None,
        };
        self.effects.push(Effect::Progress(ProgressReport { score, progress, verdict: self.verdict }));
        if let Some(success) = success {
            self.effects.push(Effect::Success(success));
            self.succeeded();
        } else if failure.is_some() {
            self.end(EndReason::Stuck);
            self.go_on(self.resets_on_failure);
        }
    }
}
