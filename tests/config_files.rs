//! The parameter files that are shipped must be ones that the program reads.

use std::path::PathBuf;

use topreward::config::{Change, Config, declaration, pattern};

#[test]
fn every_shipped_parameter_file_is_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
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
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/topreward.yaml");
    assert_eq!(Config::from_file(&path).unwrap(), Config::default());
    let text = std::fs::read_to_string(path).unwrap();
    for (name, _) in Config::default().to_parameters().unwrap() {
        let leaf = name.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{leaf}:")), "{name} is not in config/topreward.yaml");
    }
}

/// The page of all parameters, from their declarations.
fn parameter_page() -> String {
    let mut page = String::from(
        "# Parameters\n\nWritten from the declarations in `src/config/declarations.rs` by `TOPREWARD_WRITE_DOCS=1 cargo test --test \
         config_files`; a test keeps the two equal. *Live* ones can be set while the node runs, the others when it starts. Numbers \
         with a fraction may be given as integers.\n\n| parameter | default | live | fits | meaning |\n|---|---|---|---|---|\n",
    );
    for (name, default) in Config::default().to_parameters().unwrap() {
        let declared = declaration(&name).unwrap();
        let live = if declared.change == Change::AnyTime { "live" } else { "" };
        let default = serde_json::to_string(&default).unwrap();
        let (words, description) = (declared.bounds.words(), declared.description);
        let name = pattern(&name);
        page += &format!("| `{name}` | `{default}` | {live} | {words} | {description} |\n");
    }
    page
}

#[test]
fn the_page_of_parameters_equals_the_declarations() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/parameters.md");
    let page = parameter_page();
    if std::env::var_os("TOPREWARD_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(there, page, "write it anew with TOPREWARD_WRITE_DOCS=1");
}
