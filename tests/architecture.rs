//! ARCHITECTURE.md is true: what it says a place must not know is not named there, rooms name each other in one
//! direction only, and what belongs to one place stays there.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/table.rs"]
mod table;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::Source;
use table::{Row, Unknown};

/// The rooms of `src/`, each with those that it may name. It names none that stands below it, so there is no circle.
const ROOMS: [(&str, &[&str]); 11] = [
    ("files", &[]),
    ("random", &[]),
    ("printable", &[]),
    ("reward", &["random"]),
    ("episode", &[]),
    ("model", &["files", "random", "reward", "episode"]),
    ("config", &["files", "reward", "episode", "model"]),
    ("live", &["reward", "episode", "model", "config"]),
    ("offline", &["files", "random", "reward", "episode", "model"]),
    ("picture", &["files", "reward", "episode", "offline"]),
    ("ros", &["printable", "reward", "episode", "model", "config", "live", "picture"]),
];

/// The command line may name every room but these.
const NOT_FOR_CLI: [&str; 2] = ["live", "ros"];

/// Crates that the library and the programs name in these places alone.
const ONLY_IN: [(&str, &[&str]); 5] = [
    ("r2r", &["src/ros", "examples/episode_player/"]),
    ("tokio", &["src/ros", "examples/episode_player/"]),
    ("candle_core", &["src/model/"]),
    ("candle_nn", &["src/model/"]),
    ("clap", &["src/cli", "examples/"]),
];

/// Circles of files inside a room that are still to be broken.
const KNOWN_CIRCLES: [&[&str]; 1] = [
    // Weights are loaded by the operations of a device, which take layers, which take their weights.
    &["model::qwen3_vl::kernels", "model::qwen3_vl::layers", "model::qwen3_vl::weights"],
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    source::read(repository(), "src")
}

fn rows() -> Vec<Row> {
    table::rows(&std::fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap())
}

/// A folder's place holds the file beside it too: `src/live/engine/` and `src/live/engine.rs` are one module.
fn is_in(file: &str, place: &str) -> bool {
    match place.strip_suffix('/') {
        Some(folder) => file.starts_with(place) || file.strip_suffix(".rs") == Some(folder),
        None => file == place,
    }
}

#[test]
fn no_place_names_what_it_must_not_know() {
    let (rows, sources) = (rows(), sources());
    let mut wrong = Vec::new();
    for row in &rows {
        for place in &row.places {
            for source in sources.iter().filter(|source| is_in(&source.file, place)) {
                let named = row.must_not_know.iter().flat_map(|unknown| breaches(source, unknown));
                wrong.extend(named.map(|breach| format!("{place}: {} names {breach}", source.file)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a file names of a thing that it must not know.
fn breaches(source: &Source, unknown: &Unknown) -> Vec<String> {
    let room = &source.module[0];
    let own = |name: &Vec<String>| name.get(1) == Some(room);
    let mut found = Vec::new();
    for path in &unknown.names {
        let others = |name: &&Vec<String>| *path != "crate" || !own(name);
        let excepted = |name: &&Vec<String>| unknown.except.iter().any(|fine| source::is_below(name, fine));
        let named = source.below(path).filter(others).filter(|name| !excepted(name));
        found.extend(named.map(|name| format!("{} ({})", name.join("::"), unknown.word)));
    }
    for mark in unknown.marks {
        found
            .extend(source.texts.iter().filter(|text| text.contains(mark)).map(|text| format!("\"{text}\"")));
    }
    found
}

#[test]
fn every_place_of_the_table_is_there_and_every_file_is_in_it() {
    let rows = rows();
    let places: Vec<&String> = rows.iter().flat_map(|row| &row.places).collect();
    for place in &places {
        assert!(repository().join(place).exists(), "ARCHITECTURE.md: there is no {place}");
    }
    let rooms_own = |file: &str| file.matches('/').count() == 1;
    for source in sources() {
        let covered = rooms_own(&source.file) || places.iter().any(|place| is_in(&source.file, place));
        assert!(covered, "ARCHITECTURE.md: no row is about {}", source.file);
    }
}

#[test]
fn rooms_name_each_other_in_one_direction_only() {
    let mut may_name: BTreeMap<&str, Vec<&str>> =
        ROOMS.iter().map(|(room, others)| (*room, others.to_vec())).collect();
    for (place, (room, others)) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[..place].iter().map(|(room, _)| *room).collect();
        assert!(others.iter().all(|other| above.contains(other)), "{room} names a room below it");
    }
    let all = ROOMS.iter().map(|(room, _)| *room).filter(|room| !NOT_FOR_CLI.contains(room));
    may_name.insert("cli", all.collect());
    for source in sources().iter().filter(|source| !source.module.is_empty() && source.module[0] != "bin") {
        let room = source.module[0].as_str();
        let allowed = may_name.get(room).unwrap_or_else(|| panic!("{room} is not in the table of rooms"));
        for other in source.names.iter().filter(|name| name[0] == "crate").filter_map(|name| name.get(1)) {
            let fine =
                other == room || allowed.contains(&other.as_str()) || !may_name.contains_key(other.as_str());
            assert!(fine, "{} names crate::{other}, which src/{room}/ may not", source.file);
        }
    }
}

#[test]
fn what_belongs_to_one_place_stays_there() {
    let programs = source::read(repository(), "examples");
    let sources: Vec<Source> = sources().into_iter().chain(programs).collect();
    for (name, places) in ONLY_IN {
        let users: Vec<&str> = sources
            .iter()
            .filter(|source| source.below(name).next().is_some())
            .map(|source| source.file.as_str())
            .collect();
        let stray: Vec<&&str> =
            users.iter().filter(|file| !places.iter().any(|place| file.starts_with(place))).collect();
        assert!(stray.is_empty(), "{name} is named in {stray:?}, but belongs to {places:?}");
        for place in places {
            assert!(users.iter().any(|file| file.starts_with(place)), "{place} does not name {name} at all");
        }
    }
}

#[test]
fn files_of_a_room_form_no_new_circles() {
    let found = circles::circles(&sources());
    let known: BTreeSet<Vec<String>> =
        KNOWN_CIRCLES.iter().map(|circle| circle.iter().map(|name| (*name).to_owned()).collect()).collect();
    let new: Vec<String> = found.difference(&known).map(|circle| circle.join(", ")).collect();
    assert!(new.is_empty(), "circles of files:\n{}", new.join("\n"));
    let gone: Vec<String> = known.difference(&found).map(|circle| circle.join(", ")).collect();
    assert!(gone.is_empty(), "these circles are no more, take them from the list:\n{}", gone.join("\n"));
}

/// The place that lists what is unsafe.
const UNSAFE_PAGE: &str = "docs/reliability.md";

#[test]
fn unsafe_code_stands_where_the_docs_say_and_says_why_it_holds() {
    let page = std::fs::read_to_string(repository().join(UNSAFE_PAGE)).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Unsafe code")).unwrap();
    let listed: BTreeSet<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut found = BTreeSet::new();
    for Source { file, .. } in sources() {
        let text = std::fs::read_to_string(repository().join(&file)).unwrap();
        if tokens::tokens(&text).iter().any(|token| token.is("unsafe")) {
            let silent = unexplained(&text);
            assert!(silent.is_empty(), "{file}: no // SAFETY: above {silent:?}");
            found.insert(file);
        }
    }
    assert!(found.iter().map(String::as_str).eq(listed), "{UNSAFE_PAGE} does not list {found:?}");
}

/// The unsafe blocks and implementations above which no comment says why they hold. Clippy asks for the same, but only in
/// what is compiled here.
fn unexplained(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let marks = ["unsafe {", "unsafe impl"];
    let is_unsafe = |line: &str| !line.starts_with("//") && marks.iter().any(|mark| line.contains(mark));
    let explained = |number: usize| {
        // Back to the statement's beginning, and over the comment above it.
        let above = lines[..number].iter().rev();
        above
            .take_while(|line| line.starts_with("//") || !line.ends_with([';', '{', '}']))
            .any(|line| line.starts_with("// SAFETY:"))
    };
    (lines.iter().enumerate())
        .filter(|(number, line)| is_unsafe(line) && !explained(*number))
        .map(|(_, line)| *line)
        .collect()
}

#[test]
fn a_block_without_a_reason_is_found() {
    let explained = "// SAFETY: it is there.\n// Always.\nlet x =\n    unsafe { *y };\n";
    assert!(unexplained(explained).is_empty());
    assert_eq!(unexplained(&format!("{explained}unsafe {{ f() }}")), ["unsafe { f() }"]);
    assert_eq!(unexplained("// Yes.\nunsafe impl Sync for X {}"), ["unsafe impl Sync for X {}"]);
}
