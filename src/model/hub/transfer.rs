//! Requests on threads of their own: whoever waits for an answer can stop waiting at any time.
//!
//! A thread whose answer nobody waits for any more ends by itself: at its next message, or by the agent's timeouts.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, StatusCode};

use super::HubError;
use super::failure::{Failure, header, refused};
use super::progress::Watch;
use super::request::Request;

/// How often a waiting caller looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Most bytes of one message, and messages in flight: what waits in memory when the disk is slower than the network.
const MESSAGE_BYTES: usize = 256 * 1024;
const MESSAGES: usize = 8;

/// What comes of a file, in this order.
pub enum Piece {
    /// The bytes that follow begin here; `total` is the whole file's size, where the answer has it.
    Start {
        from: u64,
        total: Option<u64>,
    },
    Bytes(Vec<u8>),
}

/// Runs a request on a thread. The channel ends when the request has.
pub fn in_background<T: Send + 'static>(
    request: impl FnOnce(&SyncSender<Result<T, Failure>>) + Send + 'static,
) -> Result<Receiver<Result<T, Failure>>, Failure> {
    let (sender, receiver) = sync_channel(MESSAGES);
    std::thread::Builder::new()
        .name("hub".to_owned())
        .spawn(move || request(&sender))
        .map_err(|error| Failure::Connection(error.to_string()))?;
    Ok(receiver)
}

/// The next message; `None` at the end. The outer error is the caller's stop.
pub fn next<T>(
    receiver: &Receiver<Result<T, Failure>>,
    silence: Duration,
    watch: &mut Watch,
) -> Result<Result<Option<T>, Failure>, HubError> {
    let begin = Instant::now();
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(message) => return Ok(message.map(Some)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Ok(None)),
            Err(RecvTimeoutError::Timeout) => watch.beat()?,
        }
        if begin.elapsed() >= silence {
            let reason = format!("no data has arrived for {:.0} s", silence.as_secs_f64());
            return Ok(Err(Failure::Connection(reason)));
        }
    }
}

/// Sends a file's bytes from `from` on, in pieces.
pub fn send_file(
    agent: &ureq::Agent,
    url: String,
    authorization: Option<String>,
    from: u64,
    sender: &SyncSender<Result<Piece, Failure>>,
) {
    // A send fails when nobody waits any more: then nobody misses it.
    let send = |message| sender.send(message).is_ok();
    let range = (from > 0).then(|| format!("bytes={from}-"));
    let response = match (Request { url, authorization, range, ..Request::default() }).send(agent) {
        Ok(response) => response,
        Err(failure) => {
            send(Err(failure));
            return;
        }
    };
    let (head, body) = response.into_parts();
    let start = match head.status {
        StatusCode::OK => Ok(Piece::Start { from: 0, total: body.content_length() }),
        StatusCode::PARTIAL_CONTENT => content_range(&head.headers),
        status => Err(refused(status, &head.headers)),
    };
    let goes_on = start.is_ok();
    if !send(start) || !goes_on {
        return;
    }
    let mut reader = body.into_reader();
    let mut buffer = vec![0; MESSAGE_BYTES];
    loop {
        let message = match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => Ok(Piece::Bytes(buffer[..count].to_vec())),
            Err(error) => Err(Failure::Connection(error.to_string())),
        };
        let goes_on = message.is_ok();
        if !send(message) || !goes_on {
            return;
        }
    }
}

/// `bytes 100-199/200`
fn content_range(headers: &HeaderMap) -> Result<Piece, Failure> {
    let text = header(headers, "content-range");
    let parsed = text.strip_prefix("bytes ").and_then(|range| {
        let (range, total) = range.split_once('/')?;
        let (from, _) = range.split_once('-')?;
        Some(Piece::Start { from: from.trim().parse().ok()?, total: total.trim().parse().ok() })
    });
    parsed.ok_or_else(|| Failure::Answer(format!("its Content-Range is \"{text}\"")))
}
