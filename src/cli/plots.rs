//! `--plot` and `--overlay`: pictures of a scored episode.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;

use super::report::check_writable;
use crate::offline::SampledFrame;
use crate::offline::recording::{Decoder, Footage};
use crate::picture::plot::{self, Encoder, Format, ScoredEpisode};

/// What stands for the episode's name in a file's name.
const EPISODE: &str = "{episode}";

#[derive(Debug, Clone, Default, Args)]
pub struct PlotArgs {
    /// Draw reward and progress over time with frames under them, as .png or .svg; with several episodes the name
    /// holds {episode}.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write the recording with the live overlay on every frame, as .mp4 (by the program ffmpeg); with several
    /// episodes the name holds {episode}.
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
}

impl PlotArgs {
    /// Checks what can be checked before anything is scored: the files' endings and folders, and the program ffmpeg.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub fn check(&self, several: bool) -> Result<()> {
        for (option, file) in [("--plot", &self.plot), ("--overlay", &self.overlay)] {
            let Some(file) = file else { continue };
            check_writable(file)?;
            ensure!(
                !several || file.file_name().is_some_and(|name| name.to_string_lossy().contains(EPISODE)),
                "{option} {}: with several episodes the file's name must contain {EPISODE}, which is replaced by the episode's name",
                file.display()
            );
        }
        if let Some(file) = &self.plot {
            Format::of(file)?;
        }
        if let Some(file) = &self.overlay {
            plot::check_name(file)?;
            encoder()?;
        }
        Ok(())
    }

    /// Draws what was asked for. `frames` are what the model saw, `episode` and `index` the episode's name and number.
    ///
    /// # Errors
    /// What cannot be drawn or written.
    pub fn draw(
        &self,
        (episode, index): (&str, u64),
        footage: &dyn Footage,
        frames: &[SampledFrame],
        scored: &ScoredEpisode<'_>,
    ) -> Result<()> {
        if let Some(file) = &self.plot {
            plot::episode(scored, frames)?.write(&named(file, episode))?;
        }
        if let Some(file) = &self.overlay {
            let encoder = encoder()?;
            let film = plot::film(footage, scored, index, &encoder, &named(file, episode))?;
            if film.left_out > 0 {
                log::warn!(
                    "{episode}: the overlay leaves out {} recorded frames that cannot be decoded or are not later than the one before",
                    film.left_out
                );
            }
        }
        Ok(())
    }
}

/// The program that decodes videos also encodes them.
fn encoder() -> Result<Encoder> {
    Ok(Encoder::find(Decoder::in_use()?.program())?)
}

/// What a picture calls a model: an id as it is, of a folder the last part.
pub fn model_name(model: &str) -> String {
    let folder = Path::new(model);
    let name = folder.file_name().filter(|_| folder.is_dir());
    name.map_or_else(|| model.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The file of an episode. Its name may hold what a file's must not.
fn named(file: &Path, episode: &str) -> PathBuf {
    let Some(name) = file.file_name().map(|name| name.to_string_lossy()) else { return file.to_owned() };
    if !name.contains(EPISODE) {
        return file.to_owned();
    }
    let harmless = |character: char| match character {
        '-' | '_' | '.' => character,
        other if other.is_alphanumeric() => other,
        _ => '_',
    };
    let episode: String = episode.chars().map(harmless).collect();
    file.with_file_name(name.replace(EPISODE, &episode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(plot: &Path) -> PlotArgs {
        PlotArgs { plot: Some(plot.to_owned()), overlay: None }
    }

    #[test]
    fn the_episodes_name_becomes_part_of_the_files() {
        let file = Path::new("out/{episode}.png");
        assert_eq!(named(file, "episode_000003"), Path::new("out/episode_000003.png"));
        assert_eq!(named(file, "../a b"), Path::new("out/.._a_b.png"));
        assert_eq!(named(Path::new("out/a.png"), "b"), Path::new("out/a.png"));
    }

    #[test]
    fn a_model_in_a_folder_is_called_by_its_last_part() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("so101-sim");
        std::fs::create_dir(&model).unwrap();
        assert_eq!(model_name(&format!("{}/", model.display())), "so101-sim");
        assert_eq!(model_name("Qwen/Qwen3-VL-2B-Instruct"), "Qwen/Qwen3-VL-2B-Instruct");
    }

    #[test]
    fn what_cannot_be_drawn_is_said_before_anything_is_scored() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, several| arguments(&folder.path().join(name)).check(several);
        assert!(check("a.png", false).is_ok() && check("{episode}.svg", true).is_ok());
        for (name, several, said) in [
            ("a.pdf", false, ".png or .svg"),
            ("none/a.png", false, "no folder"),
            ("a.png", true, "{episode}"),
        ] {
            let error = check(name, several).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let overlay = PlotArgs { plot: None, overlay: Some(folder.path().join("a.mov")) };
        assert!(overlay.check(false).unwrap_err().to_string().contains(".mp4"));
    }
}
