//! What a person may write where a model is asked for: a folder, or an id on the hub.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::settings::expand_home;
use super::{HubError, HubSettings, Progress};

/// The branch that an id without a revision means.
const DEFAULT_REVISION: &str = "main";
/// The hub's own limit for each part of an id.
const LONGEST_NAME: usize = 96;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    Folder(PathBuf),
    Hub(HubId),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "\"{text}\" is neither a model folder (there is none of that name) nor a Hugging Face id (owner/name or owner/name@revision)"
)]
pub struct SourceError {
    text: String,
}

/// Why there is no folder for a text that names a model.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// The folder of the model that a text names, by [`ModelSource::parse`]; an id is fetched first, with the settings of the
/// environment. `report` as for [`super::fetch`].
///
/// # Errors
/// The text names no model, or fetching failed. Whether a folder exists is left to who opens it.
pub fn resolve(
    text: &str,
    report: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<PathBuf, ResolveError> {
    match ModelSource::parse(text)? {
        ModelSource::Folder(path) => Ok(path),
        source => Ok(source.folder(&HubSettings::from_env()?, report)?),
    }
}

impl ModelSource {
    /// A folder that exists, or a text that can only be a path (`/…`, `./…`, `../…`, `~…`), is a folder; `owner/name`
    /// and `owner/name@revision` are ids.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let is_path = ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start));
        if is_path || text == "." || text == ".." || Path::new(text).is_dir() {
            return Ok(Self::Folder(expand_home(text)));
        }
        text.parse().map(Self::Hub)
    }

    /// The model's folder; an id is fetched first.
    ///
    /// # Errors
    /// As [`super::fetch`]. Whether a folder exists is left to who opens it.
    pub fn folder(
        &self,
        settings: &HubSettings,
        report: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<PathBuf, HubError> {
        match self {
            Self::Folder(path) => Ok(path.clone()),
            Self::Hub(id) => super::fetch(id, settings, report),
        }
    }
}

/// A model on the hub: `owner/name`, at a branch, tag or commit. All parts are safe in paths and addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    repository: String,
    revision: String,
}

impl HubId {
    /// `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// A branch, a tag or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Whether the revision is a whole commit hash, whose files can never change.
    pub fn names_commit(&self) -> bool {
        is_hex(&self.revision, 40)
    }
}

impl FromStr for HubId {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let named = match repository.split_once('/') {
            Some((owner, name)) => is_name(owner) && is_name(name),
            None => false,
        };
        if !named || !is_revision(revision) {
            return Err(SourceError { text: text.to_owned() });
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.to_owned() })
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

/// The hub's rule for owners and names.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty()
        && text.len() <= LONGEST_NAME
        && text.chars().all(allowed)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// A branch may have slashes (`refs/pr/1`), but must not lead out of the cache's folder of references.
fn is_revision(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    text.split('/').all(|part| !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.'))
}

pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(text: &str) -> (String, String) {
        match ModelSource::parse(text).unwrap() {
            ModelSource::Hub(id) => (id.repository, id.revision),
            ModelSource::Folder(path) => panic!("{text} is the folder {}", path.display()),
        }
    }

    #[test]
    fn ids_are_owner_name_and_revision() {
        let main = |text: &str| (text.to_owned(), "main".to_owned());
        assert_eq!(hub("Qwen/Qwen3-VL-2B-Instruct"), main("Qwen/Qwen3-VL-2B-Instruct"));
        assert_eq!(hub("a/b.c_d@refs/pr/1"), ("a/b.c_d".to_owned(), "refs/pr/1".to_owned()));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let id: HubId = format!("a/b@{commit}").parse().unwrap();
        assert!(id.names_commit());
        assert_eq!(id.to_string(), format!("a/b@{commit}"));
        assert_eq!("a/b".parse::<HubId>().unwrap().to_string(), "a/b");
    }

    #[test]
    fn folders_are_what_exists_or_can_only_be_a_path() {
        let here = |text: &str| ModelSource::parse(text).unwrap();
        for path in ["/no/such/folder", "./a/b", "../a", ".", "tests/golden"] {
            assert_eq!(here(path), ModelSource::Folder(PathBuf::from(path)));
        }
        let home = std::env::home_dir().unwrap();
        assert_eq!(here("~/models/x"), ModelSource::Folder(home.join("models/x")));
        assert_eq!(here("~someone/x"), ModelSource::Folder(PathBuf::from("~someone/x")));
    }

    #[test]
    fn anything_else_names_both_possibilities() {
        for text in [
            "",
            "gpt2",
            "a/b/c",
            "a/",
            "a/@b",
            "a b/c",
            "a/b@",
            "a/b@x y",
            "a/b@../x",
            "a/b@x//y",
            "a/b?c",
            "a/..",
            "-a/b",
            "a/b--c",
            "a/b@x/.lock",
            "package://a/b",
            "https://huggingface.co/a/b",
            "C:\\models",
        ] {
            let error = ModelSource::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
            assert!(error.contains("folder") && error.contains("owner/name"), "{error}");
        }
        assert!(format!("a/{}", "x".repeat(97)).parse::<HubId>().is_err());
    }
}
