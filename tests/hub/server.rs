//! A hub on 127.0.0.1 with one model: the paths, headers and refusals of huggingface.co, and its mishaps on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::json;

pub const ID: &str = "lab/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub host: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// What goes wrong, until it is set otherwise.
#[derive(Debug, Clone, Default)]
pub struct Mishaps {
    /// Bytes after which the next answers with this file break off, one entry each.
    pub cuts: Vec<(&'static str, usize)>,
    /// A file with one byte changed.
    pub corrupt: Option<&'static str>,
    /// A file that comes shorter than the list says.
    pub shorter: Option<&'static str>,
    /// A file that goes silent in the middle, and of which no later answer has a byte; the connections stay open.
    pub silent: Option<&'static str>,
    /// The next answers are this status.
    pub statuses: Vec<u16>,
    /// A refusal for all paths that hold the text: status, x-error-code, x-error-message.
    pub refusal: Option<(&'static str, u16, &'static str, &'static str)>,
    /// Ranges are not understood.
    pub no_ranges: bool,
    /// Large files lie with the server at this port of the hub's own address.
    pub elsewhere: Option<u16>,
    /// The list has names only.
    pub bare_list: bool,
    /// Time before each answer with bytes.
    pub delay: Duration,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    seen: Vec<Seen>,
    mishaps: Mishaps,
}

/// The server runs until the test's process ends.
#[derive(Clone)]
pub struct Hub {
    pub endpoint: String,
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// Serves all files of a folder.
    pub fn of(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
        });
        let state = State { files: files.collect(), seen: Vec::new(), mishaps: Mishaps::default() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hub =
            Self { endpoint: format!("http://127.0.0.1:{port}"), port, state: Arc::new(Mutex::new(state)) };
        let server = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                // A client that goes away in the middle is part of the tests.
                std::thread::spawn(move || server.answer(stream.unwrap()).ok());
            }
        });
        hub
    }

    pub fn put(&self, name: &str, content: &[u8]) {
        self.state.lock().unwrap().files.insert(name.to_owned(), content.to_owned());
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        self.state.lock().unwrap().files[name].clone()
    }

    pub fn mishaps(&self, mishaps: Mishaps) {
        self.state.lock().unwrap().mishaps = mishaps;
    }

    /// The requests since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// The files asked for since the last call, with their ranges.
    pub fn take_files(&self) -> Vec<(String, Option<String>)> {
        let seen = self.take_seen().into_iter().filter(|seen| seen.path.contains("/resolve/"));
        seen.map(|seen| (seen.path.rsplit('/').next().unwrap().to_owned(), seen.range)).collect()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(seen) = read_request(&stream)? else { return Ok(()) };
        let (files, mishaps) = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(seen.clone());
            let mishaps = state.mishaps.clone();
            if !mishaps.statuses.is_empty() {
                state.mishaps.statuses.remove(0);
            }
            (state.files.clone(), mishaps)
        };
        let path = seen.path.split('?').next().unwrap();
        if let Some(status) = mishaps.statuses.first() {
            return respond(&mut stream, *status, &[], b"");
        }
        if let Some((part, status, code, message)) = mishaps.refusal
            && seen.path.contains(part)
        {
            let headers = [("x-error-code", code), ("x-error-message", message)];
            return respond(&mut stream, status, &headers, b"{\"error\": \"no\"}");
        }
        if path.starts_with(&format!("/api/models/{ID}/revision/")) {
            if !["main", COMMIT, "v1"].contains(&path.rsplit('/').next().unwrap()) {
                return respond(&mut stream, 404, &[("x-error-code", "RevisionNotFound")], b"");
            }
            let bare = mishaps.bare_list || !seen.path.contains("blobs=true");
            return respond(&mut stream, 200, &[], list(&files, bare).as_bytes());
        }
        if let Some(name) = path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/"))
            && let Some(content) = files.get(name)
        {
            if !is_large(name) {
                return self.send(&mut stream, &seen, name, content, &mishaps);
            }
            // Large files lie with another host.
            let location = match mishaps.elsewhere {
                Some(port) => format!("http://127.0.0.1:{port}/cdn/{name}"),
                None => format!("http://localhost:{}/cdn/{name}", self.port),
            };
            let (etag, size) = (format!("\"{}\"", sha256(content)), content.len().to_string());
            let headers = [
                ("Location", location.as_str()),
                ("x-linked-etag", &etag),
                ("x-linked-size", &size),
                ("x-repo-commit", COMMIT),
            ];
            return respond(&mut stream, 302, &headers, b"");
        }
        if let Some(name) = path.strip_prefix("/cdn/") {
            return self.send(&mut stream, &seen, name, &files[name], &mishaps);
        }
        respond(&mut stream, 401, &[("x-error-code", "RepoNotFound")], b"")
    }

    /// A file, or the range of it that was asked for, with what goes wrong on the way.
    fn send(
        &self,
        stream: &mut TcpStream,
        seen: &Seen,
        name: &str,
        content: &[u8],
        mishaps: &Mishaps,
    ) -> std::io::Result<()> {
        std::thread::sleep(mishaps.delay);
        let mut content = content.to_owned();
        let etag = format!("\"{}\"", git_blob(&content));
        if mishaps.corrupt == Some(name) {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        }
        if mishaps.shorter == Some(name) {
            content.pop();
        }
        let total = content.len();
        let range = seen.range.as_deref().filter(|_| !mishaps.no_ranges).map(|range| {
            let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let to = to.parse().map_or(total, |to: usize| to + 1);
            (from.parse::<usize>().unwrap(), to)
        });
        let (status, (from, to)) = range.map_or((200, (0, total)), |range| (206, range));
        if from >= total {
            return respond(stream, 416, &[("Content-Range", &format!("bytes */{total}"))], b"");
        }
        let cut = {
            let mut state = self.state.lock().unwrap();
            let found = state.mishaps.cuts.iter().position(|(file, _)| *file == name);
            found.map(|index| state.mishaps.cuts.remove(index).1)
        };
        write!(stream, "HTTP/1.1 {status} x\r\nConnection: close\r\netag: {etag}\r\n")?;
        write!(stream, "x-repo-commit: {COMMIT}\r\nContent-Length: {}\r\n", to - from)?;
        if status == 206 {
            write!(stream, "Content-Range: bytes {from}-{}/{total}\r\n", to - 1)?;
        }
        stream.write_all(b"\r\n")?;
        let body = &content[from..to];
        if mishaps.silent == Some(name) {
            stream.write_all(&body[..if from == 0 { body.len() / 2 } else { 0 }])?;
            // Until the other side hangs up.
            let _ = stream.read(&mut [0])?;
            return Ok(());
        }
        stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<Seen>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let mut seen = Seen { path, host: String::new(), range: None, authorization: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "host" => seen.host = value,
            "range" => seen.range = Some(value),
            "authorization" => seen.authorization = Some(value),
            _ => {}
        }
    }
    Ok(Some(seen))
}

fn respond(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(body)
}

fn list(files: &BTreeMap<String, Vec<u8>>, bare: bool) -> String {
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, content)| match (bare, is_large(name)) {
            (true, _) => json!({"rfilename": name}),
            (false, false) => {
                json!({"rfilename": name, "size": content.len(), "blobId": git_blob(content)})
            }
            (false, true) => json!({
                "rfilename": name, "size": content.len(), "blobId": git_blob(b"pointer"),
                "lfs": {"sha256": sha256(content), "size": content.len(), "pointerSize": 135},
            }),
        })
        .collect();
    json!({"id": ID, "modelId": ID, "sha": COMMIT, "private": false, "siblings": siblings}).to_string()
}

/// As on the hub, weights and tokenizer.json are not in git itself.
fn is_large(name: &str) -> bool {
    [".safetensors", ".bin"].iter().any(|end| name.ends_with(end)) || name == "tokenizer.json"
}

pub fn sha256(content: &[u8]) -> String {
    hex(digest(&SHA256, content).as_ref())
}

pub fn git_blob(content: &[u8]) -> String {
    let whole = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &whole).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
