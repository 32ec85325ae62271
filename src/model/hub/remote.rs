//! The hub as one model's fetch sees it.

use std::fmt;
use std::time::Duration;

use hf_hub::{Repo, RepoType};

use super::failure::Failure;
use super::progress::Watch;
use super::request::without_password;
use super::{HubError, HubId, HubSettings};

const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take when there is a cache to fall back on.
const SHORT_SILENCE: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Once and not for long.
    Short,
    /// As the settings say.
    Full,
}

/// What a request asks the hub for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested<'a> {
    /// The names, sizes and hashes of the model's files.
    FileList,
    /// One file, by its name.
    File(&'a str),
}

impl fmt::Display for Requested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileList => f.write_str("the list of files"),
            Self::File(name) => f.write_str(name),
        }
    }
}

/// One model on one hub.
pub struct Remote {
    id: HubId,
    settings: HubSettings,
    agent: ureq::Agent,
}

impl Remote {
    pub fn new(id: &HubId, settings: &HubSettings) -> Self {
        let agent = ureq::Agent::config_builder()
            .user_agent(concat!("topreward/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // They are followed in `request.rs`, which knows whose the token is.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            // Behind the waiting side's own limit: only for threads that nobody waits for any more.
            .timeout_per_read(Some(settings.retry.silence * 2))
            .build()
            .into();
        Self { id: id.clone(), settings: settings.clone(), agent }
    }

    pub fn id(&self) -> &HubId {
        &self.id
    }

    pub fn agent(&self) -> ureq::Agent {
        self.agent.clone()
    }

    /// The model at a revision, in hf-hub's terms.
    fn model(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.repository().to_owned(), RepoType::Model, revision.to_owned())
    }

    /// Where the list of the model's files is.
    pub fn list_url(&self) -> String {
        let model = self.model(self.id.revision());
        format!("{}/api/{}?blobs=true", self.settings.endpoint, model.api_url())
    }

    /// Where a file of the model is.
    pub fn file_url(&self, commit: &str, name: &str) -> String {
        let model = self.model(commit);
        format!("{}/{}/resolve/{}/{name}", self.settings.endpoint, model.url(), model.url_revision())
    }

    pub fn authorization(&self) -> Option<String> {
        self.settings.token.as_ref().map(|token| format!("Bearer {}", token.secret()))
    }

    /// How long nothing may come before the connection is given up.
    pub fn silence(&self, patience: Patience) -> Duration {
        match patience {
            Patience::Short => SHORT_SILENCE.min(self.settings.retry.silence),
            Patience::Full => self.settings.retry.silence,
        }
    }

    pub fn tries(&self, patience: Patience) -> Tries {
        let attempts = match patience {
            Patience::Short => 1,
            Patience::Full => self.settings.retry.attempts,
        };
        Tries { attempts, used: 1, first_wait: self.settings.retry.wait }
    }

    /// What the failure of a request means for whoever made it.
    pub fn error(&self, failure: Failure, requested: Requested<'_>) -> HubError {
        let endpoint = without_password(&self.settings.endpoint);
        let id = self.id.repository().to_owned();
        let (status, code) = match failure {
            Failure::Connection(reason) => {
                return HubError::Connection { endpoint, reason: without_password(&reason) };
            }
            Failure::Answer(reason) => {
                return HubError::Answer { endpoint, reason: without_password(&reason) };
            }
            Failure::Refused { status, code } => (status, code),
        };
        let has_token = self.settings.token.is_some();
        match (status, code.as_str()) {
            (_, "RevisionNotFound") => {
                HubError::NoSuchRevision { endpoint, id, revision: self.id.revision().to_owned() }
            }
            (_, "RepoNotFound") => HubError::NoSuchModel { endpoint, id },
            (_, "GatedRepo") | (403, _) => HubError::Gated { endpoint, id },
            (401, _) if has_token => HubError::BadToken { endpoint },
            (401, _) => HubError::Gated { endpoint, id },
            (404, "") if requested == Requested::FileList => HubError::NoSuchModel { endpoint, id },
            (408 | 429 | 500.., _) => HubError::Busy { endpoint, status },
            _ => HubError::Refused { endpoint, what: requested.to_string(), status },
        }
    }
}

/// Counts the tries of one request.
pub struct Tries {
    attempts: u32,
    used: u32,
    first_wait: Duration,
}

impl Tries {
    /// Waits before the next try.
    ///
    /// # Errors
    /// `error` itself, when there is no sense in another try or none is left.
    pub fn again_after(&mut self, error: HubError, watch: &mut Watch) -> Result<(), HubError> {
        if !error.is_passing() || self.used >= self.attempts {
            return Err(error);
        }
        log::info!("{error}; trying again");
        let wait = self.first_wait.saturating_mul(1 << (self.used - 1).min(10)).min(LONGEST_WAIT);
        self.used += 1;
        watch.sleep(wait)
    }

    /// Something came: the count begins anew.
    pub fn renew(&mut self) {
        self.used = 1;
    }
}
