use std::fmt;
use std::time::Duration;

use r2r::diagnostic_msgs::msg::DiagnosticArray;

use crate::bag::Bag;

/// What the node made of one episode.
pub struct Outcome {
    pub kind: String,
    /// Whether the recording ends in success.
    pub expected: bool,
    /// `None` until the node has scored a frame of it.
    pub episode_id: Option<u64>,
    pub detections: u32,
    pub resets: u32,
    pub voc: Option<f64>,
    /// Why the node ended it.
    pub ended: Option<String>,
    /// Progress, score by score.
    pub curve: Vec<f64>,
}

impl Outcome {
    pub fn new(bag: &Bag) -> Self {
        Self {
            kind: bag.kind.clone(),
            expected: bag.success,
            episode_id: None,
            detections: 0,
            resets: 0,
            voc: None,
            ended: None,
            curve: Vec::new(),
        }
    }

    /// One detection and one reset for a success, none otherwise.
    pub fn is_right(&self) -> bool {
        let wanted = u32::from(self.expected);
        self.detections == wanted && self.resets == wanted
    }
}

/// What the node made of all of them.
#[derive(Default)]
pub struct Summary {
    pub outcomes: Vec<Outcome>,
    pub latencies: Vec<Duration>,
    account: Vec<(String, String)>,
}

impl Summary {
    pub fn all_right(&self) -> bool {
        self.outcomes.iter().all(Outcome::is_right)
    }

    /// Keeps the frame account of the node's newest report.
    pub fn note_report(&mut self, report: &DiagnosticArray) {
        let frames = report.status.iter().find(|status| status.name.ends_with("topreward: frames"));
        if let Some(frames) = frames {
            self.account = frames.values.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect();
        }
    }

    fn latency_ms(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    fn mean_voc(&self) -> f64 {
        let successes = self.outcomes.iter().filter(|outcome| outcome.expected);
        let vocs: Vec<f64> = successes.filter_map(|outcome| outcome.voc).collect();
        vocs.iter().sum::<f64>() / vocs.len() as f64
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let successes = self.outcomes.iter().filter(|outcome| outcome.expected).count();
        let right = self.outcomes.iter().filter(|outcome| outcome.is_right()).count();
        let resets: u32 = self.outcomes.iter().map(|outcome| outcome.resets).sum();
        let episodes = self.outcomes.len();
        writeln!(f)?;
        writeln!(f, "episodes    {episodes}: {successes} succeed, {} do not", episodes - successes)?;
        writeln!(
            f,
            "detections  {right} right, {} wrong; the robot was reset {resets} times",
            episodes - right
        )?;
        writeln!(f, "VOC         {:.3} on average over the episodes that succeed", self.mean_voc())?;
        writeln!(
            f,
            "latency     p50 {:.0} ms, p95 {:.0} ms over {} scores",
            self.latency_ms(0.5),
            self.latency_ms(0.95),
            self.latencies.len()
        )?;
        let account: Vec<String> =
            self.account.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "frames      {}", account.join(", "))
    }
}
