//! The files of a model at one commit, as the hub lists them.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use hf_hub::api::sync::{ApiError, Metadata};
use serde::Deserialize;

use super::digest::Digest;
use super::progress::{Activity, Watch};
use super::remote::{Patience, Remote, Requested};
use super::source::is_hex;
use super::transfer::{self, Failure};
use super::{HubError, HubId};

const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// What the engine reads if it is there, and what others who share the cache expect beside it.
const OPTIONAL: [&str; 6] = [
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
    let model = remote.model(remote.id().revision());
    let request = transfer::in_background(move |sender| {
        let request = model.info_request().query("blobs", "true").config();
        let response = request.http_status_as_error(false).timeout_global(Some(silence * 2)).build().call();
        let answer = response.map_err(transfer::connection).and_then(|response| {
            let (head, mut body) = response.into_parts();
            if !head.status.is_success() {
                return Err(transfer::refused(head.status, &head.headers));
            }
            let text =
                body.with_config().limit(LONGEST_ANSWER).read_to_string().map_err(transfer::connection)?;
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
        let (api, url) = (remote.api(), remote.model(commit).url(name));
        let request = transfer::in_background(move |sender| {
            // Nobody may be waiting any more.
            let _ = sender.send(api.metadata(&url).map_err(api_failure));
        });
        let metadata: Result<Metadata, Failure> = wait_for_one(request, remote.silence(patience), watch)?;
        let file = metadata.and_then(|metadata| {
            let digest = Digest::parse(metadata.etag());
            let digest = digest.ok_or_else(|| Failure::Answer(format!("it has no hash of {name}")))?;
            Ok(RemoteFile { name: name.to_owned(), size: metadata.size() as u64, digest })
        });
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

fn api_failure(error: ApiError) -> Failure {
    match error {
        ApiError::RequestError(error) => match *error {
            ureq::Error::StatusCode(status) => Failure::Refused { status, code: String::new() },
            other => transfer::connection(other),
        },
        other => Failure::Answer(other.to_string()),
    }
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
