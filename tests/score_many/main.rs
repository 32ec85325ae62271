//! `topreward score --out` and `topreward merge`, run as a person runs them, and killed.

#[path = "../common/mod.rs"]
mod common;
mod data_set;
mod interruptions;
mod schema;
mod shards;

use common::{
    TASK, ended, golden, golden_frames, json, stderr, stdout, text, tiny_model, topreward, trained_model,
    tree,
};
use data_set::DataSet;
use serde_json::Value;

#[test]
fn jobs_change_nothing() {
    let set = DataSet::new(12);
    let outs = [1, 2, 5].map(|jobs: usize| {
        let out = set.out(&format!("jobs{jobs}"));
        ended(&set.score(&out, &["--jobs", &jobs.to_string(), "--bias-control", "static"]), 0, &[]);
        tree(&out)
    });
    // run.json, errors.json and the labels.
    assert_eq!(outs[0].len(), 12 + 3);
    assert!(outs[0] == outs[1] && outs[0] == outs[2]);
}

#[test]
fn jobs_change_nothing_of_a_model_that_uses_all_cores() {
    let model = trained_model();
    if !model.join("model.safetensors").is_file() {
        println!("skipped: no model in {}", model.display());
        return;
    }
    let set = DataSet::new(4);
    let outs = ["1", "2"].map(|jobs| {
        let out = set.out(jobs);
        let more = ["--jobs", jobs, "--prefixes", "4"];
        ended(&set.score_by(model.to_str().unwrap(), &out, &more), 0, &[]);
        tree(&out)
    });
    assert!(outs[0] == outs[1]);
}

#[test]
fn a_result_is_what_one_episode_alone_gets() {
    let set = DataSet::new(3);
    let out = set.out("out");
    ended(&set.score(&out, &["--timings"]), 0, &[]);
    let name = "episode_002";
    let alone = set.path().join(name);
    let (model, instruction) = (tiny_model(), DataSet::instruction(2));
    let arguments = ["score", "--model", text(&model), "--frames", alone.to_str().unwrap(), "--fps", "2"];
    let alone = json(&topreward(&[&arguments[..], &["--json", "--instruction", &instruction]].concat()));
    let file = std::fs::read(out.join("episodes").join(format!("{name}.json"))).unwrap();
    let mut kept: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!((&kept["index"], &alone["index"]), (&2.into(), &0.into()));
    kept["index"] = 0.into();
    assert_eq!(kept, alone);
    let frames = DataSet::frames(2);
    assert_eq!(kept["recorded_s"].as_array().unwrap().len(), frames);
    assert_eq!(kept["sampled"].as_array().unwrap().len(), frames);
}

#[test]
fn the_terminal_has_a_line_for_each_episode_or_json() {
    let set = DataSet::new(3);
    let out = set.out("out");
    let table = set.score(&out, &["--timings"]);
    ended(&table, 0, &["decode", "process", "vision", "language model", "by the clock"]);
    let text = stdout(&table);
    assert_eq!(text.lines().count(), 1 + 3 + 1, "{text}");
    assert!(text.contains("episode_001 ") && text.contains("3 episodes, 21 frames"), "{text}");
    let summary = json(&set.score(&out, &["--resume", "--json"]));
    assert_eq!((&summary["scored"], &summary["errors"]), (&3.into(), &Value::Array(Vec::new())));
    let first = &summary["episodes"][0];
    assert_eq!((&first["name"], &first["frames"]), (&"episode_000".into(), &6.into()));
    let lines = set.run(&["--json"]);
    ended(&lines, 0, &[]);
    let indices: Vec<u64> = stdout(&lines)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indices, [0, 1, 2]);
}

#[test]
fn what_cannot_be_scored_is_one_line_each_and_the_rest_is_scored() {
    let set = DataSet::new(6);
    std::fs::write(set.path().join("episode_002/3.png"), b"no picture").unwrap();
    let whole = std::fs::read(set.path().join("episode_004/1.png")).unwrap();
    std::fs::write(set.path().join("episode_004/1.png"), &whole[..whole.len() / 2]).unwrap();
    set.add_lines(&["{broken", r#"{"episode": "absent.mp4", "instruction": "x", "success": true}"#]);
    let out = set.out("out");
    let output = set.score(&out, &["--jobs", "2"]);
    ended(&output, 1, &["episode_002", "3.png", "episode_004", "1.png", "manifest.jsonl:7", "absent.mp4"]);
    assert_eq!(stderr(&output).lines().count(), 4, "{}", stderr(&output));
    assert!(stdout(&output).contains("4 episodes") && stdout(&output).contains("4 could not be scored"));
    assert_eq!(std::fs::read_dir(out.join("episodes")).unwrap().count(), 4);
    let errors: Value = serde_json::from_slice(&std::fs::read(out.join("errors.json")).unwrap()).unwrap();
    let positions: Vec<Option<u64>> =
        errors["errors"].as_array().unwrap().iter().map(|error| error["position"].as_u64()).collect();
    assert_eq!(positions, [None, None, Some(2), Some(4)]);
    // Once it is mended it is scored, and nothing else.
    std::fs::write(set.path().join("episode_004/1.png"), whole).unwrap();
    let output = set.score(&out, &["--resume"]);
    ended(&output, 1, &["4 of 6 episodes are scored already", "episode_002"]);
    assert_eq!(std::fs::read_dir(out.join("episodes")).unwrap().count(), 5);
}

#[test]
fn nothing_usable_ends_with_2() {
    let set = DataSet::new(2);
    for episode in ["episode_000", "episode_001"] {
        std::fs::write(set.path().join(episode).join("0.png"), b"no picture").unwrap();
    }
    ended(&set.score(&set.out("out"), &[]), 2, &["none of the 2 episodes"]);
    let empty = DataSet::new(0);
    ended(&empty.run(&[]), 2, &["no episode"]);
}

#[test]
fn other_settings_and_folders_in_use_are_refused() {
    let set = DataSet::new(3);
    let out = set.out("out");
    ended(&set.score(&out, &[]), 0, &[]);
    let before = tree(&out);
    ended(&set.score(&out, &[]), 2, &["--resume", out.to_str().unwrap()]);
    let other = golden("untied");
    ended(&set.score_by(other.to_str().unwrap(), &out, &["--resume"]), 2, &["fingerprint is"]);
    let more = ["--resume", "--sample-fps", "1", "--prefixes", "2", "--instruction", "dance", "--no-cache"];
    let named =
        ["sample_fps is 2.0 there and 1.0 now", "prefixes is \"all\" there", "\"dance\"", "cache is true"];
    ended(&set.score(&out, &more), 2, &named);
    ended(&set.score(&out, &["--resume", "--chat-template"]), 2, &["chat_template is false"]);
    ended(&set.score(&out, &["--resume", "--max-pixels", "4096"]), 2, &["max_pixels is"]);
    ended(&set.score(&out, &["--resume", "--bias-control", "static"]), 2, &["bias_control is \"off\""]);
    let config = set.path().join("other.yaml");
    std::fs::write(&config, "topreward:\n  ros__parameters:\n    success:\n      threshold_nats: -7.5\n")
        .unwrap();
    let more = ["--resume", "--config", config.to_str().unwrap()];
    ended(&set.score(&out, &more), 2, &["success.threshold_nats is -1.0 there and -7.5 now"]);
    assert!(tree(&out) == before);
    // Episodes that have come are no other input.
    set.add_episode(3);
    ended(&set.score(&out, &["--resume"]), 0, &["3 of 4 episodes are scored already"]);
    assert_eq!(tree(&out).len(), before.len() + 1);
}

#[test]
fn an_instruction_is_the_command_lines_or_the_recordings() {
    let set = DataSet::new(2);
    let out = set.out("out");
    ended(&set.score(&out, &["--instruction", "wave at me"]), 0, &[]);
    let file = std::fs::read(out.join("episodes/episode_001.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&file).unwrap()["instruction"], "wave at me");
    let (model, frames) = (tiny_model(), golden_frames());
    let arguments = ["score", "--model", text(&model), "--frames", frames.to_str().unwrap(), "--fps", "2"];
    ended(&topreward(&arguments), 2, &["no instruction", "--instruction"]);
    let out = set.out("one");
    let told = ["--instruction", TASK, "--out", out.to_str().unwrap()];
    ended(&topreward(&[&arguments[..], &told].concat()), 0, &[]);
    assert!(out.join("episodes/aligned.json").exists());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let set = DataSet::new(1);
    let out = set.out("out");
    for (more, named) in [
        (&["--jobs", "0"][..], "--jobs is 0"),
        (&["--shard", "2/2"][..], "counted from 0"),
        (&["--video", "x.mp4"][..], "cannot be used with"),
    ] {
        ended(&set.score(&out, more), 2, &[named]);
    }
    ended(&set.run(&["--resume"]), 2, &["--out"]);
    ended(&set.run(&["--shard", "0/2"]), 2, &["--out"]);
    assert!(!out.exists());
}
