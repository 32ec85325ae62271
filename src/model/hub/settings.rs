//! How the hub is reached, from the variables that every Hugging Face program honours.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::HubError;
use super::request::without_password;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where the hub is, where its files are kept, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// `http://…` or `https://…`, without a slash at the end.
    pub endpoint: String,
    /// The folder of `models--owner--name`.
    pub cache: PathBuf,
    pub token: Option<Token>,
    /// Never open a connection.
    pub offline: bool,
    pub retry: Retry,
}

/// When a download that fails is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in a row that bring nothing, after which it is given up.
    pub attempts: u32,
    /// Time before the second try; doubled for each further one, up to ten seconds.
    pub wait: Duration,
    /// A connection that brings nothing for so long is taken for dead.
    pub silence: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, wait: Duration::from_millis(500), silence: Duration::from_secs(30) }
    }
}

/// An access token; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// `None` when there is nothing but space.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl HubSettings {
    /// From `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_OFFLINE` and their kin.
    ///
    /// # Errors
    /// An endpoint that is no address, or no place for the cache.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(HubError::Endpoint { endpoint: without_password(&endpoint) });
        }
        let home = || -> Result<PathBuf, HubError> {
            let below = |name: &str| set(name).map(|value| expand_home(&value));
            below("HF_HOME")
                .or_else(|| Some(below("XDG_CACHE_HOME")?.join("huggingface")))
                .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache/huggingface")))
                .ok_or(HubError::NoCache)
        };
        let cache = match set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")) {
            Some(path) => expand_home(&path),
            None => home()?.join("hub"),
        };
        let token = set("HF_TOKEN").and_then(|text| Token::new(&text)).or_else(|| {
            let path = match set("HF_TOKEN_PATH") {
                Some(path) => expand_home(&path),
                None => home().ok()?.join("token"),
            };
            Token::new(&std::fs::read_to_string(path).ok()?)
        });
        let offline =
            set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE")).is_some_and(|v| is_true(&v));
        Ok(Self { endpoint, cache, token, offline, retry: Retry::default() })
    }
}

/// What huggingface_hub takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_ascii_lowercase().as_str())
}

/// `~` and `~/…` with the home folder for the tilde: a parameter file is read by no shell.
pub(super) fn expand_home(text: &str) -> PathBuf {
    let rest = match text.strip_prefix('~') {
        Some("") => Some(""),
        Some(rest) => rest.strip_prefix('/'),
        None => None,
    };
    match (rest, std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<HubSettings, HubError> {
        HubSettings::from_variables(&|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        settings(variables).unwrap().cache
    }

    #[test]
    fn the_cache_is_where_every_hugging_face_program_has_it() {
        let home = ("HOME", "/h");
        assert_eq!(cache(&[home]), PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f")]), PathBuf::from("/f/hub"));
        assert_eq!(cache(&[home, ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), PathBuf::from("/c"));
        assert_eq!(cache(&[home, ("HF_HUB_CACHE", " ")]), PathBuf::from("/h/.cache/huggingface/hub"));
        assert!(settings(&[]).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn the_endpoint_is_an_address() {
        let endpoint =
            |value| Ok::<_, HubError>(settings(&[("HOME", "/h"), ("HF_ENDPOINT", value)])?.endpoint);
        assert_eq!(settings(&[("HOME", "/h")]).unwrap().endpoint, "https://huggingface.co");
        assert_eq!(endpoint("http://mirror:80/hub/").unwrap(), "http://mirror:80/hub");
        let error = endpoint("mirror").unwrap_err().to_string();
        assert!(error.contains("HF_ENDPOINT") && error.contains("\"mirror\""), "{error}");
        let error = endpoint("ftp://me:secret@mirror").unwrap_err().to_string();
        assert!(error.contains("ftp://mirror") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn offline_is_what_huggingface_hub_takes_for_yes() {
        for (name, value, offline) in [
            ("HF_HUB_OFFLINE", "1", true),
            ("HF_HUB_OFFLINE", "True", true),
            ("HF_HUB_OFFLINE", "0", false),
            ("HF_HUB_OFFLINE", "", false),
            ("TRANSFORMERS_OFFLINE", "yes", true),
        ] {
            assert_eq!(
                settings(&[("HOME", "/h"), (name, value)]).unwrap().offline,
                offline,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn a_token_is_found_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        assert!(settings(&[("HF_HOME", home)]).unwrap().token.is_none());
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let from_file = settings(&[("HF_HOME", home)]).unwrap();
        assert_eq!(from_file.token.as_ref().unwrap().secret(), "hf_file");
        let from_variable = settings(&[("HF_HOME", home), ("HF_TOKEN", " hf_variable ")]).unwrap();
        assert_eq!(from_variable.token.as_ref().unwrap().secret(), "hf_variable");
        assert!(!format!("{from_file:?}").contains("hf_file"));
    }
}
