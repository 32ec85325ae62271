//! Models by their id, against a hub on this machine.

mod command;
mod mishaps;
mod refusals;
mod server;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::RgbImage;
use server::{COMMIT, Hub, ID, Mishaps, git_blob, sha256};
use tempfile::TempDir;
use topreward::model::hub::{
    Activity, HubError, HubId, HubSettings, ModelSource, Progress, Retry, Token, fetch,
};
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use topreward::model::{LogProbs, VideoVlm};

const WEIGHTS: &str = "model.safetensors";

fn golden(checkpoint: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(checkpoint)
}

/// A hub with the tiny model, and an empty cache.
struct Lab {
    hub: Hub,
    home: TempDir,
    settings: HubSettings,
}

impl Lab {
    fn new() -> Self {
        Self::with("tied")
    }

    fn with(checkpoint: &str) -> Self {
        let (hub, home) = (Hub::of(&golden(checkpoint)), tempfile::tempdir().unwrap());
        let retry = Retry { attempts: 3, wait: Duration::from_millis(20), silence: Duration::from_secs(5) };
        let settings = HubSettings {
            endpoint: hub.endpoint.clone(),
            cache: home.path().join("hub"),
            token: None,
            offline: false,
            retry,
        };
        Self { hub, home, settings }
    }

    fn fetch(&self) -> Result<PathBuf, HubError> {
        self.fetch_id(ID)
    }

    fn fetch_id(&self, id: &str) -> Result<PathBuf, HubError> {
        fetch(&id.parse().unwrap(), &self.settings, &mut |_| ControlFlow::Continue(()))
    }

    fn refused(&self, id: &str, parts: &[&str]) -> HubError {
        let error = self.fetch_id(id).unwrap_err();
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        for part in parts {
            assert!(text.contains(part), "\"{part}\" is not in: {text}");
        }
        error
    }

    fn model(&self) -> PathBuf {
        self.settings.cache.join("models--lab--tiny")
    }

    /// The blob of a file by its hash, and its part file.
    fn blob(&self, name: &str) -> (PathBuf, PathBuf) {
        let content = self.hub.content(name);
        let large = name.ends_with(".safetensors") || name == "tokenizer.json";
        let hash = if large { sha256(&content) } else { git_blob(&content) };
        let blob = self.model().join("blobs").join(hash);
        (blob.clone(), blob.with_extension("part"))
    }

    /// Asserts that the whole model is there, byte for byte.
    fn assert_whole(&self, folder: &Path) {
        assert_eq!(folder, self.model().join("snapshots").join(COMMIT));
        for name in ["config.json", "tokenizer.json", "chat_template.json", WEIGHTS] {
            assert_eq!(std::fs::read(folder.join(name)).unwrap(), self.hub.content(name), "{name}");
        }
        let parts = std::fs::read_dir(self.model().join("blobs")).unwrap();
        let mut names = parts.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!names.any(|name| name.ends_with(".part")));
    }
}

fn score(folder: &Path) -> LogProbs {
    let model = Qwen3Vl::load(&LoadOptions::new(folder)).unwrap();
    let mut episode = model.new_episode();
    let frame = RgbImage::from_fn(96, 64, |x, y| image::Rgb([x * 2, y * 3, 80].map(|v| v as u8)));
    model.append(&mut episode, &frame, 0.0).unwrap();
    model.score(&mut episode, "put the red cube in the bowl").unwrap()
}

#[test]
fn a_fetched_model_scores_as_its_folder_does() {
    let lab = Lab::new();
    for unneeded in ["README.md", "pytorch_model.bin", "model.gguf", "onnx/model.onnx"] {
        lab.hub.put(unneeded, b"not for this engine");
    }
    let mut steps: Vec<Progress> = Vec::new();
    let id: HubId = ID.parse().unwrap();
    let folder = fetch(&id, &lab.settings, &mut |progress| {
        steps.push(progress.clone());
        ControlFlow::Continue(())
    })
    .unwrap();
    lab.assert_whole(&folder);
    assert_eq!(score(&folder), score(&golden("tied")));
    let names: Vec<String> = lab.hub.take_files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.last().unwrap(), WEIGHTS);
    assert!(!names.iter().any(|name| name.contains("README") || name.contains("bin")), "{names:?}");
    // The layout of huggingface_hub.
    let link = std::fs::read_link(folder.join(WEIGHTS)).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(&lab.hub.content(WEIGHTS))));
    assert_eq!(std::fs::read_to_string(lab.model().join("refs/main")).unwrap(), COMMIT);
    // Progress only grows, up to the whole.
    assert_eq!(steps[0].activity, Activity::Asking);
    assert!(steps.windows(2).all(|pair| pair[0].bytes <= pair[1].bytes));
    let size: usize = names.iter().map(|name| lab.hub.content(name).len()).sum();
    let last = steps.last().unwrap();
    assert_eq!((last.total, last.file.as_str()), (size as u64, WEIGHTS));
    assert!(last.bytes <= last.total && last.file_total == lab.hub.content(WEIGHTS).len() as u64);
}

#[test]
fn what_is_in_the_cache_is_not_fetched_again() {
    let lab = Lab::new();
    let folder = lab.fetch().unwrap();
    lab.hub.take_seen();
    assert_eq!(lab.fetch().unwrap(), folder);
    let seen = lab.hub.take_seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].path.starts_with("/api/models/lab/tiny/revision/main"));
    // A commit can never change, so not even the list is asked for.
    assert_eq!(lab.fetch_id(&format!("{ID}@{COMMIT}")).unwrap(), folder);
    assert!(lab.hub.take_seen().is_empty());
    // One lost file comes alone; blobs of another revision are used.
    std::fs::remove_file(folder.join("config.json")).unwrap();
    std::fs::remove_file(lab.blob("config.json").0).unwrap();
    std::fs::remove_file(folder.join(WEIGHTS)).unwrap();
    assert_eq!(lab.fetch_id(&format!("{ID}@v1")).unwrap(), folder);
    assert_eq!(lab.hub.take_files(), [("config.json".to_owned(), None)]);
    assert_eq!(std::fs::read_to_string(lab.model().join("refs/v1")).unwrap(), COMMIT);
    lab.assert_whole(&folder);
    // So does one that was cut short in the cache.
    std::fs::write(lab.blob(WEIGHTS).0, b"half").unwrap();
    lab.fetch().unwrap();
    lab.assert_whole(&folder);
}

#[test]
fn offline_uses_the_cache_and_names_what_it_lacks() {
    let mut lab = Lab::new();
    lab.settings.offline = true;
    let error = lab.refused(ID, &["HF_HUB_OFFLINE", ID, "lacks everything"]).to_string();
    assert!(error.contains(lab.settings.cache.to_str().unwrap()), "{error}");
    assert!(lab.hub.take_seen().is_empty());
    lab.settings.offline = false;
    let folder = lab.fetch().unwrap();
    lab.hub.take_seen();
    lab.settings.offline = true;
    assert_eq!(lab.fetch().unwrap(), folder);
    lab.refused("lab/other", &["lab/other", "lacks everything"]);
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    std::fs::remove_file(folder.join(WEIGHTS)).unwrap();
    lab.refused(ID, &["lacks tokenizer.json, the weights"]);
    assert!(lab.hub.take_seen().is_empty());
}

#[test]
fn without_a_network_a_whole_cache_is_enough() {
    let mut lab = Lab::new();
    let folder = lab.fetch().unwrap();
    // A port where nobody listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    lab.settings.endpoint = format!("http://{closed}");
    assert_eq!(lab.fetch().unwrap(), folder);
    std::fs::remove_file(folder.join(WEIGHTS)).unwrap();
    lab.refused(ID, &[&lab.settings.endpoint, "cannot be reached", "refused"]);
}

#[test]
fn sharded_models_come_with_the_shards_that_the_index_names() {
    let lab = Lab::with("untied");
    lab.hub.put("consolidated.safetensors", b"the same once more");
    let folder = lab.fetch().unwrap();
    assert_eq!(score(&folder), score(&golden("untied")));
    let names: Vec<String> = lab.hub.take_files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".safetensors")).count(), 3, "{names:?}");
    std::fs::remove_file(folder.join("model-00002-of-00003.safetensors")).unwrap();
    let offline = HubSettings { offline: true, ..lab.settings.clone() };
    let error = fetch(&ID.parse().unwrap(), &offline, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("lacks model-00002-of-00003.safetensors:"), "{error}");
}

#[test]
fn a_mirror_that_lists_bare_names_will_do() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { bare_list: true, ..Mishaps::default() });
    let folder = lab.fetch().unwrap();
    lab.assert_whole(&folder);
}

#[test]
fn two_processes_fetch_each_file_once() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { delay: Duration::from_millis(100), ..Mishaps::default() });
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| lab.fetch()), scope.spawn(|| lab.fetch())];
        let folders = both.map(|one| one.join().unwrap().unwrap());
        assert_eq!(folders[0], folders[1]);
    });
    let mut names: Vec<String> = lab.hub.take_files().into_iter().map(|(name, _)| name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!((all, names.len()), (7, 7));
    lab.assert_whole(&lab.fetch().unwrap());
}

#[test]
fn a_source_is_a_folder_or_is_fetched() {
    let lab = Lab::new();
    let mut quiet = |_: &Progress| ControlFlow::Continue(());
    let folder = ModelSource::parse(golden("tied").to_str().unwrap()).unwrap();
    assert_eq!(folder.folder(&lab.settings, &mut quiet).unwrap(), golden("tied"));
    assert!(lab.hub.take_seen().is_empty());
    let id = ModelSource::parse(ID).unwrap();
    lab.assert_whole(&id.folder(&lab.settings, &mut quiet).unwrap());
}
