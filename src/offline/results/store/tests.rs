use super::super::input::tests::input;
use super::super::run::tests::settings;
use super::super::{RunSettings, ScoredEpisode, merge};
use super::*;
use crate::model::Identity;

fn run(shard: Option<&str>, names: &[&str]) -> RunFile {
    RunFile::new(settings(), shard.map(|shard| shard.parse().unwrap()), input(names))
}

fn result(name: &str, index: u64) -> EpisodeResult {
    let scored = ScoredEpisode {
        name,
        index,
        instruction: "lift",
        recorded_s: vec![0.0, 0.1 + 0.2],
        sampled: vec![0],
        prefixes: &[],
    };
    EpisodeResult::of(scored, &settings())
}

fn error(position: usize, name: &str) -> EpisodeError {
    EpisodeError { position: Some(position), name: name.to_owned(), reason: "broken".to_owned() }
}

fn text<T>(result: Result<T, ResultsError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn what_is_put_in_comes_out_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/out");
    let store = Store::create(&out, run(None, &["a", "b/c"])).unwrap();
    store.put_result(&result("b/c", 1)).unwrap();
    store.put_errors(&[error(1, "b"), error(0, "a")]).unwrap();
    assert_eq!((store.result(0), store.result(1)), (None, Some(result("b/c", 1))));
    drop(store);
    assert!(text(Store::create(&out, run(None, &["a", "b/c"]))).contains("--resume"));
    let store = Store::resume(&out, run(None, &["a", "b/c"])).unwrap();
    assert_eq!(store.result(1), Some(result("b/c", 1)));
    assert_eq!(store.errors().unwrap(), [error(0, "a"), error(1, "b")]);
}

#[test]
fn a_damaged_result_or_anothers_counts_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), run(None, &["a", "b"])).unwrap();
    std::fs::write(folder.path().join("episodes/a.json"), b"{\"schema\": 1").unwrap();
    let other = serde_json::to_vec(&result("x", 1)).unwrap();
    std::fs::write(folder.path().join("episodes/b.json"), other).unwrap();
    assert_eq!((store.result(0), store.result(1)), (None, None));
}

#[test]
fn what_a_killed_run_left_is_cleaned_up_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("episodes")).unwrap();
    for file in [".tmp-1-0", "episodes/.tmp-1-1"] {
        std::fs::write(folder.path().join(file), b"half").unwrap();
    }
    assert!(text(Store::create(folder.path(), run(None, &["a"]))).contains("--resume"));
    drop(Store::resume(folder.path(), run(None, &["a"])).unwrap());
    assert!(folder.path().join("run.json").exists());
    for file in [".tmp-1-0", "episodes/.tmp-1-1"] {
        assert!(!folder.path().join(file).exists(), "{file}");
    }
}

#[test]
fn a_foreign_folder_is_not_written_into() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), b"x").unwrap();
    assert!(text(Store::resume(folder.path(), run(None, &["a"]))).contains("run.json"));
    assert!(text(Store::open(folder.path())).contains("run.json"));
    assert_eq!(entries(folder.path()).unwrap(), ["thesis.tex"]);
}

#[test]
fn other_settings_and_inputs_are_refused_and_new_episodes_are_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::create(folder.path(), run(None, &["a", "b"])).unwrap());
    let other = RunFile {
        settings: RunSettings {
            made_with: Identity { sample_fps: 5.0, fingerprint: "other".to_owned(), ..settings().made_with },
            ..settings()
        },
        ..run(Some("0/2"), &["a", "b"])
    };
    let refusal = text(Store::resume(folder.path(), other));
    for word in ["fingerprint", "sample_fps is 2.0 there and 5.0 now", "shard is none there and 0/2 now"] {
        assert!(refusal.contains(word), "{refusal}");
    }
    assert!(text(Store::resume(folder.path(), run(None, &["a"]))).contains("b is no longer in it"));
    drop(Store::resume(folder.path(), run(None, &["a", "b", "c"])).unwrap());
    assert_eq!(Store::open(folder.path()).unwrap().run().input.episodes.len(), 3);
    let shard = folder.path().join("shard");
    drop(Store::create(&shard, run(Some("0/2"), &["a", "b"])).unwrap());
    assert!(text(Store::resume(&shard, run(Some("0/2"), &["a", "b", "c"]))).contains("c is new"));
}

#[test]
fn another_schema_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::create(folder.path(), run(None, &["a"])).unwrap());
    std::fs::write(folder.path().join("run.json"), b"{\"schema\": 7}").unwrap();
    let refusal = text(Store::open(folder.path()));
    assert!(refusal.contains("schema 7") && refusal.contains("schema 1"), "{refusal}");
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), run(None, &["a"])).unwrap();
    assert!(text(Store::resume(folder.path(), run(None, &["a"]))).contains("another process"));
    drop(store);
    Store::resume(folder.path(), run(None, &["a"])).unwrap();
}

/// Two shards of four episodes; the second lacks its last.
fn shards(folder: &Path) -> [PathBuf; 2] {
    let names = ["a", "b", "c", "d"];
    let shards = [folder.join("0"), folder.join("1")];
    let first = Store::create(&shards[0], run(Some("0/2"), &names)).unwrap();
    first.put_result(&result("a", 0)).unwrap();
    first.put_errors(&[error(2, "c")]).unwrap();
    let second = Store::create(&shards[1], run(Some("1/2"), &names)).unwrap();
    second.put_result(&result("b", 1)).unwrap();
    shards
}

#[test]
fn shards_become_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (shards, out) = (shards(folder.path()), folder.path().join("all"));
    let refusal = text(merge(&shards, &out, false));
    assert!(refusal.contains("1 episodes are in no folder: d") && refusal.contains("--partial"), "{refusal}");
    assert!(!out.exists());
    let merged = merge(&shards, &out, true).unwrap();
    assert_eq!((merged.errors, merged.missing), (vec![error(2, "c")], 1));
    assert_eq!(*merged.store.run(), run(None, &["a", "b", "c", "d"]));
    let held: Vec<bool> = (0..4).map(|position| merged.store.result(position).is_some()).collect();
    assert_eq!(held, [true, true, false, false]);
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (shards, out) = (shards(folder.path()), folder.path().join("all"));
    let more = |run: RunFile| {
        let more = folder.path().join("more");
        let _ = std::fs::remove_dir_all(&more);
        let store = Store::create(&more, run).unwrap();
        store.put_result(&result("a", 0)).unwrap();
        drop(store);
        text(merge(&[shards[0].clone(), shards[1].clone(), more], &out, true))
    };
    let names = ["a", "b", "c", "d"];
    assert!(more(run(None, &names)).contains("1 episodes are in more than one folder: a;"));
    let settings = RunSettings { prefixes: "15".to_owned(), ..settings() };
    assert!(more(RunFile { settings, ..run(None, &names) }).contains("prefixes is \"15\" there"));
    assert!(more(run(None, &["a", "b", "x", "d"])).contains("episode x is no longer in it"));
    assert!(text(merge(&[shards[0].clone(), shards[0].join(".")], &out, true)).contains("more than one"));
    assert!(text(merge(&[], &out, true)).contains("nothing to merge"));
    assert!(!out.exists());
}

#[test]
fn shards_of_earlier_versions_list_the_whole_input() {
    let folder = tempfile::tempdir().unwrap();
    let (shards, out) = (shards(folder.path()), folder.path().join("all"));
    let names = ["a", "b", "c", "d"];
    let all = run(None, &names);
    for (shard, folder) in ["0/2", "1/2"].into_iter().zip(&shards) {
        let old = RunFile { shard: shard.parse().ok(), ..all.clone() };
        std::fs::write(folder.join(RUN), serde_json::to_vec(&old).unwrap()).unwrap();
    }
    let merged = merge(&shards, &out, true).unwrap();
    assert_eq!((merged.store.run(), merged.missing), (&all, 1));
    let other = text(Store::resume(&shards[0], run(Some("0/2"), &["a", "b", "c", "x"])));
    assert!(other.contains("other shards have changed"), "{other}");
    let resumed = Store::resume(&shards[0], run(Some("0/2"), &names)).unwrap();
    assert_eq!(resumed.run().positions(), [0, 2]);
    assert!(resumed.result(0).is_some() && resumed.result(1).is_none());
}

#[test]
fn what_was_merged_in_part_can_be_merged_again() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = shards(folder.path());
    let [part, all] = ["part", "all"].map(|name| folder.path().join(name));
    let refusal = text(merge(std::slice::from_ref(&first), &part, false));
    assert!(
        refusal.contains("2 episodes are in no folder: the one at position 1, of shard 1/2"),
        "{refusal}"
    );
    let merged = merge(&[first], &part, true).unwrap();
    assert_eq!((merged.missing, merged.store.run().positions()), (2, vec![0, 2]));
    drop(merged);
    let merged = merge(&[second, part], &all, true).unwrap();
    assert_eq!((merged.missing, merged.store.run()), (1, &run(None, &["a", "b", "c", "d"])));
    assert_eq!(merged.errors, [error(2, "c")]);
}

#[test]
fn results_are_linked_or_copied_and_survive_their_shards() {
    use std::os::unix::fs::{MetadataExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let (shards, out) = (shards(folder.path()), folder.path().join("all"));
    // A link that leads elsewhere must not become one that leads nowhere.
    let (place, elsewhere) = (shards[1].join("episodes/b.json"), folder.path().join("b.json"));
    std::fs::rename(&place, &elsewhere).unwrap();
    symlink("../../b.json", &place).unwrap();
    let merged = merge(&shards, &out, true).unwrap();
    let links = |name: &str| std::fs::symlink_metadata(out.join("episodes").join(name)).unwrap().nlink();
    assert_eq!((links("a.json"), links("b.json")), (2, 1));
    shards.iter().for_each(|shard| std::fs::remove_dir_all(shard).unwrap());
    std::fs::remove_file(&elsewhere).unwrap();
    let held: Vec<_> = merged.store.results().map(|result| result.name).collect();
    assert_eq!(held, ["a", "b"]);
}
