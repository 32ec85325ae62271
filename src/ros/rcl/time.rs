//! Between ROS's two-part times and whole nanoseconds.

use std::time::Duration;

use r2r::builtin_interfaces::msg;

const NANOSECONDS: i64 = 1_000_000_000;

pub fn stamp_to_ns(stamp: &msg::Time) -> i64 {
    i64::from(stamp.sec) * NANOSECONDS + i64::from(stamp.nanosec)
}

/// The stamp nearest to `ns` that `builtin_interfaces/Time` can hold.
pub fn stamp_from_ns(ns: i64) -> msg::Time {
    let (sec, nanosec) = (ns.div_euclid(NANOSECONDS), ns.rem_euclid(NANOSECONDS));
    msg::Time { sec: sec.clamp(i32::MIN.into(), i32::MAX.into()) as i32, nanosec: nanosec as u32 }
}

pub fn duration_msg(duration: Duration) -> msg::Duration {
    msg::Duration {
        sec: i32::try_from(duration.as_secs()).unwrap_or(i32::MAX),
        nanosec: duration.subsec_nanos(),
    }
}

/// From seconds; what is no duration (below 0, not a number) becomes 0.
pub fn seconds_msg(seconds: f64) -> msg::Duration {
    duration_msg(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back_whole() {
        for ns in [0, 1, 999_999_999, 1_700_000_000_123_456_789, -1, -1_000_000_001] {
            assert_eq!(stamp_to_ns(&stamp_from_ns(ns)), ns);
        }
    }

    #[test]
    fn durations_keep_their_parts() {
        let message = seconds_msg(2.25);
        assert_eq!((message.sec, message.nanosec), (2, 250_000_000));
        assert_eq!(seconds_msg(-1.0).sec, 0);
        assert_eq!(seconds_msg(f64::NAN).sec, 0);
    }
}
