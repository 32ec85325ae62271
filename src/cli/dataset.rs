//! What `eval` and `calibrate` do with a data set: read it, and score its episodes one by one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;

use super::{bar, one_line, say};
use crate::model::VideoVlm;
use crate::model::instruction::InstructionRule;
use crate::offline::evaluation::{Curves, LabelledEpisode, LineError, LineFault, Manifest};
use crate::offline::recording::{Footage, Pictures, RecordingError, Sampled, open_file, sample};
use crate::offline::{Prefixes, SampledFrame, Scoring, score_prefixes, score_still, still_curve};
use crate::reward::{BiasControl, Reading};

/// How the episodes of a data set are scored.
#[derive(Debug, Clone, Copy)]
pub struct Examination {
    pub sample_fps: f64,
    pub prefixes: Prefixes,
    pub cache: bool,
    /// Whether the first frame, repeated, is scored too.
    pub control: BiasControl,
    /// The least frames of that; 0: as many as the episode has.
    pub static_samples: usize,
    /// Whether successes are scored under a wrong instruction too.
    pub wrong: bool,
}

/// Reads a manifest and reports on stderr which of its lines cannot be used.
///
/// # Errors
/// No manifest, or no usable line in it.
pub fn read(dataset: &Path) -> Result<Manifest> {
    let manifest = Manifest::read(dataset)?;
    for error in &manifest.errors {
        say::error(&error);
    }
    let (file, bad) = (manifest.file.display(), manifest.errors.len());
    ensure!(!manifest.entries.is_empty(), "{file} lists no usable episode ({bad} cannot be used)");
    Ok(manifest)
}

/// Lets `examine` do its work on every episode; what fails is reported and collected with its file and line.
///
/// # Errors
/// None of the episodes could be used.
pub fn for_each<T>(
    manifest: &Manifest,
    examine: impl Fn(&LabelledEpisode) -> Result<T>,
) -> Result<(Vec<T>, Vec<LineError>)> {
    let bar = bar::bar("scoring", "episodes", manifest.entries.len());
    let (mut done, mut errors) = (Vec::new(), manifest.errors.clone());
    for entry in &manifest.entries {
        match examine(entry) {
            Ok(result) => done.push(result),
            Err(error) => {
                let error = manifest.error(entry.line, LineFault::Episode(one_line(&error)));
                report(&bar, &error);
                errors.push(error);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    errors.sort_by_key(|error| error.line);
    let (file, bad) = (manifest.file.display(), errors.len());
    ensure!(!done.is_empty(), "none of the {bad} episodes of {file} could be used");
    Ok((done, errors))
}

fn report(bar: &ProgressBar, error: &LineError) {
    bar.suspend(|| say::error(&error));
}

/// Where the frames of a labelled episode lie.
///
/// # Errors
/// They cannot be opened.
pub fn footage(entry: &LabelledEpisode) -> Result<Box<dyn Footage>, RecordingError> {
    match entry.fps {
        Some(fps) => Ok(Box::new(Pictures::open(&entry.path, fps)?)),
        None => open_file(&entry.path),
    }
}

/// The sampled frames of an episode.
///
/// # Errors
/// An episode that cannot be read, or whose `progress` is of another number of frames.
pub fn read_frames(entry: &LabelledEpisode, sample_fps: f64) -> Result<Sampled> {
    let footage = footage(entry)?;
    let sampled = sample(&*footage, &entry.name, sample_fps)?;
    if let Some(progress) = &entry.progress {
        let (labels, recorded) = (progress.len(), sampled.recorded_s.len());
        ensure!(labels == recorded, "\"progress\" has {labels} numbers for {recorded} recorded frames");
    }
    Ok(sampled)
}

/// All curves of an episode that are asked for.
///
/// # Errors
/// An instruction or a frame that the model refuses.
pub fn curves(
    model: &impl VideoVlm,
    entry: &LabelledEpisode,
    frames: &[SampledFrame],
    examination: &Examination,
) -> Result<Curves> {
    let rule = InstructionRule { model: Some(model.instruction_check()), ..InstructionRule::default() };
    let instruction = rule.accept(&entry.instruction)?;
    let wrong = match entry.wrong_instruction.as_deref().filter(|_| examination.wrong && entry.success) {
        Some(wrong) => Some(rule.accept(wrong).context("wrong_instruction")?),
        None => None,
    };
    let instructions: Vec<&str> = std::iter::once(&*instruction).chain(wrong.as_deref()).collect();
    let lengths = examination.prefixes.lengths(frames.len());
    let Examination { cache, control, .. } = *examination;
    let scoring = Scoring { instructions: &instructions, lengths: &lengths, cache, control };
    let mut curves = score_prefixes(model, frames, scoring, &mut || {})?.into_iter();
    let episode = curves.next().context("no curve")?;
    let still = match control {
        BiasControl::Off => None,
        BiasControl::Static => {
            let mut still = still_curve(&episode);
            let scoring = Scoring { instructions: &instructions[..1], ..scoring };
            still.extend(still_tail(model, frames, scoring, examination)?);
            Some(still)
        }
    };
    Ok(Curves { episode, still, wrong: curves.next() })
}

/// What the unchanged scene is given beyond the episode, up to [`Examination::static_samples`].
fn still_tail(
    model: &impl VideoVlm,
    frames: &[SampledFrame],
    scoring: Scoring<'_>,
    examination: &Examination,
) -> Result<Vec<Reading>> {
    let mut times_s: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
    let mut lengths = Vec::new();
    while let Some(last_s) = times_s.last().filter(|_| times_s.len() < examination.static_samples) {
        times_s.push(last_s + 1.0 / examination.sample_fps);
        lengths.push(times_s.len());
    }
    let Some(first) = frames.first().filter(|_| !lengths.is_empty()) else { return Ok(Vec::new()) };
    let scoring = Scoring { lengths: &lengths, ..scoring };
    let curves = score_still(model, first, &times_s, scoring).context("the first frame repeated")?;
    Ok(curves.into_iter().next().unwrap_or_default())
}
