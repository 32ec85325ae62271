//! docs/outputs.md names every field.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{ended, json, repository};
use crate::data_set::DataSet;

/// The first column of the table below a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(repository().join("docs/outputs.md")).unwrap();
    let (_, below) = page.split_once(heading).unwrap_or_else(|| panic!("the page has no \"{heading}\""));
    let rows = below.lines().skip(1).skip_while(|line| !line.starts_with('|'));
    let names = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split('`').nth(1));
    names.map(str::to_owned).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_pages_fields_are_the_files() {
    let set = DataSet::new(3);
    std::fs::write(set.path().join("episode_002/0.png"), b"no picture").unwrap();
    let out = set.out("out");
    let more = ["--bias-control", "static", "--instruction", "lift it"];
    ended(&set.score(&out, &more), 1, &[]);
    let read =
        |file: &str| -> Value { serde_json::from_slice(&std::fs::read(out.join(file)).unwrap()).unwrap() };
    let result = read("episodes/episode_000.json");
    assert_eq!(keys(&result), documented("### `episodes/NAME.json`"));
    assert_eq!(keys(&result["prefixes"][0]), documented("#### `prefixes`"));
    let run = read("run.json");
    assert_eq!(keys(&run), documented("### `run.json`"));
    assert_eq!(keys(&run["settings"]), documented("#### `settings`"));
    let errors = read("errors.json");
    assert_eq!(keys(&errors["errors"][0]), documented("### `errors.json`"));
    std::fs::copy(set.path().join("episode_000/0.png"), set.path().join("episode_002/0.png")).unwrap();
    let summary = json(&set.score(&out, &[&more[..], &["--resume", "--json"]].concat()));
    assert_eq!(keys(&summary), documented("### The summary"));
    assert_eq!(keys(&summary["episodes"][0]), documented("#### `episodes`"));
    for schema in [&result, &run, &errors, &summary] {
        assert_eq!(schema["schema"], 1);
    }
}
