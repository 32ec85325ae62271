//! The rows of an episode in a data file.

use std::path::Path;

use super::LeRobotError;
use super::episodes::EpisodeMeta;
use crate::episode::{StampRule, YEAR_2000_NS, believed};
use crate::offline::columns::Table;

/// The frames of one episode as the data files count and time them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Each frame's number in the whole dataset.
    pub index: Vec<i64>,
    /// When each was taken, nanoseconds since the episode began.
    pub stamp_ns: Vec<i64>,
    /// The first frame's row in the file.
    pub(super) start: usize,
}

impl Rows {
    /// Frames of the episode.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether the episode has no frame.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(super) fn read(path: &Path, entry: &EpisodeMeta, fps: f64) -> Result<Self, LeRobotError> {
        let (table, episode) = (Table::open(path)?, entry.index);
        let file = || path.display().to_string();
        let rows = table.rows_with("episode_index", i64::try_from(episode).unwrap_or(i64::MAX))?;
        let number = i64::try_from(episode).unwrap_or(i64::MAX);
        if table.integers("episode_index", rows.clone())?.iter().any(|row| *row != number) {
            return Err(LeRobotError::Scattered { file: file(), episode });
        }
        if rows.len() as u64 != entry.length {
            let (found, expected) = (rows.len(), entry.length);
            return Err(LeRobotError::Length { file: file(), episode, found, expected });
        }
        let frames = table.integers("frame_index", rows.clone())?;
        if let Some((row, found)) = frames.iter().enumerate().find(|(row, frame)| **frame != *row as i64) {
            return Err(LeRobotError::Order { file: file(), episode, row, found: *found });
        }
        let times_s = table.numbers("timestamp", rows.clone())?;
        let stamp_ns = stamps_ns(&times_s, fps).map_err(|(row, fault)| {
            let (file, found) = (file(), times_s[row]);
            match fault {
                Fault::NoNumber => LeRobotError::NoTime { file, episode, row },
                Fault::NoSeconds => LeRobotError::NoSeconds { file, episode, row, found },
                Fault::Odd => LeRobotError::OddTime { file, episode, row, found },
                Fault::StandStill(still) => {
                    LeRobotError::StandStill { file, episode, still, rows: times_s.len(), found }
                }
            }
        })?;
        Ok(Self { index: table.integers("index", rows.clone())?, stamp_ns, start: rows.start })
    }
}

/// What is wrong with the times of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NoNumber,
    /// It may be milliseconds or nanoseconds since 1970.
    NoSeconds,
    /// It cannot follow on the one before it.
    Odd,
    /// So many are the same as the one before.
    StandStill(usize),
}

/// A time since 1970 in seconds, and one that is too late for that.
const YEAR_2000_S: f64 = YEAR_2000_NS as f64 / 1e9;
const YEAR_5000_S: f64 = 1e11;

/// The stamps of an episode's frames, nanoseconds since it began; or at which row its times are wrong. Times since 1970 are
/// told by their size.
fn stamps_ns(times_s: &[f64], fps: f64) -> Result<Vec<i64>, (usize, Fault)> {
    if let Some(row) = times_s.iter().position(|time_s| !time_s.is_finite()) {
        return Err((row, Fault::NoNumber));
    }
    if let Some(row) = times_s.iter().position(|time_s| time_s.abs() >= YEAR_5000_S) {
        return Err((row, Fault::NoSeconds));
    }
    let begin_s = times_s.first().copied().filter(|first_s| *first_s >= YEAR_2000_S).unwrap_or(0.0);
    let stamps: Vec<i64> =
        times_s.iter().enumerate().map(|(frame, time_s)| stamp_ns(frame, time_s - begin_s, fps)).collect();
    let still = stamps.windows(2).filter(|pair| pair[0] == pair[1]).count();
    if still * 2 > stamps.len() {
        return Err((stamps.len() - 1, Fault::StandStill(still)));
    }
    let frames = stamps.iter().map(|stamp_ns| (*stamp_ns, None));
    match believed(StampRule::default(), frames) {
        Ok(found) if found.left_out.is_empty() => Ok(stamps),
        Ok(found) => {
            let kept = found.kept.iter().enumerate();
            let odd = kept.take_while(|(row, kept)| row == *kept).count();
            Err((odd, Fault::Odd))
        }
        Err((row, _)) => Err((row, Fault::Odd)),
    }
}

/// The stamp of a frame. Times are kept in 32 bits, which bends those of a regular stream by up to a tenth of a
/// millisecond an hour; where they are meant to be regular, they are made so.
fn stamp_ns(frame: usize, time_s: f64, fps: f64) -> i64 {
    let regular_s = frame as f64 / fps;
    let meant_s = if (time_s - regular_s).abs() < 0.1 / fps { regular_s } else { time_s };
    (meant_s * 1e9).round() as i64
}

/// The number of the task of the episode's first frame.
pub(super) fn first_task(file: &Path, entry: &EpisodeMeta) -> Option<i64> {
    let table = Table::open(file).ok()?;
    let rows = table.rows_with("episode_index", i64::try_from(entry.index).ok()?).ok()?;
    let first = rows.start..rows.end.min(rows.start + 1);
    table.integers("task_index", first).ok()?.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_since_1970_are_times_since_the_first() {
        let epoch: Vec<f64> = (0..5).map(|frame| 1_760_000_000.1 + f64::from(frame) * 0.1).collect();
        let regular = vec![0, 100_000_000, 200_000_000, 300_000_000, 400_000_000];
        assert_eq!(stamps_ns(&epoch, 10.0), Ok(regular.clone()));
        assert_eq!(stamps_ns(&[0.0, 0.1, 0.2, 0.3, 0.4], 10.0), Ok(regular));
        // An episode that was cut out of a longer one keeps its times.
        assert_eq!(stamps_ns(&[5.0, 5.1], 10.0), Ok(vec![5_000_000_000, 5_100_000_000]));
    }

    #[test]
    fn times_that_cannot_be_are_refused() {
        assert_eq!(stamps_ns(&[0.0, f64::NAN], 10.0), Err((1, Fault::NoNumber)));
        assert_eq!(stamps_ns(&[1.76e12, 1.76e12 + 100.0], 10.0), Err((0, Fault::NoSeconds)));
        assert_eq!(stamps_ns(&[0.0; 8], 10.0), Err((7, Fault::StandStill(7))));
        // Seconds since 1970 in 32 bits, which are 128 s apart.
        let coarse: Vec<f64> =
            (0..8).map(|frame| f64::from((1.76e9 + f64::from(frame) * 0.1) as f32)).collect();
        assert_eq!(stamps_ns(&coarse, 10.0), Err((7, Fault::StandStill(7))));
        for odd in [1.76e9, -5.0, 0.15] {
            assert_eq!(stamps_ns(&[0.0, 0.1, 0.2, odd, 0.4, 0.5], 10.0), Err((3, Fault::Odd)), "{odd}");
        }
        assert_eq!(stamps_ns(&[0.0, 0.0, 0.2, 0.3], 10.0), Ok(vec![0, 0, 200_000_000, 300_000_000]));
    }

    #[test]
    fn regular_times_lose_their_rounding_and_others_are_kept() {
        assert_eq!(stamp_ns(3, f64::from(0.3_f32), 10.0), 300_000_000);
        assert_eq!(stamp_ns(100_000, f64::from((100_000.0_f64 / 30.0) as f32), 30.0), 3_333_333_333_333);
        // A frame that came 20 ms late came late.
        assert_eq!(stamp_ns(3, 0.32, 10.0), 320_000_000);
    }
}
