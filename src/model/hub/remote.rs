//! The hub as one model's fetch sees it.

use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use ureq::config::RedirectAuthHeaders;

use super::progress::Watch;
use super::transfer::Failure;
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

/// One model on one hub.
pub struct Remote {
    id: HubId,
    settings: HubSettings,
    api: Api,
    agent: ureq::Agent,
}

impl Remote {
    pub fn new(id: &HubId, settings: &HubSettings) -> Result<Self, HubError> {
        let token = settings.token.as_ref().map(|token| token.secret().to_owned());
        let api = ApiBuilder::from_cache(Cache::new(settings.cache.clone()))
            .with_endpoint(settings.endpoint.clone())
            .with_token(token)
            .with_progress(false)
            .build()
            .map_err(|error| HubError::Answer {
                endpoint: settings.endpoint.clone(),
                reason: error.to_string(),
            })?;
        let agent = ureq::Agent::config_builder()
            .user_agent(concat!("topreward/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // The hub sends on to other hosts for the bytes; the token is not theirs to see.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(CONNECT))
            // Behind the waiting side's own limit: only for threads that nobody waits for any more.
            .timeout_per_read(Some(settings.retry.silence * 2))
            .build()
            .into();
        Ok(Self { id: id.clone(), settings: settings.clone(), api, agent })
    }

    pub fn id(&self) -> &HubId {
        &self.id
    }

    pub fn agent(&self) -> ureq::Agent {
        self.agent.clone()
    }

    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// The model at a revision, in hf-hub's terms.
    pub fn model(&self, revision: &str) -> ApiRepo {
        let repository = self.id.repository().to_owned();
        self.api.repo(Repo::with_revision(repository, RepoType::Model, revision.to_owned()))
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

    /// What a failed request means for whoever asked for `what`: the model's list of files, or one of them.
    pub fn error(&self, failure: Failure, what: &str) -> HubError {
        let endpoint = self.settings.endpoint.clone();
        let id = self.id.repository().to_owned();
        let (status, code, message) = match failure {
            Failure::Connection(reason) => return HubError::Connection { endpoint, reason },
            Failure::Answer(reason) => return HubError::Answer { endpoint, reason },
            Failure::Refused { status, code, message } => (status, code, message),
        };
        let has_token = self.settings.token.is_some();
        match (status, code.as_str()) {
            (_, "RevisionNotFound") => {
                HubError::NoSuchRevision { endpoint, id, revision: self.id.revision().to_owned() }
            }
            (_, "RepoNotFound") => HubError::NoSuchModel { endpoint, id },
            (_, "GatedRepo") | (403, _) => HubError::Gated { endpoint, id },
            (401, _) if has_token || message.contains("Invalid credentials") => {
                HubError::BadToken { endpoint }
            }
            (401, _) => HubError::Gated { endpoint, id },
            (404, "") if what == super::listing::WHAT => HubError::NoSuchModel { endpoint, id },
            (408 | 429 | 500.., _) => HubError::Busy { endpoint, status },
            _ => HubError::Refused { endpoint, what: what.to_owned(), status },
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
