//! The rows of an episode in a data file.

use std::path::Path;

use super::LeRobotError;
use super::episodes::EpisodeMeta;
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
        if let Some(row) = times_s.iter().position(|time_s| !time_s.is_finite() || time_s.abs() >= 1e9) {
            return Err(LeRobotError::NoTime { file: file(), episode, row });
        }
        let stamp_ns =
            times_s.into_iter().enumerate().map(|(frame, time_s)| stamp_ns(frame, time_s, fps)).collect();
        Ok(Self { index: table.integers("index", rows.clone())?, stamp_ns, start: rows.start })
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
    fn regular_times_lose_their_rounding_and_others_are_kept() {
        assert_eq!(stamp_ns(3, f64::from(0.3_f32), 10.0), 300_000_000);
        assert_eq!(stamp_ns(100_000, f64::from((100_000.0_f64 / 30.0) as f32), 30.0), 3_333_333_333_333);
        // A frame that came 20 ms late came late.
        assert_eq!(stamp_ns(3, 0.32, 10.0), 320_000_000);
    }
}
