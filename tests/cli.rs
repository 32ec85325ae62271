//! The program `topreward`, run as a person runs it.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{TASK, copy_of, golden, golden_frames, json, refused, repository, tiny_model, trained_model};
use serde_json::Value;

fn topreward(arguments: &[&str]) -> Output {
    common::topreward(&[&["score"], arguments].concat())
}

/// Scores a folder of frames, all of them sampled.
fn score_frames(model: &Path, frames: &Path, more: &[&str]) -> Output {
    let (model, frames) = (model.to_str().unwrap(), frames.to_str().unwrap());
    let mut arguments = vec!["--model", model, "--frames", frames, "--fps", "2", "--instruction", TASK];
    arguments.extend(more);
    topreward(&arguments)
}

#[test]
fn the_json_agrees_with_hugging_face() {
    let cases: Value = common::read_json(golden("cases.json"));
    for (template, flag) in [(false, None), (true, Some("--chat-template"))] {
        let mut compared = 0;
        for case in cases.as_array().unwrap() {
            let times: Vec<f64> =
                case["times_s"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
            let regular = times.iter().enumerate().all(|(i, t)| *t == i as f64 / 2.0);
            if case["checkpoint"] != "tied" || case["frames_set"] != "aligned" || !regular {
                continue;
            }
            let frames = times.len();
            if case["template"] != template || frames < 7 {
                continue;
            }
            let max_pixels = case["max_pixels"].to_string();
            let model = tiny_model();
            let set = golden_frames();
            let mut arguments = vec!["--model", model.to_str().unwrap(), "--frames", set.to_str().unwrap()];
            arguments.extend(["--fps", "2", "--max-pixels", &max_pixels, "--json", "--instruction"]);
            arguments.push(case["instruction"].as_str().unwrap());
            arguments.extend(flag);
            let report = json(&topreward(&arguments));
            let last = &report["prefixes"][frames - 1];
            assert_eq!(last["frames"], frames);
            assert_eq!(report["chat_template"], template);
            for key in ["log_prob_true", "log_prob_false"] {
                let (got, expected) = (last[key].as_f64().unwrap(), case[key].as_f64().unwrap());
                assert!((got - expected).abs() <= 1e-3, "{key}: {got} is not {expected}");
            }
            compared += 1;
        }
        assert!(compared > 0);
    }
}

#[test]
fn cached_equals_uncached_for_every_prefix() {
    let cached = json(&score_frames(&tiny_model(), &golden_frames(), &["--json"]));
    let whole = json(&score_frames(&tiny_model(), &golden_frames(), &["--json", "--no-cache"]));
    let rows = |report: &Value| report["prefixes"].as_array().unwrap().clone();
    assert_eq!(rows(&cached).len(), 7);
    for (a, b) in rows(&cached).iter().zip(rows(&whole)) {
        for key in ["log_prob_true", "log_prob_false"] {
            assert!((a[key].as_f64().unwrap() - b[key].as_f64().unwrap()).abs() <= 1e-4);
        }
    }
    let rewards: Vec<f64> = rows(&cached).iter().map(|r| r["log_prob_true"].as_f64().unwrap()).collect();
    assert_eq!(cached["voc"].as_f64(), topreward::reward::voc(&rewards));
}

#[test]
fn sampling_and_prefixes_choose_the_frames() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..21 {
        let from = golden_frames().join(format!("{}.png", index % 7));
        std::fs::copy(from, folder.path().join(format!("frame_{index}.png"))).unwrap();
    }
    let (model, frames) = (tiny_model(), folder.path().to_owned());
    let arguments = ["--model", model.to_str().unwrap(), "--frames", frames.to_str().unwrap(), "--fps", "10"];
    let more = ["--instruction", TASK, "--sample-fps", "2", "--prefixes", "3", "--json"];
    let report = json(&topreward(&[&arguments[..], &more[..]].concat()));
    let seen: Vec<(u64, f64)> = report["prefixes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["frames"].as_u64().unwrap(), row["time_s"].as_f64().unwrap()))
        .collect();
    assert_eq!(seen, [(1, 0.0), (3, 1.0), (5, 2.0)]);
}

#[test]
fn the_table_reads_like_one() {
    let output = score_frames(&tiny_model(), &golden_frames(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2 + 7 + 1, "{text}");
    assert_eq!(lines[0], TASK);
    assert!(lines[9].starts_with("VOC ") && lines[9].contains("success"), "{text}");
    assert!(output.stderr.is_empty(), "no bar when nobody watches");
}

#[test]
fn a_video_gives_the_scores_of_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("episode.mkv");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-framerate", "2", "-i"])
        .arg(golden_frames().join("%d.png"))
        .args(["-c:v", "ffv1", "-pix_fmt", "bgr0"]) // lossless: the frames come back to the bit
        .arg(&video)
        .status();
    let Ok(made) = made else {
        println!("skipped: the program ffmpeg is not installed");
        return;
    };
    assert!(made.success());
    let from_frames = json(&score_frames(&tiny_model(), &golden_frames(), &["--json"]));
    let model = tiny_model();
    let video =
        ["--video", video.to_str().unwrap(), "--model", model.to_str().unwrap(), "--instruction", TASK];
    let from_video = json(&topreward(&[&video[..], &["--json"]].concat()));
    assert_eq!(from_video["prefixes"], from_frames["prefixes"]);
}

#[test]
fn a_missing_model_file_is_named() {
    refused(&score_frames(Path::new("/no/such/model"), &golden_frames(), &[]), &["/no/such/model"]);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let copy = copy_of(&tiny_model());
        std::fs::remove_file(copy.path().join(file)).unwrap();
        refused(&score_frames(copy.path(), &golden_frames(), &[]), &[file]);
    }
}

#[test]
fn cut_weights_are_named() {
    let copy = copy_of(&tiny_model());
    let weights = copy.path().join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    for kept in [whole.len() - 1000, 4, 0] {
        std::fs::write(&weights, &whole[..kept]).unwrap();
        refused(&score_frames(copy.path(), &golden_frames(), &[]), &["model.safetensors"]);
    }
}

#[test]
fn a_tokenizer_that_splits_the_answer_is_refused() {
    let copy = copy_of(&tiny_model());
    let file = copy.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // " True" in byte-level spelling; without the token and the merges that make it, it falls into pieces.
    let model = &mut tokenizer["model"];
    model["vocab"].as_object_mut().unwrap().remove("ĠTrue").unwrap();
    let merges = model["merges"].as_array_mut().unwrap();
    merges.retain(|merge| {
        let joined = match merge {
            Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect::<String>(),
            other => other.as_str().unwrap_or_default().replace(' ', ""),
        };
        joined != "ĠTrue"
    });
    std::fs::write(&file, tokenizer.to_string()).unwrap();
    refused(&score_frames(copy.path(), &golden_frames(), &[]), &["tokenizer.json", "True"]);
}

#[test]
fn another_architecture_is_refused() {
    let copy = copy_of(&tiny_model());
    let file = copy.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["model_type"] = "llama".into();
    std::fs::write(&file, config.to_string()).unwrap();
    refused(&score_frames(copy.path(), &golden_frames(), &[]), &["llama", "qwen3_vl"]);
}

#[test]
fn bad_episodes_and_instructions_are_named() {
    let model = tiny_model();
    let folder = tempfile::tempdir().unwrap();
    refused(&score_frames(&model, folder.path(), &[]), &["nothing to score"]);
    refused(&score_frames(&model, Path::new("/no/such/folder"), &[]), &["/no/such/folder"]);
    std::fs::write(folder.path().join("0.png"), b"no picture").unwrap();
    refused(&score_frames(&model, folder.path(), &[]), &["0.png"]);
    let model = model.to_str().unwrap();
    let video = folder.path().join("broken.mp4");
    std::fs::write(&video, vec![7; 5000]).unwrap();
    let video = video.to_str().unwrap();
    refused(&topreward(&["--model", model, "--video", video, "--instruction", TASK]), &["broken.mp4"]);
    refused(
        &topreward(&["--model", model, "--video", "/no/such.mp4", "--instruction", TASK]),
        &["/no/such.mp4"],
    );
    let frames = golden_frames();
    let frames = ["--model", model, "--frames", frames.to_str().unwrap(), "--fps", "2", "--instruction"];
    refused(&topreward(&[&frames[..], &["  "]].concat()), &["instruction is empty"]);
    let long = "lift the cup ".repeat(400);
    refused(&topreward(&[&frames[..], &[&long]].concat()), &["tokens"]);
}

#[test]
fn frames_of_two_sizes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden_frames().join("0.png"), folder.path().join("0.png")).unwrap();
    let other = golden("frames/camera/0.png");
    std::fs::copy(other, folder.path().join("1.png")).unwrap();
    refused(&score_frames(&tiny_model(), folder.path(), &[]), &["150×90"]);
}

/// The real robot episodes, where they stand beside the project.
#[test]
fn real_robot_videos_score_the_same_with_and_without_the_cache() {
    let folder = std::env::var_os("TOPREWARD_EPISODES")
        .map_or_else(|| repository().join("../shared/data/episodes"), PathBuf::from);
    let model = trained_model();
    if !folder.is_dir() || !model.join("model.safetensors").is_file() {
        println!("skipped: no real episodes at {} (set TOPREWARD_EPISODES)", folder.display());
        return;
    }
    for (file, instruction) in [
        ("so101_cube_in_red_box.mp4", "put the yellow cube in the red box"),
        ("g1_pick_bottle_av1.mp4", "Pick up the yellow bottle on the table."),
    ] {
        let video = folder.join(file);
        let arguments = [
            "--model",
            model.to_str().unwrap(),
            "--video",
            video.to_str().unwrap(),
            "--instruction",
            instruction,
        ];
        let cached = json(&topreward(&[&arguments[..], &["--json", "--prefixes", "6"]].concat()));
        let whole =
            json(&topreward(&[&arguments[..], &["--json", "--prefixes", "6", "--no-cache"]].concat()));
        for (a, b) in cached["prefixes"].as_array().unwrap().iter().zip(whole["prefixes"].as_array().unwrap())
        {
            assert_eq!(a["frames"], b["frames"]);
            let (a, b) = (a["log_prob_true"].as_f64().unwrap(), b["log_prob_true"].as_f64().unwrap());
            assert!((a - b).abs() <= 1e-4, "{file}: {a} is not {b}");
        }
    }
}
