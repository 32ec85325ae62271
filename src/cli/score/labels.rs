//! `topreward_progress.parquet` in the folder of results.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::offline::labels::{
    EpisodeLabels, Normalisation, PROGRESS_NAME, ProgressWriter, anchors, frame_progress,
};
use crate::offline::recording::lerobot::Dataset;
use crate::offline::results::{EpisodeError, EpisodeResult, Input, Store};

/// The labels of every recorded frame, while they are written. Frames are numbered as the dataset numbers them, or one
/// episode behind the other where there is none.
pub struct Labels {
    writer: ProgressWriter,
    dataset: Option<Dataset>,
    behind: i64,
    errors: Vec<EpisodeError>,
}

impl Labels {
    /// # Errors
    /// A file that cannot be written.
    pub fn begin(store: &Store, dataset: Option<Dataset>) -> Result<Self> {
        let settings = &store.run().settings;
        let about = [
            ("normalisation", "episode".to_owned()),
            ("prefixes", settings.prefixes.clone()),
            ("sample_fps", settings.made_with.sample_fps.to_string()),
            ("bias_control", settings.bias_control.as_str().to_owned()),
            ("fingerprint", settings.made_with.fingerprint.clone()),
            ("dtype", settings.made_with.dtype.to_string()),
        ];
        let file = store.folder().join(PROGRESS_NAME);
        let writer = ProgressWriter::begin(&file, Some(&settings.model), &about)?;
        Ok(Self { writer, dataset, behind: 0, errors: Vec::new() })
    }

    /// Writes those of an episode, the one with the next index.
    ///
    /// # Errors
    /// A file that cannot be written. An episode that cannot be labelled is left out, and named at the end.
    pub fn add(&mut self, result: &EpisodeResult) -> Result<()> {
        match labels(result, self.dataset.as_ref(), self.behind) {
            Ok(labels) => {
                self.behind += labels.index.len() as i64;
                self.writer.add(&labels)?;
            }
            Err(error) => {
                let reason = format!("no labels: {error:#}");
                self.errors.push(EpisodeError { position: None, name: result.name.clone(), reason });
            }
        }
        Ok(())
    }

    /// Puts the file in its place. Returns what could not be labelled.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<Vec<EpisodeError>> {
        self.writer.finish()?;
        Ok(self.errors)
    }
}

fn labels(result: &EpisodeResult, dataset: Option<&Dataset>, behind: i64) -> Result<EpisodeLabels> {
    let frames = result.recorded_s.len();
    let lengths: Vec<usize> = result.prefixes.iter().map(|prefix| prefix.frames).collect();
    let anchors = anchors(&lengths, &result.sampled, &result.readings());
    let progress = frame_progress(&anchors, Normalisation::Episode, frames)?;
    let index = match dataset {
        Some(dataset) => dataset.rows(result.index)?.index,
        None => (behind..).take(frames).collect(),
    };
    let rows = index.len();
    ensure!(rows == frames, "the data has {rows} rows of it, and {frames} frames were scored");
    Ok(EpisodeLabels { episode: result.index, index, progress })
}

/// The LeRobot dataset that results are of; none if they are of something else.
///
/// # Errors
/// It is not where it was.
pub fn dataset_of(input: &Input) -> Result<Option<Dataset>> {
    let open = || Dataset::open(Path::new(&input.source));
    let dataset = input.lerobot.then(open).transpose();
    dataset.with_context(|| format!("the labels need the dataset {} itself", input.source))
}
