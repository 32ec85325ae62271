//! `topreward inspect`, run as a person runs it.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{copy_of, golden_frames, tiny_model};
use serde_json::{Value, json};

fn inspect(path: &Path, more: &[&str]) -> Output {
    common::command().arg("inspect").arg(path).args(more).output().unwrap()
}

fn told(path: &Path, more: &[&str]) -> Value {
    common::json(&inspect(path, &[more, &["--json"]].concat()))
}

fn text(path: &Path, more: &[&str]) -> String {
    let output = inspect(path, more);
    common::ended(&output, 0, &[]);
    common::stdout(&output)
}

fn refused(path: &Path, words: &[&str]) {
    common::refused(&inspect(path, &[]), words);
}

#[test]
fn a_model_folder_is_told_without_its_weights() {
    let folder = copy_of(&tiny_model());
    let whole = told(folder.path(), &[]);
    assert_eq!((&whole["kind"], &whole["model_type"]), (&json!("model"), &json!("qwen3_vl")));
    assert_eq!((&whole["can_score"], whole["fingerprint"].as_str().unwrap().len()), (&json!(true), 64));
    let by_type = whole["dtype"].as_object().unwrap();
    let numbers: u64 = by_type.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(whole["parameters"], numbers);
    let weights = std::fs::metadata(tiny_model().join("model.safetensors")).unwrap().len();
    assert_eq!(whole["files"]["model.safetensors"], weights);
    assert!(text(folder.path(), &[]).contains("language model"));
    let config = folder.path().join("config.json");
    let other = std::fs::read_to_string(&config).unwrap().replace("\"qwen3_vl\"", "\"llama\"");
    std::fs::write(&config, other).unwrap();
    let other = told(folder.path(), &[]);
    assert_eq!((&other["can_score"], &other["model_type"]), (&json!(false), &json!("llama")));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(
        text(folder.path(), &[]).contains("model.safetensors (or model.safetensors.index.json) is missing")
    );
}

#[test]
fn pictures_are_counted_and_sampled() {
    let frames = golden_frames();
    let found = told(&frames, &["--fps", "4"]);
    assert_eq!((&found["kind"], &found["frames"]), (&json!("pictures"), &json!(7)));
    assert_eq!(found["samples"], json!({ "rate_hz": 2.0, "frames": [0, 2, 4, 6] }));
    assert_eq!(found["frame_rate"], json!({ "average": 4.0, "fixed": true }));
    assert_eq!(told(&frames, &[])["samples"], Value::Null);
}

#[test]
fn a_manifest_is_told_by_labels_and_groups() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("f")).unwrap();
    let lines = [
        r#"{"episode": "f", "fps": 2, "instruction": "lift", "success": true, "group": "a"}"#,
        r#"{"episode": "f", "fps": 2, "instruction": "lift", "success": false, "group": "a", "completed_s": 1}"#,
        r#"{"episode": "f", "fps": 2, "instruction": "push", "success": false}"#,
        r#"{"episode": "absent", "instruction": "push", "success": false}"#,
    ];
    let manifest = folder.path().join("manifest.jsonl");
    std::fs::write(&manifest, lines.join("\n")).unwrap();
    for path in [folder.path(), &manifest] {
        let found = told(path, &[]);
        assert_eq!((&found["kind"], &found["episodes"]), (&json!("manifest"), &json!(3)));
        assert_eq!(found["labels"], json!({ "successes": 1, "failures": 2 }));
        assert_eq!(found["groups"]["a"], json!({ "successes": 1, "failures": 1 }));
        assert_eq!(found["instructions"], json!({ "lift": 2, "push": 1 }));
        assert_eq!(found["unusable_lines"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_calibration_is_told_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("any.name");
    let calibration = json!({
        "version": 1, "model": { "name": "small", "fingerprint": "0123" }, "instructions": ["lift"],
        "chat_template": false, "max_pixels": 24576, "sampling_rate_hz": 2.0, "bias_control": "static",
        "success": { "window": 3, "hold_s": 1.0, "min_frames": 6 }, "date": "2026-11-22",
        "episodes": { "successes": 89, "failures": 121 },
        "auc": { "value": 0.98, "low": 0.96, "high": 0.99 }, "wanted_false_positive_rate": 0.02,
        "threshold_nats": -0.25, "first_nats": -2.75, "final_nats": -0.125
    });
    std::fs::write(&file, calibration.to_string()).unwrap();
    let found = told(&file, &[]);
    assert_eq!(found["kind"], "calibration");
    for key in ["threshold_nats", "instructions", "success", "episodes", "auc", "max_pixels", "date"] {
        assert_eq!(found[key], calibration[key], "{key}");
    }
    assert_eq!((&found["model"], &found["fingerprint"]), (&json!("small"), &json!("0123")));
    assert!(text(&file, &[]).contains("-0.2500 nats"));
}

#[test]
fn a_video_is_told_without_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("video");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:r=30:d=1.5", "-c:v", "libx264"])
        .args(["-f", "matroska"])
        .arg(&file)
        .status();
    let Ok(made) = made else {
        println!("skipped: the program ffmpeg is not installed");
        return;
    };
    assert!(made.success());
    let found = told(&file, &["--sample-fps", "4"]);
    assert_eq!((&found["kind"], &found["codec"]), (&json!("video"), &json!("h264")));
    assert_eq!((&found["frames"], &found["size"]), (&json!(45), &json!([64, 48])));
    assert_eq!(found["frame_rate"]["fixed"], true);
    assert_eq!(found["samples"]["frames"], json!([0, 7, 15, 22, 30, 37]));
    let named = ["inspect", file.to_str().unwrap(), "--ffmpeg", "/no/such/ffmpeg"];
    let missing = common::topreward(&named);
    assert!(common::stderr(&missing).contains("/no/such/ffmpeg, which is not installed"));
}

#[test]
fn what_is_not_known_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["cannot tell", "manifest.jsonl"]);
    refused(&folder.path().join("absent"), &["there is no", "absent"]);
    for (name, bytes) in [("a.txt", &b"words"[..]), ("b", &[0, 1, 2, 3]), ("c.json", b"{\"a\": 1}")] {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        refused(&file, &["cannot tell", name]);
    }
    let broken = folder.path().join("broken.mp4");
    std::fs::write(&broken, vec![0; 5000]).unwrap();
    refused(&broken, &["broken.mp4"]);
}
