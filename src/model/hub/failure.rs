//! Why a request brought nothing, and what an answer's headers say.

use ureq::http::{HeaderMap, StatusCode};

/// Why a request brought nothing.
#[derive(Debug)]
pub enum Failure {
    /// No connection, or one that broke.
    Connection(String),
    /// The hub's no: status, and its own word for it.
    Refused { status: u16, code: String },
    /// An answer that makes no sense.
    Answer(String),
}

pub fn connection(error: ureq::Error) -> Failure {
    Failure::Connection(match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "no such host (is there a network?)".to_owned(),
        other => other.to_string(),
    })
}

pub fn refused(status: StatusCode, headers: &HeaderMap) -> Failure {
    Failure::Refused { status: status.as_u16(), code: header(headers, "x-error-code") }
}

/// A header's text; empty when there is none.
pub fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
