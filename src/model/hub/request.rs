//! One request to the hub, which keeps the token to the place that it is for.
//!
//! The hub sends on to other hosts for the bytes of large files. Redirects are followed here: the token goes with one only as
//! long as scheme, host and port are those of the address that was asked first.

use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, Uri};

use super::failure::{Failure, connection};

const MOST_REDIRECTS: usize = 10;

/// What is asked, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub url: String,
    /// The value of the header of that name.
    pub authorization: Option<String>,
    pub range: Option<String>,
    /// For the whole answer.
    pub limit: Option<Duration>,
    /// Only within the place asked first: another one's headers say nothing of the file.
    pub stay: bool,
}

/// Scheme, host and port.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Request {
    /// # Errors
    /// No connection, or redirects that lead nowhere. A refusal is an answer like any other.
    pub fn send(&self, agent: &ureq::Agent) -> Result<Response<Body>, Failure> {
        let first = Origin::of(&self.url)?;
        let mut url = self.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let own = Origin::of(&url)? == first;
            let response = self.once(agent, &url, own)?;
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok(response);
            };
            let next = resolved(&url, location);
            if self.stay && Origin::of(&next)? != first {
                return Ok(response);
            }
            url = next;
        }
        Err(Failure::Answer(format!("it sends on more than {MOST_REDIRECTS} times")))
    }

    fn once(&self, agent: &ureq::Agent, url: &str, own: bool) -> Result<Response<Body>, Failure> {
        // A compressed answer would have other byte positions than the file.
        let mut request = agent.get(url).header("Accept-Encoding", "identity");
        if let Some(range) = &self.range {
            request = request.header("Range", range);
        }
        if let Some(authorization) = self.authorization.as_ref().filter(|_| own) {
            request = request.header("Authorization", authorization);
        }
        request.config().timeout_global(self.limit).build().call().map_err(connection)
    }
}

impl Origin {
    fn of(url: &str) -> Result<Self, Failure> {
        let nowhere = || Failure::Answer("it sends on to what is no address".to_owned());
        let uri: Uri = url.parse().map_err(|_| nowhere())?;
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(nowhere()),
        };
        let host = uri.host().ok_or_else(nowhere)?.to_ascii_lowercase();
        Ok(Self { scheme, host, port: uri.port_u16().unwrap_or(usual) })
    }
}

/// The address that a redirect from `url` leads to (RFC 3986, 4.2).
fn resolved(url: &str, location: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if location.contains("://") {
        location.to_owned()
    } else if let Some(place) = location.strip_prefix("//") {
        format!("{scheme}://{place}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", &rest[..path])
    } else {
        let asked = rest.split(['?', '#']).next().unwrap_or(rest);
        let folder = asked.rfind('/').map_or(asked, |end| &asked[..end]);
        format!("{scheme}://{folder}/{location}")
    }
}

/// A text without the name and password that an address in it may hold (`https://user:password@host`).
pub fn without_password(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = behind.find(|c: char| c == '/' || c.is_whitespace() || c == '"').unwrap_or(behind.len());
        rest = match behind[..end].rfind('@') {
            Some(at) => &behind[at + 1..],
            None => behind,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_or_scheme_is_another_place() {
        let same = |a: &str, b: &str| Origin::of(a).unwrap() == Origin::of(b).unwrap();
        assert!(same("https://hub/a", "https://HUB:443/b?c"));
        for other in ["http://hub/a", "https://hub:444/a", "https://hub.evil/a", "https://evil/hub"] {
            assert!(!same("https://hub/a", other), "{other}");
        }
        assert!(Origin::of("file:///etc/passwd").is_err() && Origin::of("hub").is_err());
    }

    #[test]
    fn redirects_are_resolved_as_the_standard_has_it() {
        let from = |location| resolved("https://h:1/a/b?c", location);
        assert_eq!(from("/x"), "https://h:1/x");
        assert_eq!(from("x"), "https://h:1/a/x");
        assert_eq!(from("//o/x"), "https://o/x");
        assert_eq!(from("http://o/x"), "http://o/x");
        assert_eq!(resolved("https://h", "/x"), "https://h/x");
    }

    #[test]
    fn passwords_are_not_repeated() {
        assert_eq!(without_password("https://me:secret@hub:80/a says no"), "https://hub:80/a says no");
        assert_eq!(without_password("ftp://a@b, http://c/d@e"), "ftp://b, http://c/d@e");
        assert_eq!(without_password("no address, me@home"), "no address, me@home");
    }
}
