use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a model does with a frame, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Resize, normalise, cut into patches.
    Process,
    /// Patches to tokens.
    Vision,
    /// Tokens into the cache, and the question behind it.
    Language,
}

/// Sums up how long each stage takes, over all threads that use a model.
#[derive(Debug, Default)]
pub struct StageClock {
    nanoseconds: [AtomicU64; 3],
}

impl StageClock {
    pub(super) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        let spent = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(spent, Ordering::Relaxed);
        done
    }

    /// How long the stage has taken so far.
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.nanoseconds[stage as usize].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_own_sum() {
        let clock = StageClock::default();
        let nap = Duration::from_millis(5);
        for _ in 0..2 {
            assert_eq!(clock.time(Stage::Vision, || std::thread::sleep(nap)), ());
        }
        assert!(clock.spent(Stage::Vision) >= nap * 2);
        assert_eq!(clock.spent(Stage::Process), Duration::ZERO);
        assert_eq!(clock.time(Stage::Language, || 7), 7);
    }
}
