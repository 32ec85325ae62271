//! `topreward_progress.parquet` in the folder of results.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::offline::labels::{
    EpisodeLabels, Normalisation, PROGRESS_NAME, ProgressFile, anchors, frame_progress,
};
use crate::offline::recording::lerobot::Dataset;
use crate::offline::results::{EpisodeError, EpisodeResult, Input, RunSettings};

/// Writes the labels of every recorded frame. Frames are numbered as the dataset numbers them, or one episode behind the
/// other where there is none. Episodes that cannot be labelled are named.
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    folder: &Path,
    settings: &RunSettings,
    dataset: Option<&Dataset>,
    results: &[EpisodeResult],
) -> Result<Vec<EpisodeError>> {
    let (mut episodes, mut errors, mut behind) = (Vec::new(), Vec::new(), 0);
    for result in results {
        match labels(result, dataset, behind) {
            Ok(labels) => {
                behind += labels.index.len() as i64;
                episodes.push(labels);
            }
            Err(error) => {
                let reason = format!("no labels: {error:#}");
                errors.push(EpisodeError { position: None, name: result.name.clone(), reason });
            }
        }
    }
    let about = [
        ("normalisation", "episode".to_owned()),
        ("prefixes", settings.prefixes.clone()),
        ("sample_fps", settings.made_with.sample_fps.to_string()),
        ("bias_control", settings.bias_control.as_str().to_owned()),
        ("fingerprint", settings.made_with.fingerprint.clone()),
        ("dtype", settings.made_with.dtype.to_string()),
    ];
    ProgressFile::new(&settings.model, episodes)?.write(&folder.join(PROGRESS_NAME), &about)?;
    Ok(errors)
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
