use crate::episode::EndReason;
use crate::live::engine::PrefixScore;
use crate::reward::{ScoredPrefix, Verdict, voc};

/// A scored prefix of the running episode: of one camera, or what all of them say together.
#[derive(Debug, Clone)]
pub struct ProgressReport {
    pub score: PrefixScore,
    /// 0 to 1.
    pub progress: f64,
    /// What the success detector said of it; for one of several cameras, what it had said last of all together.
    pub verdict: Verdict,
}

/// The running episode has succeeded, at this score.
#[derive(Debug, Clone)]
pub struct SuccessReport {
    pub score: PrefixScore,
    /// Mean of the newest rewards, nats.
    pub mean_nats: f64,
    /// What the mean had to reach, nats.
    pub threshold_nats: f64,
}

/// An episode so far, or at its end.
#[derive(Debug, Clone)]
pub struct EpisodeReport {
    pub episode_id: u64,
    /// `None` while it runs.
    pub end_reason: Option<EndReason>,
    /// Frames handed to the engine.
    pub frames: usize,
    /// Every scored prefix, oldest first.
    pub scores: Vec<ScoredPrefix>,
    /// The newest score and its progress.
    pub newest: Option<ProgressReport>,
}

/// The report of an episode that runs.
pub(super) fn running(episode: &mut Option<EpisodeReport>) -> Option<&mut EpisodeReport> {
    episode.as_mut().filter(|episode| episode.is_running())
}

impl EpisodeReport {
    pub(super) fn new(episode_id: u64) -> Self {
        Self { episode_id, end_reason: None, frames: 0, scores: Vec::new(), newest: None }
    }

    pub(super) fn is_running(&self) -> bool {
        self.end_reason.is_none()
    }

    /// The instruction has changed: the rewards so far answer another question than the next ones.
    pub(super) fn forget_scores(&mut self) {
        self.scores.clear();
        self.newest = None;
    }

    pub(super) fn add(&mut self, prefix: ScoredPrefix, report: ProgressReport) {
        self.scores.push(prefix);
        self.newest = Some(report);
    }

    /// Value-order correlation of the rewards; `None` where it is undefined.
    pub fn voc(&self) -> Option<f64> {
        let rewards: Vec<f64> = self.scores.iter().map(|prefix| prefix.reading.log_prob_true).collect();
        voc(&rewards)
    }
}
