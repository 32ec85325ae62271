use std::collections::BTreeMap;
use std::path::Path;

use super::LabelError;
use super::progress_writer::{EpisodeLabels, Numbers, ProgressWriter, VLM_NAME};
use crate::offline::columns::{Column, Table, write};

/// The name under which LeRobot's tools look for TOPReward's labels, in the dataset's folder.
pub const PROGRESS_NAME: &str = "topreward_progress.parquet";

/// The labels of a dataset, as LeRobot reads them: a row for each frame with `index` (i64), `episode_index` (i64),
/// `frame_index` (i64) and `progress_sparse` (f32), and the model's name in the file's metadata as `vlm_name`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressFile {
    pub vlm_name: Option<String>,
    /// In the order of their numbers.
    pub episodes: Vec<EpisodeLabels>,
}

impl ProgressFile {
    /// Sorts the episodes.
    ///
    /// # Errors
    /// Labels that do not fit the frames, or an episode given twice.
    pub fn new(vlm_name: &str, mut episodes: Vec<EpisodeLabels>) -> Result<Self, LabelError> {
        episodes.sort_by_key(|labels| labels.episode);
        if let Some(pair) = episodes.windows(2).find(|pair| pair[0].episode == pair[1].episode) {
            return Err(LabelError::Twice(pair[0].episode));
        }
        if let Some(wrong) = episodes.iter().find(|labels| labels.index.len() != labels.progress.len()) {
            let (labels, frames) = (wrong.progress.len(), wrong.index.len());
            return Err(LabelError::Length { episode: wrong.episode, labels, frames });
        }
        check_numbers(&episodes)?;
        Ok(Self { vlm_name: Some(vlm_name.to_owned()), episodes })
    }

    /// Writes the file; `settings` are further entries of its metadata. The same labels make the same bytes.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(&self, file: &Path, settings: &[(&str, String)]) -> Result<(), LabelError> {
        let name = self.vlm_name.as_deref();
        let mut writer = ProgressWriter::begin(file, name, settings)?;
        self.episodes.iter().try_for_each(|labels| writer.add(labels))?;
        writer.finish()
    }

    /// Reads a file of this program's or of LeRobot's labelling; rows may stand in any order.
    ///
    /// # Errors
    /// A missing column, an episode that is not there whole, a progress of NaN.
    pub fn read(path: &Path) -> Result<Self, LabelError> {
        let table = Table::open(path)?;
        let rows = 0..table.rows();
        let index = table.integers("index", rows.clone())?;
        let episode = table.integers("episode_index", rows.clone())?;
        let frame = table.integers("frame_index", rows.clone())?;
        let progress = table.numbers("progress_sparse", rows)?;
        let mut episodes: BTreeMap<i64, Vec<(i64, i64, f32)>> = BTreeMap::new();
        for (row, episode) in episode.into_iter().enumerate() {
            let frames = episodes.entry(episode).or_default();
            frames.push((frame[row], index[row], progress[row] as f32));
        }
        let shown = || path.display().to_string();
        if episodes.is_empty() {
            return Err(LabelError::NoRows(shown()));
        }
        let whole = |(episode, frames)| whole(shown, episode, frames);
        let episodes = episodes.into_iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        check_numbers(&episodes)?;
        Ok(Self { vlm_name: table.metadata(VLM_NAME).map(str::to_owned), episodes })
    }
}

/// Whether no two frames have the same number in the dataset: labels and weights are looked up by it.
fn check_numbers(episodes: &[EpisodeLabels]) -> Result<(), LabelError> {
    let mut numbers = Numbers::default();
    episodes.iter().try_for_each(|labels| numbers.take(labels))
}

fn whole(
    file: impl Fn() -> String,
    episode: i64,
    mut frames: Vec<(i64, i64, f32)>,
) -> Result<EpisodeLabels, LabelError> {
    frames.sort_by_key(|(frame, ..)| *frame);
    if let Some(frame) = frames.iter().enumerate().position(|(place, row)| row.0 != place as i64) {
        return Err(LabelError::Frames { file: file(), episode, frame });
    }
    if let Some(frame) = frames.iter().position(|(.., progress)| !progress.is_finite()) {
        return Err(LabelError::NoNumber { file: file(), episode, frame });
    }
    let (index, progress) = frames.into_iter().map(|(_, index, progress)| (index, progress)).unzip();
    let number =
        u64::try_from(episode).map_err(|_| LabelError::Frames { file: file(), episode, frame: 0 })?;
    Ok(EpisodeLabels { episode: number, index, progress })
}

/// Writes the three columns that name a frame, and one of values; all at once.
pub(super) fn write_rows(
    file: &Path,
    episodes: &[EpisodeLabels],
    (name, values): (&str, &[f32]),
    metadata: &[(&str, String)],
) -> Result<(), LabelError> {
    let index: Vec<i64> = episodes.iter().flat_map(|labels| labels.index.iter().copied()).collect();
    let of = |labels: &EpisodeLabels| i64::try_from(labels.episode).unwrap_or(i64::MAX);
    let episode: Vec<i64> =
        episodes.iter().flat_map(|labels| std::iter::repeat_n(of(labels), labels.index.len())).collect();
    let frame: Vec<i64> = episodes.iter().flat_map(|labels| (0..).take(labels.index.len())).collect();
    let columns = [
        ("index", Column::I64(&index)),
        ("episode_index", Column::I64(&episode)),
        ("frame_index", Column::I64(&frame)),
        (name, Column::F32(values)),
    ];
    Ok(write(file, &columns, metadata)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(episode: u64, index: i64, progress: &[f32]) -> EpisodeLabels {
        let index = (index..).take(progress.len()).collect();
        EpisodeLabels { episode, index, progress: progress.to_vec() }
    }

    #[test]
    fn labels_are_read_as_they_were_written_and_make_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.parquet"), folder.path().join("2.parquet"));
        let (zero, seven) = (labels(0, 0, &[0.0, 0.5, 1.0]), labels(7, 40, &[0.25, 0.75]));
        let settings = [("prefixes", "15".to_owned())];
        let file = ProgressFile::new("Qwen/Qwen3-VL-8B-Instruct", vec![seven.clone(), zero.clone()]).unwrap();
        file.write(&one, &settings).unwrap();
        let read = ProgressFile::read(&one).unwrap();
        assert_eq!(read.vlm_name.as_deref(), Some("Qwen/Qwen3-VL-8B-Instruct"));
        assert_eq!(read.episodes, [zero.clone(), seven.clone()]);
        assert_eq!(Table::open(&one).unwrap().metadata("prefixes"), Some("15"));
        let again = ProgressFile::new("Qwen/Qwen3-VL-8B-Instruct", vec![zero, seven]).unwrap();
        again.write(&two, &settings).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "no part files: {left:?}");
    }

    #[test]
    fn rows_in_any_order_are_put_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.parquet");
        let write_frames = |episode: &[i64], frame: &[i64], progress: &[f32]| {
            let index: Vec<i64> =
                frame.iter().zip(episode).map(|(frame, episode)| frame + 10 * episode).collect();
            let columns = [
                ("index", Column::I64(&index)),
                ("episode_index", Column::I64(episode)),
                ("frame_index", Column::I64(frame)),
                ("progress_sparse", Column::F32(progress)),
            ];
            write(&file, &columns, &[]).unwrap();
            ProgressFile::read(&file)
        };
        let read = write_frames(&[1, 0, 1], &[1, 0, 0], &[0.5, 0.0, 0.25]).unwrap();
        assert_eq!(read.vlm_name, None);
        assert_eq!(read.episodes[1].index, [10, 11]);
        assert_eq!(read.episodes[1].progress, [0.25, 0.5]);
        let gap = write_frames(&[0, 0], &[0, 2], &[0.0, 1.0]).unwrap_err().to_string();
        assert!(gap.contains("p.parquet") && gap.contains("no frame 1"), "{gap}");
        let none = write_frames(&[0], &[0], &[f32::NAN]).unwrap_err().to_string();
        assert!(none.contains("frame 0 of episode 0"), "{none}");
        assert!(write_frames(&[], &[], &[]).unwrap_err().to_string().contains("no rows"));
    }

    #[test]
    fn two_frames_of_one_number_are_refused() {
        let [a, b] = [labels(0, 10, &[0.0, 1.0]), labels(3, 11, &[0.0, 1.0])];
        let error = ProgressFile::new("", vec![b, a]).unwrap_err().to_string();
        assert!(error.contains("11") && error.contains("episodes 0 and 3"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.parquet");
        let columns = [
            ("index", Column::I64(&[5, 5])),
            ("episode_index", Column::I64(&[0, 0])),
            ("frame_index", Column::I64(&[0, 1])),
            ("progress_sparse", Column::F32(&[0.0, 1.0])),
        ];
        write(&file, &columns, &[]).unwrap();
        let error = ProgressFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("number 5"), "{error}");
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let twice = ProgressFile::new("", vec![labels(3, 0, &[0.0]), labels(3, 1, &[0.0])]).unwrap_err();
        assert!(twice.to_string().contains("episode 3"), "{twice}");
        let mut short = labels(2, 0, &[0.0, 1.0]);
        short.progress.pop();
        let message = ProgressFile::new("", vec![short]).unwrap_err().to_string();
        assert!(message.contains("1 labels for 2 frames"), "{message}");
    }
}
