//! `topreward inspect`: what a model, a calibration, a recording or a data set holds.

mod calibration;
mod datasets;
mod findings;
mod manifest;
mod model;
mod recognise;
mod recording;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use self::findings::Findings;
use self::recognise::Kind;
use crate::printable::escaped;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A model folder, a calibration file, a video, an animation, a folder of pictures, a bag, a LeRobot dataset, labels
    /// of one, or a labelled data set.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Frames a second of a folder of pictures.
    #[arg(long, value_name = "F")]
    fps: Option<f64>,
    /// Samples a second that would be taken of a recording.
    #[arg(long, value_name = "F", default_value_t = 2.0)]
    sample_fps: f64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &InspectArgs) -> Result<()> {
    let path = &args.path;
    let findings = find(args, Kind::recognise(path)?).with_context(|| path.display().to_string())?;
    if args.json {
        println!("{}", escaped(&format!("{:#}", findings.to_json(path))));
    } else {
        print!("{}", escaped(&findings.to_text(path)));
    }
    Ok(())
}

/// One line for each kind of thing: whoever adds one adds it here and in [`Kind::recognise`].
fn find(args: &InspectArgs, kind: Kind) -> Result<Findings> {
    let path: &Path = &args.path;
    match kind {
        Kind::Model => model::findings(path),
        Kind::Calibration => calibration::findings(path),
        Kind::Manifest => manifest::findings(path),
        Kind::Video => recording::video(path, args.sample_fps),
        Kind::Animation(animation) => recording::animation(&animation, args.sample_fps),
        Kind::Bag => datasets::bag(path),
        Kind::LeRobot => datasets::lerobot(path),
        Kind::Labels => datasets::labels(path),
        Kind::Pictures => recording::pictures(path, args.fps, args.sample_fps),
    }
}
