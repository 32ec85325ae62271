//! The node's own clock, by which frames are received and durations pass: steady, or /clock under `use_sim_time`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use r2r::Clock;

/// How often a simulation is asked for its time while something waits.
const LOOKED_AT: Duration = Duration::from_millis(50);

/// Cheap to clone; all clones go together.
#[derive(Clone)]
pub struct NodeClock {
    started: Instant,
    /// The time since 1970 when it was started, nanoseconds.
    started_ns: i64,
    simulated: Option<Simulated>,
}

#[derive(Clone)]
struct Simulated {
    clock: Arc<Mutex<Clock>>,
    passed: Arc<Mutex<Passed>>,
}

impl NodeClock {
    pub fn steady() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_ns: nanoseconds(since_1970), simulated: None }
    }

    /// Goes by /clock, of which steps back, and forward by more than `max_step_s`, count as no time.
    pub fn simulated(clock: Arc<Mutex<Clock>>, max_step_s: f64) -> Self {
        let passed = Arc::new(Mutex::new(Passed::new((max_step_s * 1e9) as i64)));
        Self { simulated: Some(Simulated { clock, passed }), ..Self::steady() }
    }

    /// What has passed since the start, nanoseconds; it never goes back.
    pub fn elapsed_ns(&self) -> i64 {
        match &self.simulated {
            None => nanoseconds(self.started.elapsed()),
            Some(Simulated { clock, passed }) => {
                let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
                passed.read(now_ns(clock))
            }
        }
    }

    /// The time for a header: since 1970, or of the simulation; nanoseconds. Nobody sets it while the node runs.
    pub fn stamp_ns(&self) -> i64 {
        match &self.simulated {
            None => self.started_ns.saturating_add(self.elapsed_ns()),
            Some(Simulated { clock, .. }) => now_ns(clock),
        }
    }

    /// Whether it waits for a /clock that nobody publishes.
    pub fn is_silent(&self) -> bool {
        self.simulated.is_some() && self.stamp_ns() == 0
    }

    /// Waits until so much time has passed.
    pub async fn sleep(&self, duration: Duration) {
        let until_ns = self.elapsed_ns().saturating_add(nanoseconds(duration));
        loop {
            let left_ns = until_ns.saturating_sub(self.elapsed_ns());
            let Ok(left_ns @ 1..) = u64::try_from(left_ns) else { return };
            let left = Duration::from_nanos(left_ns);
            tokio::time::sleep(if self.simulated.is_some() { left.min(LOOKED_AT) } else { left }).await;
        }
    }
}

fn now_ns(clock: &Mutex<Clock>) -> i64 {
    let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
    nanoseconds(clock.get_now().unwrap_or_default())
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Adds up what passes by a clock that may be set.
struct Passed {
    max_step_ns: i64,
    newest_ns: Option<i64>,
    sum_ns: i64,
}

impl Passed {
    fn new(max_step_ns: i64) -> Self {
        Self { max_step_ns, newest_ns: None, sum_ns: 0 }
    }

    /// The clock shows this now. Returns what has passed in all.
    fn read(&mut self, now_ns: i64) -> i64 {
        let step_ns = self.newest_ns.replace(now_ns).map_or(0, |before_ns| now_ns.saturating_sub(before_ns));
        if (0..=self.max_step_ns).contains(&step_ns) {
            self.sum_ns = self.sum_ns.saturating_add(step_ns);
        }
        self.sum_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_lets_no_time_pass() {
        let mut passed = Passed::new(2_000);
        // Nobody published yet, then a simulation that has run for long, a pause, a restart and a jump.
        let shown = [0, 0, 90_000, 91_000, 93_000, 93_000, 100, 600, 50_000, 50_010];
        let found = shown.map(|now_ns| passed.read(now_ns));
        assert_eq!(found, [0, 0, 0, 1_000, 3_000, 3_000, 3_000, 3_500, 3_500, 3_510]);
    }

    #[tokio::test]
    async fn a_steady_clock_goes_on() {
        let clock = NodeClock::steady();
        let (before_ns, stamp_ns) = (clock.elapsed_ns(), clock.stamp_ns());
        clock.sleep(Duration::from_millis(5)).await;
        assert!(
            clock.elapsed_ns() >= before_ns + 5_000_000 && clock.stamp_ns() > stamp_ns && !clock.is_silent()
        );
    }
}
