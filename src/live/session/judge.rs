//! What a score says of the episode: progress, success, failure.

use super::*;

impl Session {
    pub(super) fn scored(&mut self, score: PrefixScore) {
        self.latencies.push(score.latency());
        // What was asked before the episode's end or the instruction's change answers nobody's question any more.
        let of_running = self.running().is_some_and(|running| running.episode_id == score.episode_id);
        if !of_running || score.instruction != self.instruction {
            return;
        }
        self.cameras[score.camera].note(&score);
        if self.cameras.len() > 1 {
            let camera = &mut self.cameras[score.camera];
            let progress = camera.tracker.push(score.reading);
            let report = ProgressReport { score: score.clone(), progress, verdict: self.judge.verdict() };
            self.effects.push(Effect::CameraProgress(report));
        }
        if let Some(fused) = cameras::fuse(&mut self.cameras, self.fusion, &score) {
            self.judged(fused);
        }
    }

    /// What all cameras say together.
    fn judged(&mut self, score: PrefixScore) {
        let Some(running) = report::running(&mut self.episode) else { return };
        let prefix = self.judge.push(score.reading);
        let ScoredPrefix { progress, verdict, .. } = prefix;
        let report = ProgressReport { score: score.clone(), progress, verdict };
        running.add(prefix, report.clone());
        let failure = self.failures.push(self.passing.episode_s(), progress);
        self.effects.push(Effect::Progress(report));
        if let Verdict::Success { mean_nats } = verdict {
            let threshold_nats = self.judge.threshold_nats();
            self.effects.push(Effect::Success(SuccessReport { score, mean_nats, threshold_nats }));
            self.succeeded();
        } else {
            self.failed_if(failure.is_some());
        }
    }
}
