//! A run that is killed, and goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::common::{ended, stderr, tree};
use crate::data_set::DataSet;

const EPISODES: usize = 50;

/// The results that are there, each of which must be whole.
fn results(out: &Path) -> Vec<(String, SystemTime)> {
    let Ok(entries) = std::fs::read_dir(out.join("episodes")) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".tmp-") {
            continue;
        }
        let value: Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        assert_eq!(format!("{}.json", value["name"].as_str().unwrap()), name);
        assert!(
            value["success"].is_boolean() && value["prefixes"].as_array().is_some_and(|all| all.len() >= 6)
        );
        found.push((name, entry.metadata().unwrap().modified().unwrap()));
    }
    found.sort();
    found
}

/// Waits until so many results are there.
fn wait_for(out: &Path, count: usize) {
    let begun = Instant::now();
    let there = || std::fs::read_dir(out.join("episodes")).map_or(0, |entries| entries.flatten().count());
    while there() < count {
        assert!(begun.elapsed() < Duration::from_secs(120), "{} of {count} results", there());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let set = DataSet::new(EPISODES);
    let whole = set.out("whole");
    ended(&set.score(&whole, &[]), 0, &[]);
    let out = set.out("killed");
    let mut run = set.begin(&out, &[]);
    wait_for(&out, 15);
    run.kill().unwrap(); // SIGKILL
    run.wait().unwrap();
    let before = results(&out);
    assert!((14..EPISODES).contains(&before.len()), "{} of {EPISODES} were scored", before.len());
    ended(&set.score(&out, &["--resume"]), 0, &[&format!("{} of {EPISODES} episodes", before.len())]);
    let after = results(&out);
    assert!(before.iter().all(|known| after.contains(known)), "a result was written again");
    assert!(tree(&out) == tree(&whole));
}

#[test]
fn no_result_is_ever_half_written() {
    let set = DataSet::new(EPISODES);
    let (out, whole) = (set.out("killed"), set.out("whole"));
    let (mut kills, mut seen) = (0, 0);
    // From before the first file on: each time a little later.
    for moment in 0.. {
        let mut run = set.begin(&out, &["--resume", "--jobs", "2"]);
        std::thread::sleep(Duration::from_millis(moment * 3 % 100));
        run.kill().unwrap();
        let ended_itself = run.wait().unwrap().success();
        let found = results(&out).len();
        assert!(found >= seen, "a result is gone");
        (kills, seen) = (kills + usize::from(!ended_itself), found);
        if seen == EPISODES || moment == 60 {
            break;
        }
    }
    assert!(kills >= 5, "only {kills} kills");
    ended(&set.score(&out, &["--resume"]), 0, &[]);
    ended(&set.score(&whole, &[]), 0, &[]);
    let (out, whole) = (tree(&out), tree(&whole));
    assert!(out.keys().eq(whole.keys()), "{:?} {:?}", out.keys(), whole.keys());
    assert!(out == whole, "a result differs");
}

/// Kills the run as soon as it is writing its labels; whether something of them was left.
fn kill_while_labels_are_written(mut run: Child, out: &Path, finished: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let labels_are_begun = || {
        let known = |name: &PathBuf| finished.contains_key(name) || name == Path::new("episodes");
        let names = std::fs::read_dir(out).unwrap().flatten().map(|entry| PathBuf::from(entry.file_name()));
        names.into_iter().any(|name| {
            !known(&name) && std::fs::read(out.join(name)).is_ok_and(|bytes| bytes.starts_with(b"PAR1"))
        })
    };
    while run.try_wait().unwrap().is_none() {
        if labels_are_begun() {
            run.kill().unwrap();
            run.wait().unwrap();
            return labels_are_begun();
        }
    }
    false
}

#[test]
fn labels_that_were_not_finished_are_removed() {
    let set = DataSet::new(2);
    let out = set.out("out");
    ended(&set.score(&out, &[]), 0, &[]);
    let whole = tree(&out);
    let labels =
        whole.keys().find(|file| file.extension().is_some_and(|ending| ending == "parquet")).unwrap();
    // The moment is short: not every run is caught in it.
    let caught = (0..200).any(|_| {
        let _ = std::fs::remove_file(out.join(labels));
        kill_while_labels_are_written(set.begin(&out, &["--resume"]), &out, &whole)
    });
    assert!(caught, "no run was killed while it wrote its labels");
    ended(&set.score(&out, &["--resume"]), 0, &[]);
    assert!(tree(&out).keys().eq(whole.keys()), "{:?}", tree(&out).keys());
    assert!(tree(&out) == whole);
}

#[test]
fn ctrl_c_ends_a_run_and_says_how_to_go_on() {
    let set = DataSet::new(EPISODES);
    let (out, whole) = (set.out("stopped"), set.out("whole"));
    let run = set.begin(&out, &[]);
    wait_for(&out, 5);
    let kill = format!("kill -INT {}", run.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    ended(&output, 130, &["stopped:", "--resume"]);
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let before = results(&out);
    assert!((4..EPISODES).contains(&before.len()), "{}", before.len());
    assert!(stderr(&output).contains(&format!("{} of {EPISODES}", before.len())));
    ended(&set.score(&out, &["--resume"]), 0, &[]);
    ended(&set.score(&whole, &[]), 0, &[]);
    assert!(tree(&out) == tree(&whole));
}
