//! Shards, and what becomes of them.

use std::path::PathBuf;

use crate::common::{ended, json, stdout, topreward, tree};
use crate::data_set::DataSet;

fn merge(outs: &[PathBuf], out: &std::path::Path, more: &[&str]) -> std::process::Output {
    let outs: Vec<&str> = outs.iter().map(|out| out.to_str().unwrap()).collect();
    topreward(&[&["merge"], &outs[..], &["--out", out.to_str().unwrap()], more].concat())
}

fn scored(set: &DataSet, shards: usize) -> Vec<PathBuf> {
    let score = |index: usize| {
        let (out, shard) = (set.out(&format!("shard{index}")), format!("{index}/{shards}"));
        ended(&set.score(&out, &["--shard", &shard, "--resume"]), 0, &[]);
        out
    };
    (0..shards).map(score).collect()
}

#[test]
fn merged_shards_are_the_whole() {
    let set = DataSet::new(10);
    let (whole, merged) = (set.out("whole"), set.out("merged"));
    let table = set.score(&whole, &[]);
    ended(&table, 0, &[]);
    let shards = scored(&set, 3);
    let counts: Vec<usize> =
        shards.iter().map(|out| std::fs::read_dir(out.join("episodes")).unwrap().count()).collect();
    assert_eq!(counts, [4, 3, 3]);
    // The order in which they are named does not matter.
    let reversed: Vec<PathBuf> = shards.iter().rev().cloned().collect();
    let output = merge(&reversed, &merged, &[]);
    ended(&output, 0, &[]);
    assert_eq!(stdout(&output), stdout(&table));
    assert!(tree(&merged) == tree(&whole));
    // More shards than episodes: some have nothing to do.
    let few = DataSet::new(2);
    let parts = scored(&few, 3);
    ended(&merge(&parts, &few.out("merged"), &[]), 0, &[]);
}

#[test]
fn shards_that_do_not_make_a_whole_are_refused_by_name() {
    let set = DataSet::new(4);
    let shards = scored(&set, 2);
    let out = set.out("merged");
    ended(
        &merge(&shards[..1], &out, &[]),
        2,
        &["2 episodes", "position 1, of shard 1/2", "position 3", "--partial"],
    );
    let whole = set.out("whole");
    ended(&set.score(&whole, &[]), 0, &[]);
    let overlapping = [shards[0].clone(), whole];
    ended(&merge(&overlapping, &out, &[]), 2, &["episode_000", "episode_002", "more than one"]);
    let other = set.out("other");
    ended(&set.score(&other, &["--shard", "1/2", "--prefixes", "2"]), 0, &[]);
    ended(&merge(&[shards[0].clone(), other], &out, &[]), 2, &["prefixes", "other"]);
    ended(&merge(&[set.path().to_owned()], &out, &[]), 2, &["run.json"]);
    ended(&merge(&shards, &shards[0], &[]), 2, &["there already"]);
    assert!(!out.exists());
    let partial = merge(&shards[..1], &out, &["--partial", "--json"]);
    ended(&partial, 1, &["2 episodes are not scored yet"]);
    // What was missing is scored in the merged folder.
    let summary = json(&set.score(&out, &["--resume", "--json"]));
    assert_eq!(summary["scored"], 4);
    ended(&merge(&shards, &out, &[]), 2, &["there already"]);
}

#[test]
fn errors_of_all_shards_are_merged() {
    let set = DataSet::new(4);
    std::fs::write(set.path().join("episode_001/0.png"), b"no picture").unwrap();
    set.add_lines(&["{broken"]);
    let whole = set.out("whole");
    ended(&set.score(&whole, &[]), 1, &[]);
    let shards = ["0/2", "1/2"].map(|shard| {
        let out = set.out(&shard.replace('/', "of"));
        ended(&set.score(&out, &["--shard", shard]), 1, &[]);
        out
    });
    let merged = set.out("merged");
    let output = merge(&shards, &merged, &[]);
    ended(&output, 1, &["episode_001", "manifest.jsonl:5"]);
    assert!(tree(&merged) == tree(&whole));
}
