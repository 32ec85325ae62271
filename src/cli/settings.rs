//! The options that every command has which asks a model, and what becomes of them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::model;
use crate::config::{Config, calibration_file};
use crate::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use crate::model::{Calibration, DeviceChoice, DtypeChoice, VideoVlm};
use crate::offline::Prefixes;
use crate::reward::BiasControl;

#[derive(Debug, Clone, Args)]
pub struct ScoringArgs {
    /// Frames a second that the model sees [default: 2, or the parameter file's].
    #[arg(long, value_name = "F")]
    pub sample_fps: Option<f64>,
    /// Score every prefix, N evenly spaced ones, or every K-th [default: all, or the parameter file's scoring.every].
    #[arg(long, visible_alias = "num-samples", value_name = "all|N|every:K")]
    pub prefixes: Option<Prefixes>,
    /// How the weights are held in memory [default: auto, or the parameter file's].
    #[arg(long, value_name = "auto|f32|bf16|f16|q8|q6|q4")]
    pub dtype: Option<DtypeChoice>,
    /// Where the model is computed [default: cpu, or the parameter file's].
    #[arg(long, value_name = "cpu|cuda|metal")]
    pub device: Option<DeviceChoice>,
    /// Put the question inside the chat template.
    #[arg(long)]
    pub chat_template: bool,
    /// Most pixels of one frame after the resize [default: the checkpoint's video budget over 64 frames].
    #[arg(long, value_name = "N")]
    pub max_pixels: Option<usize>,
    /// static: success is judged without the climb of the first frame repeated [default: off, or the parameter file's].
    #[arg(long, value_name = "off|static")]
    pub bias_control: Option<BiasControl>,
    /// ROS 2 parameter file to take the other settings from (progress, success).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Compute every prefix from nothing.
    #[arg(long)]
    pub no_cache: bool,
}

impl ScoringArgs {
    /// The parameter file's configuration with the command line's over it.
    ///
    /// # Errors
    /// A file that cannot be read, or a value out of bounds.
    pub fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => Config::default(),
        };
        if let Some(rate_hz) = self.sample_fps {
            config.sampling.rate_hz = rate_hz;
        }
        config.bias.control = self.bias_control.unwrap_or(config.bias.control);
        config.model.dtype = self.dtype.unwrap_or(config.model.dtype);
        config.model.device = self.device.unwrap_or(config.model.device);
        config.model.chat_template |= self.chat_template;
        config.validate()?;
        Ok(config)
    }

    /// Which prefixes are scored.
    pub fn prefixes(&self, config: &Config) -> Prefixes {
        self.prefixes.unwrap_or(match config.scoring.every {
            // On request only: offline that is now.
            0 | 1 => Prefixes::All,
            every => Prefixes::Every(every),
        })
    }

    /// Fetches the model if it is named by an id, and loads it.
    ///
    /// # Errors
    /// The fetch's or the model's own.
    pub fn load(&self, model: &str, config: &Config) -> Result<Qwen3Vl> {
        let options = config.load_options(model::folder(model)?);
        Ok(Qwen3Vl::load(&LoadOptions { max_pixels: self.max_pixels.or(options.max_pixels), ..options })?)
    }
}

/// Sets the success threshold by a calibration, the command line's or the parameter file's, if it was made for what is in
/// use.
///
/// # Errors
/// No such file, or one made for another model or setting; each difference is named.
pub fn calibrate(
    given: &Option<PathBuf>,
    model: &impl VideoVlm,
    instruction: Option<&str>,
    config: &mut Config,
) -> Result<Option<Calibration>> {
    let of_config = (!config.calibration.file.is_empty()).then(|| PathBuf::from(&config.calibration.file));
    let Some(file) = given.clone().or(of_config) else { return Ok(None) };
    let calibration = calibration_file::read(&file)?;
    calibration
        .check(&config.in_use(model.info(), instruction))
        .with_context(|| file.display().to_string())?;
    config.use_calibration(&calibration);
    Ok(Some(calibration))
}
