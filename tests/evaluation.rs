//! `topreward eval` and `topreward calibrate`, run as a person runs them, on a little data set.

mod common;

use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;

use common::{
    TASK, ended, golden, golden_frames, json as json_of, read_json, stderr, stdout, text, tiny_model,
    topreward,
};
use serde_json::{Value, json};

const TASKS: [&str; 3] = [TASK, "lift the cup", "open the drawer"];

/// Seven frames forwards and seven backwards, and a manifest of what is given.
struct DataSet {
    folder: tempfile::TempDir,
}

impl DataSet {
    fn new(lines: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, order) in [("forwards", [0, 1, 2, 3, 4, 5, 6]), ("backwards", [6, 5, 4, 3, 2, 1, 0])] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            for (place, index) in order.into_iter().enumerate() {
                let from = golden_frames().join(format!("{index}.png"));
                std::fs::copy(from, folder.path().join(name).join(format!("{place}.png"))).unwrap();
            }
        }
        std::fs::write(folder.path().join("manifest.jsonl"), lines.join("\n")).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, command: &str, more: &[&str]) -> Output {
        let model = tiny_model();
        let arguments = [command, text(self.path()), "--model", text(&model)];
        topreward(&[&arguments[..], more].concat())
    }
}

fn line(episode: &str, instruction: &str, success: bool) -> String {
    json!({"episode": episode, "fps": 2, "instruction": instruction, "success": success, "group": episode})
        .to_string()
}

/// Three successes and three failures, of which the tiny model thinks differently.
fn labelled() -> Vec<String> {
    let [good, bad] = good_and_bad();
    let of = |episode: &'static str, success| TASKS.map(|task| line(episode, task, success));
    [of(good, true), of(bad, false)].concat()
}

/// The two orders of the frames, first the one in which the tiny model sees the likelier success. It knows nothing, so
/// which one that is has to be measured.
fn good_and_bad() -> [&'static str; 2] {
    static MEASURED: OnceLock<[&str; 2]> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let set = DataSet::new(&[]);
        let [forwards, backwards] = ["forwards", "backwards"].map(|order| {
            TASKS.map(|task| peak(&set.file(order), task)).into_iter().fold(f64::NEG_INFINITY, f64::max)
        });
        if forwards > backwards { ["forwards", "backwards"] } else { ["backwards", "forwards"] }
    })
}

/// What success goes by: the highest mean of three successive rewards, nats.
fn peak(frames: &str, task: &str) -> f64 {
    let model = tiny_model();
    let arguments =
        ["--model", text(&model), "--frames", frames, "--fps", "2", "--instruction", task, "--json"];
    let scored = json_of(&topreward(&[&["score"], &arguments[..]].concat()));
    let rewards: Vec<f64> = scored["prefixes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["log_prob_true"].as_f64().unwrap())
        .collect();
    rewards.windows(3).map(|three| three.iter().sum::<f64>() / 3.0).fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn an_evaluation_has_table_json_and_page() {
    let set = DataSet::new(&labelled());
    let (json_file, page) = (set.file("out.json"), set.file("out.html"));
    let output = set.run("eval", &["--json", &json_file, "--html", &page]);
    ended(&output, 0, &[]);
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    for words in ["VOC of successes", "success ROC-AUC", "wrong instruction", "static climb", "forwards"] {
        assert!(stdout(&output).contains(words), "{words} is not in: {}", stdout(&output));
    }
    let found = read_json(&json_file);
    let groups: Vec<&Value> = found["summaries"].as_array().unwrap().iter().map(|s| &s["group"]).collect();
    assert_eq!(groups, [&Value::Null, &json!("backwards"), &json!("forwards")]);
    let all = &found["summaries"][0];
    assert_eq!((&all["successes"], &all["failures"]), (&json!(3), &json!(3)));
    let auc = &all["reward"]["auc_end"];
    assert!(auc["low"].as_f64().unwrap() <= auc["value"].as_f64().unwrap());
    for episode in found["episodes"].as_array().unwrap() {
        let wrong = &episode["wrong_instruction"];
        assert_eq!(wrong.is_string(), episode["success"] == true, "{episode}");
        assert_ne!(wrong, &episode["instruction"]);
    }
    check_page(&std::fs::read_to_string(&page).unwrap());
}

/// One file, nothing from elsewhere, and what it is to show.
fn check_page(page: &str) {
    for foreign in ["http:", "https:", "src=\"/", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign} is in the page");
    }
    assert_eq!(page.matches("<details").count(), 6);
    // Start, quarter, half, three quarters and end of six episodes.
    assert!(page.matches("data:image/jpeg;base64,").count() >= 30);
    assert!(page.contains("polyline class=\"control\"") && page.contains("polyline class=\"wrong\""));
}

#[test]
fn an_evaluations_curve_is_that_of_score() {
    let set = DataSet::new(&labelled());
    let json_file = set.file("out.json");
    ended(&set.run("eval", &["--json", &json_file, "--bias-control", "static"]), 0, &[]);
    let found = read_json(&json_file);
    let (model, frames) = (tiny_model(), set.file(good_and_bad()[0]));
    let score =
        ["score", "--model", text(&model), "--frames", &frames, "--fps", "2", "--instruction", TASKS[0]];
    let scored = topreward(&[&score[..], &["--json", "--bias-control", "static"]].concat());
    let scored: Value = serde_json::from_slice(&scored.stdout).unwrap();
    let curve = found["episodes"][0]["curve"].as_array().unwrap();
    assert_eq!(curve.len(), 7);
    for (point, row) in curve.iter().zip(scored["prefixes"].as_array().unwrap()) {
        assert_eq!(point["reward"], row["log_prob_true"]);
        assert_eq!(point["control"], row["control"]);
        assert_eq!(point["corrected"], row["judged"]);
    }
    assert_eq!(found["episodes"][0]["measures"]["reward"]["voc"], scored["voc"]);
}

#[test]
fn bad_lines_are_told_and_the_rest_is_used() {
    let mut lines = labelled();
    lines.insert(1, "{broken".to_owned());
    lines.push(line("absent", TASKS[0], true));
    let set = DataSet::new(&lines);
    std::fs::create_dir(set.path().join("empty")).unwrap();
    std::fs::create_dir(set.path().join("spoiled")).unwrap();
    std::fs::write(set.path().join("spoiled/0.png"), b"no picture").unwrap();
    lines.push(line("empty", TASKS[0], true));
    lines.push(line("spoiled", TASKS[0], false));
    lines.push(line("forwards", &"lift the cup ".repeat(400), false));
    std::fs::write(set.path().join("manifest.jsonl"), lines.join("\n")).unwrap();
    let json_file = set.file("out.json");
    let output = set.run("eval", &["--json", &json_file]);
    let named =
        ["manifest.jsonl:2:", ":8:", "absent", ":9:", "nothing to score", ":10:", "0.png", ":11:", "tokens"];
    ended(&output, 1, &named);
    assert_eq!(stderr(&output).lines().count(), 5);
    let found = read_json(&json_file);
    assert_eq!(found["episodes"].as_array().unwrap().len(), 6);
    assert_eq!(found["errors"].as_array().unwrap().len(), 5);
    assert!(stdout(&output).contains("5 lines"));
}

#[test]
fn what_cannot_be_used_at_all_ends_with_2() {
    let set = DataSet::new(&["{broken".to_owned()]);
    ended(&set.run("eval", &[]), 2, &["manifest.jsonl:1:", "no usable episode"]);
    let missing = topreward(&["eval", "/no/such/set", "--model", text(&tiny_model())]);
    ended(&missing, 2, &["/no/such/set"]);
    let set = DataSet::new(&[line("empty", TASKS[0], true)]);
    std::fs::create_dir(set.path().join("empty")).unwrap();
    ended(&set.run("eval", &[]), 2, &["manifest.jsonl:1:", "nothing to score", "none of the 1 episodes"]);
    let set = DataSet::new(&labelled());
    ended(&set.run("eval", &["--html", "/no/such/folder/out.html"]), 2, &["/no/such/folder"]);
    ended(&set.run("eval", &["--model", text(&tiny_model())]), 2, &["--sweep"]);
}

#[test]
fn one_kind_of_label_leaves_auc_undefined() {
    let set = DataSet::new(&labelled()[..3]);
    let json_file = set.file("out.json");
    ended(&set.run("eval", &["--json", &json_file]), 0, &[]);
    let all = read_json(&json_file)["summaries"][0].clone();
    assert!(all["reward"]["auc_end"].is_null());
    assert!(all["reward"]["auc_wrong_instruction"]["value"].is_number());
    let refused = set.run("calibrate", &["--false-positive-rate", "0.5", "--out", &set.file("c.yaml")]);
    ended(&refused, 2, &["0 failures", "at least 2"]);
    assert!(!set.path().join("c.yaml").exists());
}

#[test]
fn a_sweep_has_a_row_for_each_model_and_rate() {
    let set = DataSet::new(&labelled());
    let other = golden("untied");
    let json_file = set.file("sweep.json");
    let more = ["--model", text(&other), "--sweep", "rates=1,2", "--json", &json_file];
    let output = set.run("eval", &more);
    ended(&output, 0, &[]);
    assert!(stdout(&output).contains("sample_fps") && stdout(&output).contains("static VOC"));
    let rows = read_json(&json_file)["rows"].clone();
    let seen: Vec<(f64, f64)> = (rows.as_array().unwrap().iter())
        .map(|row| (row["sample_fps"].as_f64().unwrap(), row["frames"].as_f64().unwrap()))
        .collect();
    assert_eq!(seen, [(1.0, 4.0), (2.0, 7.0), (1.0, 4.0), (2.0, 7.0)]);
    ended(&set.run("eval", &["--sweep", "rates=2,4"]), 1, &["only 2 frames a second"]);
}

#[test]
fn gvl_needs_a_model_that_writes() {
    let set = DataSet::new(&labelled()[..1]);
    ended(&set.run("eval", &["--method", "gvl"]), 2, &["manifest.jsonl:1:", "no percentage"]);
    ended(&set.run("eval", &["--method", "gvl", "--sweep", "rates=1"]), 2, &["gvl"]);
    let file = set.file("c.yaml");
    ended(&set.run("eval", &["--method", "gvl", "--calibration", &file]), 2, &["gvl"]);
}

fn calibrated(set: &DataSet, more: &[&str]) -> String {
    let file = set.file("calibration.yaml");
    let output = set.run("calibrate", &[&["--false-positive-rate", "0.34", "--out", &file], more].concat());
    ended(&output, 0, &[]);
    for words in ["ROC-AUC", "threshold", "of 3 failures", "of 3 successes", "successes called"] {
        assert!(stdout(&output).contains(words), "{words} is not in: {}", stdout(&output));
    }
    file
}

#[test]
fn a_calibration_is_written_and_loaded() {
    let set = DataSet::new(&labelled());
    let file = calibrated(&set, &[]);
    let calibration: Value = serde_yaml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(calibration["episodes"], json!({"successes": 3, "failures": 3}));
    assert_eq!(calibration["instructions"].as_array().unwrap().len(), 3);
    let json_file = set.file("out.json");
    ended(&set.run("eval", &["--calibration", &file, "--json", &json_file]), 0, &[]);
    let found = read_json(&json_file);
    assert_eq!(found["success"]["threshold_nats"], calibration["threshold_nats"]);
    // By definition at most a third of the failures reach it, and some success does.
    let threshold = calibration["threshold_nats"].as_f64().unwrap();
    let reach = |success: bool| {
        let of = |e: &&Value| e["success"] == success;
        let peak = |e: &Value| e["measures"]["reward"]["peak_nats"].as_f64().unwrap();
        found["episodes"].as_array().unwrap().iter().filter(of).filter(|e| peak(e) >= threshold).count()
    };
    assert!(reach(false) <= 1 && reach(true) >= 1);
}

#[test]
fn a_calibration_for_something_else_is_refused() {
    let set = DataSet::new(&labelled());
    let file = calibrated(&set, &[]);
    let (frames, model) = (set.file(good_and_bad()[0]), tiny_model());
    let other = golden("untied");
    let score = |model: &str, instruction: &str, more: &[&str]| {
        let arguments = ["score", "--model", model, "--frames", &frames, "--fps", "2"];
        let calibration = ["--instruction", instruction, "--calibration", &file];
        topreward(&[&arguments[..], &calibration[..], more].concat())
    };
    ended(&score(text(&model), TASKS[0], &[]), 0, &[]);
    ended(&score(text(&other), TASKS[0], &[]), 2, &["fingerprint", "calibration.yaml"]);
    ended(&score(text(&model), "dance", &[]), 2, &["instruction", "dance"]);
    ended(&score(text(&model), TASKS[0], &["--sample-fps", "1"]), 2, &["sampling.rate_hz is 1"]);
    ended(&score(text(&model), TASKS[0], &["--chat-template"]), 2, &["chat template"]);
    ended(&score(text(&model), TASKS[0], &["--max-pixels", "4096"]), 2, &["max_pixels"]);
    ended(&score(text(&model), TASKS[0], &["--bias-control", "static"]), 2, &["bias.control"]);
    ended(&set.run("eval", &["--calibration", &file, "--chat-template"]), 2, &["chat template"]);
    let any = calibrated(&set, &["--any-instruction"]);
    assert_eq!(any, file);
    ended(&score(text(&model), "dance", &[]), 0, &[]);
}

#[test]
fn too_few_episodes_are_refused_with_the_number_needed() {
    let set = DataSet::new(&labelled());
    let out = set.file("c.yaml");
    ended(&set.run("calibrate", &["--out", &out]), 2, &["3 failures", "1/3", "at least 50"]);
    let few = DataSet::new(&labelled()[1..]);
    ended(&few.run("calibrate", &["--false-positive-rate", "0.5", "--out", &out]), 2, &["2 successes"]);
    let unwritable = ["--false-positive-rate", "0.5", "--out", "/no/such/folder/c.yaml"];
    ended(&set.run("calibrate", &unwritable), 2, &["/no/such/folder"]);
    assert!(!Path::new(&out).exists());
}
