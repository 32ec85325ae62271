use super::{ClockStep, DropReason, Judgement, StampRule};

/// Picks the frames that the model sees: the one nearest to each of `t0, t0 + 1/rate, t0 + 2/rate, …`, by header
/// stamps alone, so a live stream, a bag and a file sampled at the same rate give the same frames.
///
/// The schedule is TOPReward's `round(k · raw_fps / sample_fps)` made causal: a frame is taken when the next one,
/// expected one frame interval later, would be farther from the due time. What was chosen never changes when more
/// frames arrive (the prefix cache depends on it). On an exact tie the earlier frame is taken. Which stamps are believed,
/// [`StampRule`] says.
#[derive(Debug, Clone)]
pub struct Sampler {
    period_ns: f64,
    rule: StampRule,
    state: Option<Started>,
    doubted_ns: Option<i64>,
}

#[derive(Debug, Clone)]
struct Started {
    first_ns: i64,
    newest_ns: i64,
    /// Index of the next sample that is due.
    next_index: u64,
}

/// What the sampler decided about one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The frame is a sample.
    Take,
    /// The frame lies between two samples.
    Skip,
    /// Its stamp cannot be used, for this reason.
    LeftOut(DropReason),
    /// The clock was set. The frame is the first of another time line, which the sampler begins after a reset.
    ClockStep(ClockStep),
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("sampling.rate_hz is {0}: it must be a number above 0 and at most 1000")]
pub struct SamplerError(pub f64);

impl Sampler {
    /// `rate_hz` is in samples per second of header time.
    pub fn new(rate_hz: f64) -> Result<Self, SamplerError> {
        if !(rate_hz > 0.0 && rate_hz <= 1000.0) {
            return Err(SamplerError(rate_hz));
        }
        let (rule, state) = (StampRule::default(), None);
        Ok(Self { period_ns: 1e9 / rate_hz, rule, state, doubted_ns: None })
    }

    /// The same sampler with another largest step between two stamps, seconds.
    #[must_use]
    pub fn with_max_step_s(self, max_step_s: f64) -> Self {
        Self { rule: StampRule::new(max_step_s), ..self }
    }

    /// Forgets the episode; the next frame is sample 0.
    pub fn reset(&mut self) {
        (self.state, self.doubted_ns) = (None, None);
        self.rule.reset();
    }

    /// The newest stamp that was believed.
    pub fn newest_ns(&self) -> Option<i64> {
        self.rule.newest_ns()
    }

    /// The stamp of the last frame before which more time has passed by the camera's clock than by the receiver's.
    pub fn doubted_ns(&self) -> Option<i64> {
        self.doubted_ns
    }

    /// Decides on the frame stamped `stamp_ns`, which was received at `received_ns` by a clock that nobody sets.
    pub fn admit(&mut self, stamp_ns: i64, received_ns: Option<i64>) -> Admission {
        match self.rule.judge(stamp_ns, received_ns) {
            Judgement::Good => {}
            Judgement::Doubtful => self.doubted_ns = Some(stamp_ns),
            Judgement::LeftOut(reason) => return Admission::LeftOut(reason),
            Judgement::ClockStep(step) => return Admission::ClockStep(step),
        }
        let Some(state) = &mut self.state else {
            self.state = Some(Started { first_ns: stamp_ns, newest_ns: stamp_ns, next_index: 1 });
            return Admission::Take;
        };
        // A gap in the stream says nothing about the next interval, hence the cap at one sample period.
        let interval_ns = (stamp_ns.saturating_sub(state.newest_ns) as f64).min(self.period_ns);
        state.newest_ns = stamp_ns;
        let elapsed_ns = stamp_ns.saturating_sub(state.first_ns) as f64;
        // Stamps are whole nanoseconds: without the slack, rounding decides exact ties.
        const SLACK_NS: f64 = 4.0;
        let reached = elapsed_ns + interval_ns / 2.0 + SLACK_NS;
        if reached < state.next_index as f64 * self.period_ns {
            return Admission::Skip;
        }
        // Samples that a gap swallowed are not made up for.
        state.next_index = (reached / self.period_ns).floor() as u64 + 1;
        Admission::Take
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate_hz: f64, stamps_ns: impl IntoIterator<Item = i64>) -> Vec<usize> {
        let mut sampler = Sampler::new(rate_hz).unwrap();
        stamps_ns
            .into_iter()
            .enumerate()
            .filter(|&(_, stamp)| sampler.admit(stamp, None) == Admission::Take)
            .map(|(index, _)| index)
            .collect()
    }

    fn stamps(fps: f64, frames: usize) -> impl Iterator<Item = i64> {
        (0..frames).map(move |i| 1_700_000_000_000_000_000 + (i as f64 / fps * 1e9).round() as i64)
    }

    #[test]
    fn equals_the_published_schedule_wherever_it_has_no_tie() {
        for fps in [10.0, 20.0, 24.0, 29.97, 30.0, 50.0, 60.0, 12.71] {
            let frames = 400;
            let expected: Vec<usize> = (0..)
                .map(|k| (k as f64 * fps / 2.0).round() as usize)
                .take_while(|&index| index < frames)
                .collect();
            assert_eq!(taken(2.0, stamps(fps, frames)), expected, "{fps} fps");
        }
    }

    #[test]
    fn a_tie_takes_the_earlier_frame() {
        // 15 fps at 2 Hz: due at frames 0, 7.5, 15, 22.5.
        assert_eq!(taken(2.0, stamps(15.0, 24)), [0, 7, 15, 22]);
    }

    #[test]
    fn a_camera_slower_than_the_rate_is_taken_whole() {
        assert_eq!(taken(10.0, stamps(4.0, 5)), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_later_frame_never_changes_an_earlier_choice() {
        let all: Vec<i64> = stamps(29.97, 200).map(|s| s + (s % 7_000_001) / 3).collect();
        let whole = taken(2.0, all.iter().copied());
        for cut in 0..all.len() {
            let prefix = taken(2.0, all[..cut].iter().copied());
            assert_eq!(prefix, whole.iter().copied().filter(|&i| i < cut).collect::<Vec<_>>());
        }
    }

    #[test]
    fn samples_swallowed_by_a_gap_are_not_made_up_for() {
        let s = |t: f64| (t * 1e9) as i64;
        // 10 fps, silent from 0.6 s to 3.1 s. 3.1 is nearest to 3.0, the next sample is due at 3.5.
        let stream = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6].map(s);
        assert_eq!(taken(2.0, stream), [0, 5, 7, 11]);
    }

    #[test]
    fn repeated_and_backward_stamps_are_named() {
        let mut sampler = Sampler::new(2.0).unwrap();
        assert_eq!(sampler.admit(5_000, None), Admission::Take);
        assert_eq!(sampler.admit(5_000, None), Admission::LeftOut(DropReason::Duplicate));
        assert_eq!(sampler.admit(4_000, None), Admission::LeftOut(DropReason::OutOfOrder));
        assert_eq!(sampler.admit(6_000, None), Admission::Skip);
        sampler.reset();
        assert_eq!(sampler.admit(4_000, None), Admission::Take);
    }

    #[test]
    fn a_rate_that_is_no_rate_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Sampler::new(bad).is_err(), "{bad}");
        }
    }
}
