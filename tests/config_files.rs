//! The parameter files that are shipped are ones that the program reads, and docs/parameters.md and
//! config/topreward.yaml are what the table of parameters makes of it:
//! `TOPREWARD_WRITE_DOCS=1 cargo test --test config_files` writes them anew.

use std::path::PathBuf;
use std::sync::Once;

use topreward::config::{Change, Config, Declaration, GROUPS, Group};

/// Columns of config/topreward.yaml.
const WIDEST: usize = 110;

const FILE_HEAD: &str = "\
# Every parameter of topreward with its default and its meaning. Copy what you change.
#
# In brackets: \"live\" if it can be set while the node runs, then its unit, then what fits. Header time is the
# time of the stamps in the headers of the images. The same file is read by topreward_node (--ros-args
# --params-file) and by the command line (--config).
#
# Written from src/config/table.rs by TOPREWARD_WRITE_DOCS=1 cargo test --test config_files.
";

const PAGE_HEAD: &str = "\
# Parameters

*Live* ones can be set while the node runs, the others are read when it starts. Numbers with a fraction may be
given as integers. *Header time* is the time of the stamps in the headers of the images.

Written from `src/config/table.rs` by `TOPREWARD_WRITE_DOCS=1 cargo test --test config_files`; a test keeps the
two equal.
";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_shipped_parameter_file_is_read() {
    write_if_asked();
    let mut read = 0;
    for entry in std::fs::read_dir(repository().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            Config::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
            read += 1;
        }
    }
    assert!(read > 0);
}

#[test]
fn the_reference_file_names_every_parameter_with_its_default() {
    write_if_asked();
    let path = repository().join("config/topreward.yaml");
    assert_eq!(Config::from_file(&path).unwrap(), Config::default());
    let yaml: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for name in Config::default().names() {
        let parameters = &yaml["topreward"]["ros__parameters"];
        let found = name.split('.').try_fold(parameters, |group, part| group.get(part));
        assert!(found.is_some(), "{name} is not in config/topreward.yaml");
    }
}

/// A parameter's default; of those of cameras, that of the camera that there is by default.
fn default(declared: &Declaration<Config>) -> String {
    Config::default().get(&declared.name_for("camera")).unwrap().to_string()
}

/// In brackets whether it is live, its unit and what fits, as far as there is anything to say.
fn details(declared: &Declaration<Config>) -> Option<String> {
    let live = if declared.change == Change::AnyTime { "live" } else { "" };
    let bounds = declared.bounds.words();
    let details = [live, declared.unit.sign(), &bounds];
    let details: Vec<&str> = details.into_iter().filter(|detail| !detail.is_empty()).collect();
    (!details.is_empty()).then(|| format!("[{}]", details.join(", ")))
}

/// A YAML comment, broken into lines.
fn comment(text: &str, indent: usize) -> String {
    let start = format!("{}#", " ".repeat(indent));
    let mut lines = vec![start.clone()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > WIDEST) {
            lines.push(start.clone());
        }
        lines.last_mut().unwrap().extend([" ", word]);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// config/topreward.yaml.
fn reference_file() -> String {
    let mut file = FILE_HEAD.to_owned();
    file += "topreward:\n  ros__parameters:\n";
    for (number, Group { name, text, parameters }) in GROUPS.iter().enumerate() {
        let mut indent = 4;
        if number > 0 {
            file += &format!("\n{}", comment(text, indent));
        }
        for part in name.split('.').filter(|part| !part.is_empty()) {
            file += &format!("{:indent$}{}:\n", "", part.replace("<name>", "camera"));
            indent += 2;
        }
        for declared in *parameters {
            let leaf = declared.name.rsplit('.').next().unwrap();
            file += &comment(declared.text, indent);
            file.extend(details(declared).map(|details| comment(&details, indent)));
            file += &format!("{:indent$}{leaf}: {}\n", "", default(declared));
        }
    }
    file
}

/// docs/parameters.md.
fn page() -> String {
    let mut page = PAGE_HEAD.to_owned();
    for Group { name, text, parameters } in GROUPS {
        let heading = if name.is_empty() { "General".to_owned() } else { format!("`{name}`") };
        page += &format!("\n## {heading}\n\n{text}\n\n");
        page +=
            "| parameter | type | default | unit | fits | live | meaning |\n|---|---|---|---|---|---|---|\n";
        for declared in *parameters {
            let of_default = Config::default().get(&declared.name_for("camera")).unwrap();
            let (kind, unit, fits) = (of_default.type_name(), declared.unit.sign(), declared.bounds.words());
            let live = if declared.change == Change::AnyTime { "live" } else { "" };
            let Declaration { name, text, .. } = declared;
            let default = default(declared);
            page += &format!("| `{name}` | {kind} | `{default}` | {unit} | {fits} | {live} | {text} |\n");
        }
    }
    page
}

/// What is written from the table: file and text.
fn made() -> [(&'static str, String); 2] {
    [("docs/parameters.md", page()), ("config/topreward.yaml", reference_file())]
}

/// Writes the files anew if that is asked for, before any test reads one.
fn write_if_asked() {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        if std::env::var_os("TOPREWARD_WRITE_DOCS").is_some() {
            for (file, text) in made() {
                std::fs::write(repository().join(file), text).unwrap();
            }
        }
    });
}

#[test]
fn the_page_and_the_reference_file_equal_the_table() {
    write_if_asked();
    for (file, text) in made() {
        let path = repository().join(file);
        let there =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(there, text, "{file}: write it anew with TOPREWARD_WRITE_DOCS=1");
    }
}
