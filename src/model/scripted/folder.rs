//! A folder that stands for a model: the node's tests say in a file what the model answers.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{ScriptedEpisode, ScriptedVlm};
use crate::model::{Cause, LogProbs, VlmError};

/// The file that makes a folder a scripted model.
pub const SCRIPT_NAME: &str = "scripted.json";

/// Of a prefix's newest frame and its length to log p(" True").
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    /// Where the newest frame is black, nats.
    black_nats: f64,
    /// Where it is white; in between by its mean brightness.
    white_nats: f64,
    /// What each frame after the first adds, whatever it shows.
    #[serde(default)]
    nats_per_frame: f64,
}

/// Always, nats: nothing is decided by it.
const LOG_PROB_FALSE: f64 = -1.0;

impl Script {
    fn score(&self, episode: &ScriptedEpisode) -> LogProbs {
        let shown = self.black_nats + (self.white_nats - self.black_nats) * episode.newest;
        let length = self.nats_per_frame * (episode.times_s.len() as f64 - 1.0);
        LogProbs { log_prob_true: (shown + length).min(0.0), log_prob_false: LOG_PROB_FALSE }
    }
}

/// Whether a folder is a scripted model.
pub fn is_in(folder: &Path) -> bool {
    folder.join(SCRIPT_NAME).is_file()
}

impl ScriptedVlm {
    /// # Errors
    /// [`VlmError::Load`] with what is wrong with [`SCRIPT_NAME`].
    pub fn load(folder: &Path) -> Result<Self, VlmError> {
        let wrong = |cause: Cause| VlmError::Load {
            folder: folder.display().to_string(),
            source: format!("{SCRIPT_NAME}: {cause}").into(),
        };
        let text = std::fs::read_to_string(folder.join(SCRIPT_NAME)).map_err(|error| wrong(error.into()))?;
        let script: Script = serde_json::from_str(&text).map_err(|error| wrong(error.into()))?;
        let answer = move |episode: &ScriptedEpisode, _: &str| Ok(script.score(episode));
        Ok(Self::named(&folder.display().to_string(), Duration::ZERO, Box::new(answer)))
    }
}

#[cfg(test)]
mod tests {
    use ::image::{Rgb, RgbImage};

    use super::*;
    use crate::model::VideoVlm;

    fn written(script: &str) -> Result<ScriptedVlm, VlmError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SCRIPT_NAME), script).unwrap();
        assert!(is_in(folder.path()));
        ScriptedVlm::load(folder.path())
    }

    #[test]
    fn the_newest_frame_and_the_length_decide() {
        let model = written(r#"{"black_nats": -8, "white_nats": -3, "nats_per_frame": 0.5}"#).unwrap();
        let mut episode = model.new_episode();
        let mut show = |value: u8, time_s: f64| {
            model.append(&mut episode, &RgbImage::from_pixel(4, 4, Rgb([value; 3])), time_s).unwrap();
            let control = model.begin_control(&mut episode);
            (model.score(&mut episode, "lift").unwrap().log_prob_true, control)
        };
        let (black, control) = show(0, 0.0);
        assert_eq!(black, -8.0);
        assert_eq!(show(255, 0.5).0, -2.5);
        assert_eq!(show(51, 1.0).0, -8.0 + 1.0 + 1.0);
        let mut control = control.unwrap();
        model.append_first_again(&mut control, 0.5).unwrap();
        assert_eq!(model.score(&mut control, "lift").unwrap().log_prob_true, -7.5);
    }

    #[test]
    fn a_script_that_says_something_else_is_refused() {
        let error = written(r#"{"black_nats": -8}"#).err().unwrap().to_string();
        assert!(error.contains(SCRIPT_NAME) && error.contains("white_nats"), "{error}");
        assert!(written(r#"{"black_nats": -8, "white_nats": 0, "speed": 1}"#).is_err());
        assert!(!is_in(Path::new("/no/such/folder")));
    }
}
