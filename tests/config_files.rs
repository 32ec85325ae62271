//! The parameter files that are shipped must be ones that the program reads.

use std::path::PathBuf;

use topreward::config::Config;

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
