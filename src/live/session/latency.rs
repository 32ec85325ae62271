use std::collections::VecDeque;
use std::time::Duration;

/// The newest latencies, for percentiles.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    newest: VecDeque<Duration>,
}

impl Latencies {
    /// At two scores a second, about four minutes.
    const KEPT: usize = 512;

    pub fn push(&mut self, latency: Duration) {
        if self.newest.len() == Self::KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back(latency);
    }

    /// The smallest latency that at least `share` (0 to 1) of the kept ones do not exceed; `None` without any.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.newest.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn percentiles_are_of_the_kept_ones() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(0.5), None);
        for i in (1..=100).rev() {
            latencies.push(ms(i));
        }
        assert_eq!(latencies.percentile(0.5), Some(ms(50)));
        assert_eq!(latencies.percentile(0.99), Some(ms(99)));
        assert_eq!(latencies.percentile(1.0), Some(ms(100)));
        assert_eq!(latencies.percentile(0.0), Some(ms(1)));
        for _ in 0..Latencies::KEPT {
            latencies.push(ms(7));
        }
        assert_eq!(latencies.percentile(1.0), Some(ms(7)));
    }
}
