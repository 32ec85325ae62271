//! From a stream's time stamps to those of frames.
//!
//! A frame's stamp is its presentation time since the first frame, to the nanosecond. Containers round: Matroska to
//! whole milliseconds, so that 30 frames a second come as 0, 33, 67, 100 ms, and a sample due exactly between two frames
//! would fall to the wrong one. Hence a time that lies less than one tick of the container's clock from a place on the
//! grid of the stream's base rate is taken to be that place. No stamp moves by as much as the clock can tell apart; a
//! frame that is off the grid, as variable rates are, stays where it is.

use super::rational::Rational;

/// Stamps the frames of one stream in the order in which they are shown.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Frames a second.
    rate: Rational,
    /// Whether the stream has no times of its own.
    counted: bool,
    /// Time of the first frame, in ticks, and the tick.
    first: Option<(i64, Rational)>,
    last_place: Option<i128>,
    last_ns: Option<i64>,
    /// Frames so far.
    stamped: usize,
    /// Frames so far whose time was missing or not after the one before.
    pub untimed: usize,
}

impl Clock {
    /// `counted`: the stream has no times, frame n is at n / rate.
    pub fn new(rate: Rational, counted: bool) -> Self {
        Self { rate, counted, first: None, last_place: None, last_ns: None, stamped: 0, untimed: 0 }
    }

    /// The stamp of the next frame, nanoseconds since the first. `pts` is in units of `tick` seconds. A frame without a
    /// usable time comes one frame interval after the one before it.
    pub fn stamp(&mut self, pts: Option<i64>, tick: Rational) -> i64 {
        let number = self.stamped;
        self.stamped += 1;
        let time_ns = match pts {
            _ if self.counted => Some(self.grid_ns(number as i128)),
            Some(pts) => Some(self.time_ns(pts, tick)),
            None => None,
        };
        let stamp_ns = match (time_ns, self.last_ns) {
            (Some(time_ns), None) => time_ns,
            (Some(time_ns), Some(last_ns)) if time_ns > last_ns => time_ns,
            (_, last_ns) => {
                self.untimed += 1;
                last_ns.map_or(0, |last_ns| last_ns.saturating_add(self.grid_ns(1).max(1)))
            }
        };
        self.last_ns = Some(stamp_ns);
        stamp_ns
    }

    fn time_ns(&mut self, pts: i64, tick: Rational) -> i64 {
        let (first, tick) = *self.first.get_or_insert((pts, tick));
        let ticks = i128::from(pts) - i128::from(first);
        // ticks · tick · rate, in whole frames and what is over.
        let (over, under) =
            (i128::from(tick.num) * i128::from(self.rate.num), tick.under() * self.rate.under());
        let place = nearest(ticks.saturating_mul(over), under);
        let off = (ticks.saturating_mul(over)).saturating_sub(place.saturating_mul(under)).abs();
        // On a grid as fine as the clock every time would lie near a place.
        let coarse = under >= over.saturating_mul(2);
        if coarse && off < over && self.last_place.is_none_or(|last| place > last) {
            self.last_place = Some(place);
            return self.grid_ns(place);
        }
        let ns = nearest(ticks.saturating_mul(i128::from(tick.num) * 1_000_000_000), tick.under());
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// When frame `place` of a stream of constant rate is shown.
    fn grid_ns(&self, place: i128) -> i64 {
        let ns = nearest(place.saturating_mul(self.rate.under() * 1_000_000_000), i128::from(self.rate.num));
        i64::try_from(ns).unwrap_or(i64::MAX)
    }
}

/// over / under, to the nearest whole number.
fn nearest(over: i128, under: i128) -> i128 {
    (over.saturating_mul(2).saturating_add(under)).div_euclid(under.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::{Admission, Sampler};

    const MILLISECOND: Rational = Rational { num: 1, den: 1000 };

    fn stamps(rate: (i64, i64), tick: Rational, pts: impl IntoIterator<Item = Option<i64>>) -> Vec<i64> {
        let mut clock = Clock::new(Rational { num: rate.0, den: rate.1 }, false);
        pts.into_iter().map(|pts| clock.stamp(pts, tick)).collect()
    }

    fn taken(rate_hz: f64, stamps: &[i64]) -> Vec<usize> {
        let mut sampler = Sampler::new(rate_hz).unwrap();
        (0..stamps.len()).filter(|&i| sampler.admit(stamps[i], None) == Admission::Take).collect()
    }

    #[test]
    fn milliseconds_of_a_constant_rate_are_the_rate() {
        let rounded = [1033, 1067, 1100, 1133, 1167].map(Some);
        assert_eq!(
            stamps((30, 1), MILLISECOND, rounded),
            [0, 33_333_333, 66_666_667, 100_000_000, 133_333_333]
        );
    }

    #[test]
    fn a_rounded_file_samples_the_frames_of_the_exact_rate() {
        for (num, den) in [(30, 1), (15, 1), (30_000, 1001), (60, 1), (24, 1), (25, 1), (7, 1), (50, 1)] {
            let exact = |i: i64| (i as f64 * den as f64 / num as f64 * 1e9).round() as i64;
            let ideal: Vec<i64> = (0..900).map(exact).collect();
            for (tick_hz, half) in [(1000, 1), (1000, 0), (90_000, 1), (600, 1)] {
                // To the nearest tick, or to the one before.
                let ticks = |i: i64| (2 * i * den * tick_hz + half * num) / (2 * num);
                let tick = Rational { num: 1, den: tick_hz };
                let stamped = stamps((num, den), tick, (0..900).map(|i| Some(ticks(i))));
                for rate_hz in [1.0, 2.0, 3.0, 4.0, 7.5, 10.0] {
                    let (found, expected) = (taken(rate_hz, &stamped), taken(rate_hz, &ideal));
                    assert_eq!(found, expected, "{num}/{den} in ticks of 1/{tick_hz} s at {rate_hz} Hz");
                }
            }
        }
        // Without the grid, 30 a second in milliseconds loses its ties: frame 7 of 7.5.
        let raw: Vec<i64> = (0..30).map(|i| (2000 * i + 30) / 60 * 1_000_000).collect();
        assert_eq!(taken(4.0, &raw)[1], 8);
    }

    #[test]
    fn what_is_off_the_grid_stays_where_it_is() {
        // 5 ms late, then 3 ms early: no frame of 30 a second.
        let pts = [0, 38, 64, 100].map(Some);
        assert_eq!(stamps((30, 1), MILLISECOND, pts), [0, 38_000_000, 64_000_000, 100_000_000]);
        // Frames left out of 1/90000: places 0, 1, 4.
        let ninety = Rational { num: 1, den: 90_000 };
        assert_eq!(stamps((60, 1), ninety, [-3000, -1500, 3000].map(Some)), [0, 16_666_667, 66_666_667]);
    }

    #[test]
    fn frames_without_a_time_follow_at_the_rate() {
        let pts = [Some(0), None, Some(500), Some(400), Some(900)];
        let mut clock = Clock::new(Rational { num: 4, den: 1 }, false);
        let found: Vec<i64> = pts.into_iter().map(|pts| clock.stamp(pts, MILLISECOND)).collect();
        assert_eq!(found, [0, 250, 500, 750, 900].map(|ms| ms * 1_000_000));
        assert_eq!(clock.untimed, 2);
        let mut counted = Clock::new(Rational { num: 4, den: 1 }, true);
        let found: Vec<i64> = [Some(7), Some(7), None].map(|pts| counted.stamp(pts, MILLISECOND)).to_vec();
        assert_eq!((found, counted.untimed), (vec![0, 250_000_000, 500_000_000], 0));
    }

    #[test]
    fn no_time_stamp_overflows() {
        let pts = [i64::MIN, -1, i64::MAX].map(Some);
        for tick in [Rational { num: i32::MAX.into(), den: 1 }, Rational { num: 1, den: i32::MAX.into() }] {
            let found = stamps((30, 1), tick, pts);
            assert!(found.is_sorted(), "{found:?}");
        }
    }
}
