//! What is scored: the one place that knows every kind of recording, and makes a list of episodes of it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{ArgGroup, Args};

use super::bag_args::BagArgs;
use super::dataset::footage;
use super::lerobot_args::DatasetArgs;
use super::say;
use crate::offline::evaluation::Manifest;
use crate::offline::recording::bag::BagEpisodes;
use crate::offline::recording::lerobot::{Dataset, LeRobotError};
use crate::offline::recording::{Footage, Pictures, RecordedEpisode, RecordingError, open_file};
use crate::offline::results::EpisodeError;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
pub struct SourceArgs {
    /// LeRobot dataset, or labelled data set: a folder with a manifest.jsonl, or the manifest itself (as for eval).
    #[arg(value_name = "DATASET", group = "source")]
    dataset: Option<PathBuf>,
    /// The same by name.
    #[arg(long, value_name = "DATASET", group = "source")]
    manifest: Option<PathBuf>,
    /// Video files (decoded by ffmpeg) and animated GIF or WebP, an episode each.
    #[arg(long, value_name = "FILE", num_args = 1.., group = "source")]
    video: Vec<PathBuf>,
    /// Folder of PNG or JPEG frames: one episode.
    #[arg(long, value_name = "DIR", group = "source", requires = "fps")]
    frames: Option<PathBuf>,
    /// Frames a second of the folder.
    #[arg(long, value_name = "F", requires = "frames")]
    fps: Option<f64>,
    #[command(flatten)]
    bags: BagArgs,
    #[command(flatten)]
    lerobot: DatasetArgs,
}

/// The episodes of an input, in an order that is the same every time.
pub struct Listing {
    /// What was named on the command line.
    pub source: String,
    /// No two have the same name.
    pub episodes: Vec<RecordedEpisode>,
    /// What could not be listed.
    pub errors: Vec<EpisodeError>,
    /// Whether they are of a LeRobot dataset, which numbers its frames.
    pub lerobot: bool,
}

impl SourceArgs {
    /// Lists the episodes; what one of them lacks is reported in [`Listing::errors`].
    ///
    /// # Errors
    /// Nothing that could be listed.
    pub fn listing(&self) -> Result<Listing> {
        let positional = self.dataset.as_deref().filter(|folder| Dataset::is_dataset(folder));
        ensure!(
            positional.is_some() || !self.lerobot.is_given(),
            "--camera and --episodes are for a LeRobot dataset (a folder with a meta/info.json)"
        );
        let mut listing = if let Some(folder) = positional {
            lerobot(folder, &self.lerobot)?
        } else if let Some(dataset) = self.manifest.as_ref().or(self.dataset.as_ref()) {
            labelled(dataset)?
        } else if !self.bags.bags.is_empty() {
            bags(&self.bags)?
        } else if let Some(folder) = &self.frames {
            frames(folder, self.fps.unwrap_or_default())
        } else {
            videos(&self.video)
        };
        if let ([], [error]) = (&listing.episodes[..], &listing.errors[..]) {
            anyhow::bail!("{error}");
        }
        let any = !listing.episodes.is_empty() || !listing.errors.is_empty();
        ensure!(any, "{} has no episode", listing.source);
        name_apart(&mut listing.episodes);
        Ok(listing)
    }
}

impl Listing {
    fn new(source: &Path) -> Self {
        Self {
            source: source.display().to_string(),
            episodes: Vec::new(),
            errors: Vec::new(),
            lerobot: false,
        }
    }

    /// Takes an episode, or notes why there is none.
    fn take(
        &mut self,
        name: String,
        index: u64,
        instruction: Option<String>,
        footage: Result<Box<dyn Footage>, RecordingError>,
    ) {
        match footage {
            Ok(footage) => self.episodes.push(RecordedEpisode { name, index, instruction, footage }),
            Err(error) => {
                self.errors.push(EpisodeError { position: None, name, reason: error.to_string() });
            }
        }
    }
}

fn videos(files: &[PathBuf]) -> Listing {
    let mut listing = Listing::new(Path::new("--video"));
    for ((index, file), name) in files.iter().enumerate().zip(short_names(files)) {
        listing.take(name, index as u64, None, open_file(file));
    }
    listing
}

fn lerobot(folder: &Path, chosen: &DatasetArgs) -> Result<Listing> {
    let (dataset, episodes) = chosen.open(folder)?;
    let mut listing = Listing { episodes, lerobot: true, ..Listing::new(folder) };
    let name = short_names(&[folder.to_owned()]).concat();
    let problem = |reason: &LeRobotError| EpisodeError {
        position: None,
        name: name.clone(),
        reason: reason.to_string(),
    };
    listing.errors.extend(dataset.problems().iter().map(problem));
    Ok(listing)
}

fn bags(args: &BagArgs) -> Result<Listing> {
    let BagEpisodes { episodes, notes, problems } = args.episodes()?;
    for note in notes {
        say::note(note);
    }
    let named: Vec<String> = args.bags.iter().map(|bag| bag.display().to_string()).collect();
    let mut listing = Listing { episodes, ..Listing::new(Path::new(&named.join(" "))) };
    let problem = |reason| EpisodeError { position: None, name: "--bag".to_owned(), reason };
    listing.errors.extend(problems.into_iter().map(problem));
    Ok(listing)
}

fn frames(folder: &Path, fps: f64) -> Listing {
    let mut listing = Listing::new(folder);
    let named = short_names(&[folder.to_owned()]).concat();
    // `--frames .` has no other name.
    let name = if named.is_empty() { folder.display().to_string() } else { named };
    let footage = Pictures::open(folder, fps).map(|pictures| Box::new(pictures) as Box<dyn Footage>);
    listing.take(name, 0, None, footage);
    listing
}

/// An episode's number is that of its line, from 0: a line that is mended later changes no other's.
fn labelled(dataset: &Path) -> Result<Listing> {
    let manifest = Manifest::read(dataset)?;
    let mut listing = Listing::new(dataset);
    for error in &manifest.errors {
        let name = format!("{}:{}", error.file, error.line);
        listing.errors.push(EpisodeError { position: None, name, reason: error.to_string() });
    }
    for entry in manifest.entries {
        let footage = footage(&entry);
        listing.take(entry.name, entry.line as u64 - 1, Some(entry.instruction.to_string()), footage);
    }
    Ok(listing)
}

/// Paths without the folder that all of them lie in: names that are the same wherever that folder is.
fn short_names(paths: &[PathBuf]) -> Vec<String> {
    let parts = |path: &PathBuf| -> Vec<String> {
        let named = |part: Component<'_>| match part {
            Component::CurDir => None,
            other => Some(other.as_os_str().to_string_lossy().into_owned()),
        };
        path.components().filter_map(named).collect()
    };
    let all: Vec<Vec<String>> = paths.iter().map(parts).collect();
    let folder = |path: &Vec<String>| path.len().saturating_sub(1);
    let mut shared = all.first().map_or(0, folder);
    for path in &all {
        let alike = path[..folder(path)].iter().zip(&all[0]).take_while(|(a, b)| a == b).count();
        shared = shared.min(alike);
    }
    all.iter().map(|path| path[shared..].join("/")).collect()
}

/// Names that come again get `#2`, `#3`, ...
fn name_apart(episodes: &mut [RecordedEpisode]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for episode in episodes.iter_mut() {
        let own = episode.name.clone();
        while let Some(times) = seen.get_mut(&episode.name) {
            *times += 1;
            let times = *times;
            episode.name = format!("{own}#{times}");
            if seen.contains_key(&episode.name) {
                // Someone is called that already: the next number.
                episode.name.clone_from(&own);
            }
        }
        seen.insert(episode.name.clone(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::CameraFrame;
    use std::ops::ControlFlow;

    struct Nothing;

    impl Footage for Nothing {
        fn play(&self, _: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
            Ok(())
        }
    }

    fn short(paths: &[&str]) -> Vec<String> {
        short_names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_what_paths_do_not_share() {
        assert_eq!(short(&["/data/a/1.mp4", "/data/b/1.mp4"]), ["a/1.mp4", "b/1.mp4"]);
        assert_eq!(short(&["./x/1.mp4", "x/2.mp4"]), ["1.mp4", "2.mp4"]);
        assert_eq!(short(&["/data/1.mp4"]), ["1.mp4"]);
        assert_eq!(short(&["x/1.mp4", "x/1.mp4/2.mp4"]), ["1.mp4", "1.mp4/2.mp4"]);
        assert_eq!(short(&["1.mp4", "/2.mp4"]), ["1.mp4", "//2.mp4"]);
        assert!(short(&[]).is_empty());
    }

    #[test]
    fn no_two_episodes_keep_one_name() {
        let episode = |name: &&str| RecordedEpisode {
            name: (*name).to_owned(),
            index: 0,
            instruction: None,
            footage: Box::new(Nothing),
        };
        let mut episodes: Vec<RecordedEpisode> = ["a", "a#2", "a", "b", "a"].iter().map(episode).collect();
        name_apart(&mut episodes);
        let names: Vec<&str> = episodes.iter().map(|episode| episode.name.as_str()).collect();
        assert_eq!(names, ["a", "a#2", "a#3", "b", "a#4"]);
    }
}
