//! Which values an axis shows.

/// Thresholds are shown that lie no further from the curve than this many times its height: further away they would
/// make a line of it.
const REACH: f64 = 4.0;
/// Above and below the curve, as a share of the axis.
const AIR: f64 = 0.06;

/// The axis of rewards in nats, and whether the threshold lies on it.
pub(super) struct Nats {
    pub from: f64,
    pub to: f64,
    pub threshold: Place,
}

/// Where the threshold lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    Shown,
    Above,
    Below,
    /// It is NaN.
    Nowhere,
}

impl Nats {
    pub fn of(values: impl Iterator<Item = f64>, threshold: f64) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let bounds = finite.fold(None, |bounds, value| match bounds {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        });
        let known = threshold.is_finite();
        let (mut low, mut high) = bounds.unwrap_or(if known { (threshold, threshold) } else { (-1.0, 0.0) });
        // Less is an error of rounding, and no curve.
        let flat = high - low < 1e-6 * low.abs().max(high.abs()).max(1e-3);
        let away = (low - threshold).max(threshold - high);
        let place = match known {
            false => Place::Nowhere,
            true if flat || away <= REACH * (high - low) => Place::Shown,
            true if threshold > high => Place::Above,
            true => Place::Below,
        };
        if place == Place::Shown {
            (low, high) = (low.min(threshold), high.max(threshold));
        }
        let air = match AIR * (high - low) {
            air if air > 1e-7 * high.abs().max(1e-3) => air,
            _ => (0.1 * high.abs()).max(1e-3),
        };
        // A log-probability ends at 0, and so does its axis.
        let top = if high > 0.0 { high + air } else { (high + air).min(0.0) };
        Self { from: low - air, to: top, threshold: place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], threshold: f64) -> (f64, f64, Place) {
        let Nats { from, to, threshold } = Nats::of(values.iter().copied(), threshold);
        // To nine digits, against errors of rounding.
        let round = |value: f64| (value * 1e9).round() / 1e9;
        (round(from), round(to), threshold)
    }

    #[test]
    fn a_near_threshold_is_on_the_axis_and_a_far_one_is_not() {
        assert_eq!(of(&[-2.0, -0.5], -1.0), (-2.09, -0.41, Place::Shown));
        assert_eq!(of(&[-30.0, 0.0], -1.0), (-31.8, 0.0, Place::Shown));
        // 1 nat away from a curve that is 1.5 high: the axis grows by it.
        assert_eq!(of(&[-3.5, -2.0], -1.0), (-3.65, -0.85, Place::Shown));
        assert_eq!(of(&[-0.001, 0.0], -1.0), (-0.00106, 0.0, Place::Below));
        assert_eq!(of(&[-30.1, -30.0], -1.0), (-30.106, -29.994, Place::Above));
    }

    #[test]
    fn constant_rewards_have_an_axis_around_them() {
        assert_eq!(of(&[-2.0, -2.0], f64::NAN), (-2.2, -1.8, Place::Nowhere));
        assert_eq!(of(&[-2.0], -1.0), (-2.06, -0.94, Place::Shown));
        assert_eq!(of(&[-1.0], -1.0), (-1.1, -0.9, Place::Shown));
        assert_eq!(of(&[0.0, 0.0], 0.0), (-0.001, 0.0, Place::Shown));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(of(&[f64::NAN, -2.0, f64::NEG_INFINITY, -1.0], -1.5), (-2.06, -0.94, Place::Shown));
        assert_eq!(of(&[], f64::NAN), (-1.06, 0.0, Place::Nowhere));
        assert_eq!(of(&[], -1.0), (-1.1, -0.9, Place::Shown));
    }
}
