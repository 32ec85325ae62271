//! The files of a model at one commit, as the hub lists them.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::response::Parts;

use super::digest::Digest;
use super::failure::{self, Failure};
use super::progress::{Activity, Watch};
use super::remote::{Patience, Remote, Requested};
use super::request::Request;
use super::source::is_hex;
use super::transfer;
use super::{HubError, HubId};

const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// What the engine reads if it is there, and what others who share the cache expect beside it.
/// An adapter too: whoever loads the folder is to see that it would be left out.
const OPTIONAL: [&str; 7] = [
    "adapter_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    INDEX_FILE,
];
const TEMPLATE: &str = "chat_template.";
const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// No list of files is longer than this.
const LONGEST_ANSWER: u64 = 64 << 20;

/// One file of the commit that the engine may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Without folders.
    pub name: String,
    /// In bytes.
    pub size: u64,
    pub digest: Digest,
}

/// What is asked of the hub: all files that the engine may need, at one commit.
#[derive(Debug)]
pub struct Listing {
    /// 40 hexadecimal digits.
    pub commit: String,
    files: Vec<RemoteFile>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Sibling {
    /// Where the list itself has it.
    fn file(&self) -> Option<RemoteFile> {
        let name = self.rfilename.clone();
        match &self.lfs {
            Some(lfs) => Some(RemoteFile { name, size: lfs.size, digest: Digest::parse(&lfs.sha256)? }),
            None => {
                Some(RemoteFile { name, size: self.size?, digest: Digest::parse(self.blob_id.as_deref()?)? })
            }
        }
    }
}

/// Asks for the list of files.
///
/// # Errors
/// No connection, no such model or revision, no right to it, or an answer that is no list.
pub fn ask(remote: &Remote, patience: Patience, watch: &mut Watch) -> Result<Listing, HubError> {
    watch.now(Activity::Asking, 0)?;
    let mut tries = remote.tries(patience);
    let answer = loop {
        match ask_once(remote, patience, watch)? {
            Ok(answer) => break answer,
            Err(failure) => tries.again_after(remote.error(failure, Requested::FileList), watch)?,
        }
    };
    if !is_hex(&answer.sha, 40) {
        let failure = Failure::Answer(format!("\"{}\" is not a commit", answer.sha));
        return Err(remote.error(failure, Requested::FileList));
    }
    let mut files = Vec::new();
    for sibling in answer.siblings.iter().filter(|sibling| is_of_use(&sibling.rfilename)) {
        files.push(match sibling.file() {
            Some(file) => file,
            None => ask_for_file(remote, &answer.sha, &sibling.rfilename, patience, watch)?,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Listing { commit: answer.sha, files })
}

fn ask_once(
    remote: &Remote,
    patience: Patience,
    watch: &mut Watch,
) -> Result<Result<Answer, Failure>, HubError> {
    let silence = remote.silence(patience);
    let (agent, url, authorization) = (remote.agent(), remote.list_url(), remote.authorization());
    let request = transfer::in_background(move |sender| {
        let request = Request { url, authorization, limit: Some(silence * 2), ..Request::default() };
        let answer = request.send(&agent).and_then(|response| {
            let (head, mut body) = response.into_parts();
            if !head.status.is_success() {
                return Err(failure::refused(head.status, &head.headers));
            }
            let text =
                body.with_config().limit(LONGEST_ANSWER).read_to_string().map_err(failure::connection)?;
            serde_json::from_str(&text).map_err(|error| {
                Failure::Answer(format!("{} is not a list of files: {error}", Requested::FileList))
            })
        });
        // Nobody may be waiting any more.
        let _ = sender.send(answer);
    });
    wait_for_one(request, silence, watch)
}

/// The size and hash of a file by the headers of its address: some mirrors' lists are bare names.
fn ask_for_file(
    remote: &Remote,
    commit: &str,
    name: &str,
    patience: Patience,
    watch: &mut Watch,
) -> Result<RemoteFile, HubError> {
    let mut tries = remote.tries(patience);
    loop {
        let (agent, url, authorization) =
            (remote.agent(), remote.file_url(commit, name), remote.authorization());
        let request = transfer::in_background(move |sender| {
            let range = Some("bytes=0-0".to_owned());
            let request = Request { url, authorization, range, stay: true, ..Request::default() };
            // Nobody may be waiting any more.
            let _ = sender.send(request.send(&agent).map(|response| response.into_parts().0));
        });
        let head: Result<Parts, Failure> = wait_for_one(request, remote.silence(patience), watch)?;
        let file = head.and_then(|head| described(name, &head));
        match file {
            Ok(file) => return Ok(file),
            Err(failure) => tries.again_after(remote.error(failure, Requested::File(name)), watch)?,
        }
    }
}

/// The one message of a request.
fn wait_for_one<T>(
    request: Result<Receiver<Result<T, Failure>>, Failure>,
    silence: Duration,
    watch: &mut Watch,
) -> Result<Result<T, Failure>, HubError> {
    let receiver = match request {
        Ok(receiver) => receiver,
        Err(failure) => return Ok(Err(failure)),
    };
    let message = transfer::next(&receiver, silence, watch)?;
    let nothing = || Failure::Connection("the request ended without an answer".to_owned());
    Ok(message.and_then(|answer| answer.ok_or_else(nothing)))
}

/// The size and hash of a file, from the head of an answer with its first byte or with the way to it.
fn described(name: &str, head: &Parts) -> Result<RemoteFile, Failure> {
    if head.status.is_client_error() || head.status.is_server_error() {
        return Err(failure::refused(head.status, &head.headers));
    }
    let text = |name: &str| failure::header(&head.headers, name);
    let either =
        |linked: &str, own: String| Some(text(linked)).filter(|text| !text.is_empty()).unwrap_or(own);
    let of_range = text("content-range").rsplit('/').next().unwrap_or_default().to_owned();
    let etag = either("x-linked-etag", text("etag"));
    let digest = Digest::parse(etag.trim_start_matches("W/").trim_matches('"'));
    let digest = digest.ok_or_else(|| Failure::Answer(format!("it has no hash of {name}")))?;
    let size = either("x-linked-size", of_range).parse();
    let size = size.map_err(|_| Failure::Answer(format!("it does not say how large {name} is")))?;
    Ok(RemoteFile { name: name.to_owned(), size, digest })
}

impl Listing {
    /// Everything but the weights.
    pub fn small_files(&self, id: &HubId) -> Result<Vec<&RemoteFile>, HubError> {
        for name in REQUIRED {
            self.find(id, name)?;
        }
        Ok(self.files.iter().filter(|file| !is_weight(&file.name)).collect())
    }

    /// The weight files, as far as they can be known before the index is read.
    pub fn weight_candidates(&self, id: &HubId) -> Result<Vec<&RemoteFile>, HubError> {
        if let Some(single) = self.single_weight_file() {
            return Ok(vec![single]);
        }
        if self.get(INDEX_FILE).is_none() {
            return Err(not_on_hub(id, SINGLE_FILE));
        }
        Ok(self.files.iter().filter(|file| is_weight(&file.name)).collect())
    }

    pub fn single_weight_file(&self) -> Option<&RemoteFile> {
        self.get(SINGLE_FILE)
    }

    /// The files of these names, all of which must be there.
    pub fn named(&self, id: &HubId, names: &[String]) -> Result<Vec<&RemoteFile>, HubError> {
        names.iter().map(|name| self.find(id, name)).collect()
    }

    fn find(&self, id: &HubId, name: &str) -> Result<&RemoteFile, HubError> {
        self.get(name).ok_or_else(|| not_on_hub(id, name))
    }

    fn get(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

fn not_on_hub(id: &HubId, file: &str) -> HubError {
    HubError::NotOnHub { id: id.to_string(), file: file.to_owned() }
}

/// Files in folders are never of use, so that no name leads out of the snapshot.
fn is_of_use(name: &str) -> bool {
    let known = REQUIRED.contains(&name) || OPTIONAL.contains(&name) || name.starts_with(TEMPLATE);
    (known || is_weight(name)) && !name.contains(['/', '\\'])
}

fn is_weight(name: &str) -> bool {
    name.ends_with(".safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_the_engine_may_need_are_taken() {
        for name in ["config.json", "model-00001-of-00002.safetensors", "chat_template.jinja", INDEX_FILE] {
            assert!(is_of_use(name), "{name}");
        }
        for name in [
            "README.md",
            "pytorch_model.bin",
            "model.gguf",
            "onnx/model.onnx",
            "vae/model.safetensors",
            "../model.safetensors",
            "chat_template./../../x",
        ] {
            assert!(!is_of_use(name), "{name}");
        }
    }
}
