//! A model folder on disk, as Hugging Face lays it out.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::error::LoadError;
use crate::files;

/// Bytes of a text file that are read: tokenizers of this architecture have 7 to 12 million.
const LONGEST_TEXT: u64 = 24 << 20;

/// Reads the files of one model folder; every failure names its file.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    path: PathBuf,
}

impl ModelFolder {
    /// # Errors
    /// [`LoadError::NoFolder`] when `path` is not a folder.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        if !path.is_dir() {
            return Err(LoadError::NoFolder);
        }
        Ok(Self { path: path.to_owned() })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.file(name).is_file()
    }

    /// The names of its files that end so, in order.
    pub fn ending_in(&self, end: &str) -> Result<Vec<String>, LoadError> {
        let unreadable = |source| LoadError::Read { file: "the folder".to_owned(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let given = |name: &String| name.ends_with(end) && self.has(name) && !name.starts_with('.');
            names.extend(name.into_string().ok().filter(given));
        }
        names.sort();
        Ok(names)
    }

    /// The text of a file that must be there.
    pub fn read(&self, name: &str) -> Result<String, LoadError> {
        files::read_text(&self.file(name), LONGEST_TEXT).map_err(|source| match source.kind() {
            ErrorKind::NotFound => LoadError::MissingFile { file: name.to_owned() },
            _ => LoadError::Read { file: name.to_owned(), source },
        })
    }

    /// A JSON file that must be there.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, LoadError> {
        serde_json::from_str(&self.read(name)?)
            .map_err(|source| LoadError::Json { file: name.to_owned(), source })
    }

    /// A JSON file that need not be there.
    pub fn read_json_if_present<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LoadError> {
        if self.has(name) { self.read_json(name).map(Some) } else { Ok(None) }
    }
}
