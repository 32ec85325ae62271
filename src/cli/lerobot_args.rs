//! Which part of a LeRobot dataset a command reads.

use std::path::Path;

use clap::Args;

use crate::offline::recording::Episode;
use crate::offline::recording::lerobot::{Dataset, Episodes, LeRobotError};

#[derive(Debug, Clone, Default, Args)]
pub struct DatasetArgs {
    /// Camera of a LeRobot dataset, by its key; needed where there are several.
    #[arg(long, value_name = "KEY")]
    pub camera: Option<String>,
    /// Episodes of a LeRobot dataset: numbers and ranges, such as 0-3,7 (all, unless given).
    #[arg(long, value_name = "LIST")]
    pub episodes: Option<Episodes>,
}

impl DatasetArgs {
    /// Whether anything is chosen, which only a dataset can follow.
    pub fn is_given(&self) -> bool {
        self.camera.is_some() || self.episodes.is_some()
    }

    /// Opens the dataset in a folder, and the episodes chosen of it.
    ///
    /// # Errors
    /// No dataset that is read, no such camera or episode.
    pub fn open(&self, folder: &Path) -> Result<(Dataset, Vec<Episode>), LeRobotError> {
        let dataset = Dataset::open(folder)?;
        let episodes = dataset.episodes(self.camera.as_deref(), self.episodes.as_ref())?;
        Ok((dataset, episodes))
    }
}
