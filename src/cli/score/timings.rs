//! `--timings`: where the time went.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::model::{Stage, StageClock};
use crate::offline::recording::{Footage, Sampled, sample};

/// An episode's samples, and how long it took to read them.
pub struct Read {
    pub sampled: Sampled,
    pub spent: Duration,
}

/// # Errors
/// An episode that cannot be read.
pub fn read(footage: &dyn Footage, name: &str, rate_hz: f64) -> Result<Read> {
    let begun = Instant::now();
    let sampled = sample(footage, name, rate_hz)?;
    Ok(Read { sampled, spent: begun.elapsed() })
}

/// Sums over all episodes and threads since the model was loaded.
pub struct Timings {
    pub stages: Arc<StageClock>,
    begun: Instant,
    decoding_ns: AtomicU64,
    recorded: AtomicU64,
    decoded: AtomicU64,
    scored: AtomicU64,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            stages: Arc::default(),
            begun: Instant::now(),
            decoding_ns: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            scored: AtomicU64::new(0),
        }
    }
}

impl Timings {
    /// An episode has been read.
    pub fn decoded(&self, read: &Read) {
        let add = |sum: &AtomicU64, more: usize| sum.fetch_add(more as u64, Ordering::Relaxed);
        add(&self.recorded, read.sampled.recorded_s.len());
        add(&self.decoded, read.sampled.frames.len());
        let spent = u64::try_from(read.spent.as_nanos()).unwrap_or(u64::MAX);
        self.decoding_ns.fetch_add(spent, Ordering::Relaxed);
    }

    /// So many frames of an episode have been scored.
    pub fn scored(&self, frames: usize) {
        self.scored.fetch_add(frames as u64, Ordering::Relaxed);
    }

    /// Frames scored a second since the beginning.
    pub fn frames_per_second(&self) -> f64 {
        rate(self.scored.load(Ordering::Relaxed), self.begun.elapsed())
    }

    /// The table for people. A stage's frames are those that the model saw; its seconds are summed over the jobs.
    pub fn table(&self, jobs: usize) -> String {
        let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        let (decoding, elapsed) = (Duration::from_nanos(of(&self.decoding_ns)), self.begun.elapsed());
        let mut rows = vec![
            ("decode, every recorded frame", of(&self.recorded), decoding),
            ("decode, for each sampled frame", of(&self.decoded), decoding),
        ];
        let stages =
            [("process", Stage::Process), ("vision", Stage::Vision), ("language model", Stage::Language)];
        rows.extend(stages.map(|(name, stage)| (name, of(&self.scored), self.stages.spent(stage))));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:<32} {:>8} {:>10} {:>10}", "stage", "frames", "seconds", "frames/s");
        for (name, frames, spent) in rows {
            let (seconds, rate) = (spent.as_secs_f64(), rate(frames, spent));
            let _ = writeln!(text, "{name:<32} {frames:>8} {seconds:>10.2} {rate:>10.1}");
        }
        let (seconds, rate) = (elapsed.as_secs_f64(), self.frames_per_second());
        let name = format!("all, by the clock (--jobs {jobs})");
        let _ = writeln!(text, "{name:<32} {:>8} {seconds:>10.2} {rate:>10.1}", of(&self.scored));
        text
    }
}

fn rate(frames: u64, spent: Duration) -> f64 {
    if spent.is_zero() { 0.0 } else { frames as f64 / spent.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_line() {
        let timings = Timings::default();
        let sampled = Sampled { frames: Vec::new(), numbers: Vec::new(), recorded_s: vec![0.0; 60] };
        timings.decoded(&Read { sampled, spent: Duration::from_millis(500) });
        timings.scored(12);
        let table = timings.table(2);
        let line = |name: &str| -> Vec<String> {
            let line = table.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(line("decode, every recorded frame"), ["60", "0.50", "120.0"]);
        assert_eq!(line("vision"), ["12", "0.00", "0.0"]);
        assert_eq!(line("all, by the clock (--jobs 2)")[0], "12");
    }
}
