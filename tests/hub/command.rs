//! `topreward score --model owner/name`, run as a person runs it.

use std::process::{Command, Output};
use std::time::Instant;

use super::common::{json as report, refused};
use super::*;

/// The command with nothing of this machine's settings but what is given.
fn command(lab: &Lab, model: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = common::command();
    command.env_clear().env("HF_ENDPOINT", &lab.hub.endpoint).env("HF_HOME", lab.home.path());
    command.envs(variables.iter().copied());
    command.current_dir(lab.home.path());
    command.args(["score", "--json", "--fps", "2", "--prefixes", "2", "--instruction", "lift the cube"]);
    command.args(["--model", model]);
    command
}

fn with_frames(lab: &Lab, model: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = command(lab, model, variables);
    command.arg("--frames").arg(golden("frames/aligned"));
    command
}

fn run(lab: &Lab, model: &str, variables: &[(&str, &str)]) -> Output {
    with_frames(lab, model, variables).output().unwrap()
}

#[test]
fn an_id_is_fetched_scored_and_kept() {
    let lab = Lab::new();
    let fetched = report(&run(&lab, ID, &[]));
    let folder = report(&run(&lab, golden("tied").to_str().unwrap(), &[]));
    assert_eq!(fetched["model"], ID);
    assert_eq!(fetched["prefixes"], folder["prefixes"]);
    assert!(lab.home.path().join("hub/models--lab--tiny/snapshots").join(COMMIT).join(WEIGHTS).exists());
    lab.hub.take_seen();
    let offline = report(&run(&lab, ID, &[("HF_HUB_OFFLINE", "1")]));
    assert_eq!(offline["prefixes"], folder["prefixes"]);
    assert!(lab.hub.take_seen().is_empty());
    let elsewhere = tempfile::tempdir().unwrap();
    let cache = elsewhere.path().to_str().unwrap();
    report(&run(&lab, "lab/tiny@v1", &[("HF_HUB_CACHE", cache)]));
    assert!(elsewhere.path().join("models--lab--tiny/refs/v1").exists());
}

#[test]
fn what_goes_wrong_is_one_line() {
    let lab = Lab::new();
    refused(&run(&lab, ID, &[("HF_HUB_OFFLINE", "1")]), &["HF_HUB_OFFLINE", "lacks everything"]);
    refused(&run(&lab, "lab/other", &[]), &["no model lab/other"]);
    refused(&run(&lab, "no_such_folder", &[]), &["no_such_folder", "folder", "owner/name"]);
    refused(&run(&lab, "./no/folder", &[]), &["./no/folder", "no such folder"]);
    refused(&run(&lab, ID, &[("HF_ENDPOINT", "mirror")]), &["HF_ENDPOINT", "mirror"]);
    lab.hub.mishaps(Mishaps { corrupt: Some(WEIGHTS), ..Mishaps::default() });
    refused(&run(&lab, ID, &[]), &[WEIGHTS, "damaged"]);
    // An episode that cannot be read costs no download.
    lab.hub.take_seen();
    let mut unreadable = command(&lab, ID, &[]);
    unreadable.arg("--frames").arg(lab.home.path().join("no_frames"));
    refused(&unreadable.output().unwrap(), &["no_frames"]);
    assert!(lab.hub.take_seen().is_empty());
}

#[test]
fn the_token_is_in_no_log() {
    let lab = Lab::new();
    let secret = "hf_nobody_may_read_this";
    let output = run(&lab, ID, &[("HF_TOKEN", secret), ("RUST_LOG", "trace")]);
    report(&output);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("ureq"), "the log of the requests is not there: {log}");
    assert!(!log.contains(secret));
    let bearer = format!("Bearer {secret}");
    let seen = lab.hub.take_seen();
    assert!(seen.iter().any(|seen| seen.authorization.as_deref() == Some(&bearer)));
}

#[test]
fn a_killed_program_goes_on_where_it_was() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { silent: Some(WEIGHTS), ..Mishaps::default() });
    let mut child = with_frames(&lab, ID, &[]).spawn().unwrap();
    let half = lab.hub.content(WEIGHTS).len() as u64 / 2;
    let part = lab.blob(WEIGHTS).1;
    let begin = Instant::now();
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < half {
        assert!(begin.elapsed() < Duration::from_secs(20), "the download does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lab.hub.mishaps(Mishaps::default());
    lab.hub.take_seen();
    report(&run(&lab, ID, &[]));
    assert_eq!(lab.hub.take_files(), [(WEIGHTS.to_owned(), Some(format!("bytes={half}-")))]);
}
