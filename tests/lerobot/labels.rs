//! From a dataset's frames to the file that LeRobot reads. It is left in the target folder's `tmp`, for
//! `tools/lerobot/check_labels.py`.

use std::time::Duration;

use topreward::model::LogProbs;
use topreward::model::scripted::ScriptedVlm;
use topreward::offline::labels::{
    EpisodeLabels, Normalisation, PROGRESS_NAME, ProgressFile, WEIGHTS_NAME, anchors, frame_progress,
};
use topreward::offline::recording::sample;
use topreward::offline::{Prefixes, Scoring, score_prefixes};
use topreward::reward::BiasControl;

use super::*;

/// Labels of every episode, from a model whose rewards are −4, −3, −2, … nats.
fn labels(name: &str, prefixes: Prefixes) -> ProgressFile {
    let model = ScriptedVlm::new(Duration::ZERO, |frames, _| {
        Ok(LogProbs { log_prob_true: frames as f64 - 5.0, log_prob_false: -1.0 })
    });
    let dataset = open(name);
    let label = |episode: &RecordedEpisode| {
        let sampled = sample(&*episode.footage, &episode.name, 5.0).unwrap();
        let lengths = prefixes.lengths(sampled.frames.len());
        let instructions = [episode.instruction.as_deref().unwrap()];
        let scoring = Scoring {
            instructions: &instructions,
            lengths: &lengths,
            cache: true,
            control: BiasControl::Off,
        };
        let curve = score_prefixes(&model, &sampled.frames, scoring, &mut || {}).unwrap().remove(0);
        let anchors = anchors(&lengths, &sampled.numbers, &curve);
        let rows = dataset.rows(episode.index).unwrap();
        let progress = frame_progress(&anchors, Normalisation::Episode, rows.len()).unwrap();
        EpisodeLabels { episode: episode.index, index: rows.index, progress }
    };
    let episodes = dataset.episodes(Some(FRONT), None).unwrap();
    ProgressFile::new("scripted", episodes.iter().map(label).collect()).unwrap()
}

#[test]
fn labels_are_the_same_from_every_version_and_become_weights() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(PROGRESS_NAME);
    let written = labels("v3.0-images", Prefixes::All);
    // Samples are frames 0, 2, 4, 6 of 8: the last frame has the last sample's progress.
    let thirds = [0.0, 1.0 / 6.0, 1.0 / 3.0, 0.5, 2.0 / 3.0, 5.0 / 6.0, 1.0, 1.0];
    for (found, wanted) in written.episodes[0].progress.iter().zip(thirds) {
        assert!((f64::from(*found) - wanted).abs() < 1e-6, "{:?}", written.episodes[0].progress);
    }
    assert_eq!(written.episodes[2].index, [15, 16, 17, 18, 19, 20]);
    written.write(&file, &[("prefixes", "all".to_owned())]).unwrap();
    assert_eq!(ProgressFile::read(&file).unwrap(), written);
    if ffmpeg() {
        for version in ["v2.1", "v3.0"] {
            assert_eq!(labels(version, Prefixes::All), written, "{version}");
        }
    }
    let run = common::topreward(&[Path::new("weights"), &file]);
    common::ended(&run, 0, &[]);
    let out = common::stdout(&run);
    assert!(out.contains("21 frames of 3 episodes") && out.contains("baseline"), "{out}");
    assert!(folder.join(WEIGHTS_NAME).is_file());
}

#[test]
fn with_fewer_anchors_the_lines_are_longer() {
    // Prefixes of 1 and of 4 samples, at frames 0 and 6.
    let two = labels("v3.0-images", Prefixes::Evenly(2));
    let wanted = [0.0, 1.0 / 6.0, 1.0 / 3.0, 0.5, 2.0 / 3.0, 5.0 / 6.0, 1.0, 1.0];
    for (found, wanted) in two.episodes[0].progress.iter().zip(wanted) {
        assert!((f64::from(*found) - wanted).abs() < 1e-6, "{:?}", two.episodes[0].progress);
    }
}

#[test]
fn labels_that_cannot_be_weighed_are_one_line() {
    common::refused(&common::topreward(&["weights", "/no/such.parquet"]), &["/no/such.parquet"]);
}
