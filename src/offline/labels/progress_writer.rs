use std::collections::BTreeMap;
use std::path::Path;

use super::LabelError;
use crate::offline::columns::{Column, GROUP, Writer};

pub(super) const VLM_NAME: &str = "vlm_name";

/// The labels of one episode.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeLabels {
    pub episode: u64,
    /// Each frame's number in the whole dataset ([`crate::offline::recording::lerobot::Rows::index`]). Shape: (frames,).
    pub index: Vec<i64>,
    /// 0 to 1. Shape: (frames,).
    pub progress: Vec<f32>,
}

/// Writes a [`super::ProgressFile`] episode by episode. In memory is one row group of it, some 30 MB.
pub struct ProgressWriter {
    writer: Writer,
    rows: Rows,
    numbers: Numbers,
    newest: Option<u64>,
}

/// What is not written yet.
#[derive(Default)]
struct Rows {
    index: Vec<i64>,
    episode: Vec<i64>,
    frame: Vec<i64>,
    progress: Vec<f32>,
}

impl ProgressWriter {
    /// Begins the file; `settings` are further entries of its metadata. The same labels make the same bytes.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn begin(
        file: &Path,
        vlm_name: Option<&str>,
        settings: &[(&str, String)],
    ) -> Result<Self, LabelError> {
        let name = vlm_name.map(|name| (VLM_NAME, name.to_owned()));
        let metadata: Vec<(&str, String)> = name.into_iter().chain(settings.iter().cloned()).collect();
        let writer = Writer::begin(file, &Rows::default().columns(usize::MAX), &metadata)?;
        Ok(Self { writer, rows: Rows::default(), numbers: Numbers::default(), newest: None })
    }

    /// Writes an episode, whose number is above that of the one before.
    ///
    /// # Errors
    /// Labels that do not fit the frames, an episode or a frame given twice, a disk that is full.
    pub fn add(&mut self, labels: &EpisodeLabels) -> Result<(), LabelError> {
        let EpisodeLabels { episode, index, progress } = labels;
        if self.newest.is_some_and(|newest| newest >= *episode) {
            return Err(LabelError::Twice(*episode));
        }
        if index.len() != progress.len() {
            return Err(LabelError::Length {
                episode: *episode,
                labels: progress.len(),
                frames: index.len(),
            });
        }
        self.numbers.take(labels)?;
        self.newest = Some(*episode);
        self.rows.index.extend(index);
        let number = i64::try_from(*episode).unwrap_or(i64::MAX);
        self.rows.episode.extend(std::iter::repeat_n(number, index.len()));
        self.rows.frame.extend((0_i64..).take(index.len()));
        self.rows.progress.extend(progress);
        while self.rows.index.len() >= GROUP {
            self.flush(GROUP)?;
        }
        Ok(())
    }

    /// # Errors
    /// What the file system refuses.
    pub fn finish(mut self) -> Result<(), LabelError> {
        let rest = self.rows.index.len();
        if rest > 0 {
            self.flush(rest)?;
        }
        Ok(self.writer.finish()?)
    }

    fn flush(&mut self, rows: usize) -> Result<(), LabelError> {
        self.writer.group(&self.rows.columns(rows))?;
        let Rows { index, episode, frame, progress } = &mut self.rows;
        [index, episode, frame].into_iter().for_each(|column| drop(column.drain(..rows)));
        progress.drain(..rows);
        Ok(())
    }
}

impl Rows {
    /// The first of them, at most so many.
    fn columns(&self, rows: usize) -> [(&'static str, Column<'_>); 4] {
        let rows = rows.min(self.index.len());
        [
            ("index", Column::I64(&self.index[..rows])),
            ("episode_index", Column::I64(&self.episode[..rows])),
            ("frame_index", Column::I64(&self.frame[..rows])),
            ("progress_sparse", Column::F32(&self.progress[..rows])),
        ]
    }
}

/// The numbers of frames in the whole dataset that are taken: the first of a row of them, the last, and whose they are. An
/// episode's are nearly always consecutive, so that this stays small.
#[derive(Default)]
pub(super) struct Numbers(BTreeMap<i64, (i64, u64)>);

impl Numbers {
    /// # Errors
    /// A number that is taken: labels and weights are looked up by it.
    pub(super) fn take(&mut self, labels: &EpisodeLabels) -> Result<(), LabelError> {
        let episode = labels.episode;
        for row in labels.index.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            let (Some(&first), Some(&last)) = (row.first(), row.last()) else { continue };
            // Rows that are taken do not meet: the last one that begins before our end is the only one to look at.
            if let Some((&start, &(end, other))) = self.0.range(..=last).next_back()
                && end >= first
            {
                return Err(LabelError::SameNumber { index: first.max(start), episodes: [other, episode] });
            }
            self.0.insert(first, (last, episode));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::columns::Table;

    fn labels(episode: u64, index: Vec<i64>) -> EpisodeLabels {
        let progress = index.iter().map(|index| (index % 100) as f32 / 100.0).collect();
        EpisodeLabels { episode, index, progress }
    }

    #[test]
    fn row_groups_have_their_size_however_long_the_episodes_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.parquet");
        let mut writer = ProgressWriter::begin(&file, Some("a/model"), &[]).unwrap();
        let frames = GROUP as i64 / 2 + 5;
        for episode in 0..3 {
            writer
                .add(&labels(episode, (0..frames).map(|frame| episode as i64 * frames + frame).collect()))
                .unwrap();
        }
        assert!(!file.exists());
        writer.finish().unwrap();
        let table = Table::open(&file).unwrap();
        let rows = 3 * frames as usize;
        assert_eq!((table.rows(), table.metadata(VLM_NAME)), (rows, Some("a/model")));
        // Across the end of the first group.
        let around = GROUP - 2..GROUP + 12;
        let expected: Vec<i64> = around.clone().map(|row| row as i64).collect();
        assert_eq!(table.integers("index", around.clone()).unwrap(), expected);
        let frame: Vec<i64> = expected.iter().map(|row| row % frames).collect();
        assert_eq!(table.integers("frame_index", around.clone()).unwrap(), frame);
        let episode: Vec<i64> = expected.iter().map(|row| row / frames).collect();
        assert_eq!(table.integers("episode_index", around).unwrap(), episode);
    }

    #[test]
    fn taken_numbers_are_found_wherever_they_lie() {
        let take = |second: Vec<i64>| {
            let mut numbers = Numbers::default();
            numbers.take(&labels(1, vec![10, 11, 12, 40, 41])).unwrap();
            let found = numbers.take(&labels(2, second)).err().map(|error| error.to_string());
            found.map(|text| text.split_whitespace().find_map(|word| word.parse::<i64>().ok()).unwrap())
        };
        assert_eq!(take(vec![13, 14, 39, 42, 9]), None);
        assert_eq!(take(vec![12, 13]), Some(12));
        assert_eq!(take(vec![39, 40]), Some(40));
        assert_eq!(take((0..100).collect()), Some(40));
        assert_eq!(take(vec![20, 11]), Some(11));
        assert_eq!(take(vec![7, 7]), Some(7));
    }
}
