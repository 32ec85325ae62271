//! One typed configuration for node and command line, read from the same ROS 2 parameter file. All parameters are in
//! the table of `config/table.rs`.

use std::path::{Path, PathBuf};

use crate::episode::{EpisodeLimits, Sampler};
use crate::model::qwen3_vl::{self, LoadOptions};
use crate::model::{CalibratedSuccess, Calibration, Identity, InUse, ModelInfo};

mod bounds;
pub mod calibration_file;
mod cameras;
mod choices;
mod declaration;
mod error;
mod field;
mod parameter_file;
mod table;
mod table_macro;
mod value;

pub use bounds::{Bounds, Unit};
pub use cameras::{Camera, CameraNamesError, CameraSource};
pub use choices::{ResetType, Transport};
pub use declaration::{Change, Declaration, Group};
pub use error::{ConfigError, Unfit, Unknown};
pub use table::*;
pub use value::Value;

/// The node's name in parameter files.
pub const NODE_NAME: &str = "topreward";

/// Every parameter's declaration, in the order of the reference file.
pub fn declarations() -> impl Iterator<Item = &'static Declaration<Config>> {
    GROUPS.iter().flat_map(|group| group.parameters)
}

/// What is declared under a name; `camera.wrist.topic` is declared as `camera.<name>.topic`.
pub fn declaration(name: &str) -> Option<&'static Declaration<Config>> {
    let (name, _) = declaration::declared_name(name);
    declarations().find(|declared| declared.name == name)
}

impl Config {
    /// Reads a ROS 2 parameter file: `/**` first, then `topreward` over it.
    ///
    /// # Errors
    /// No such file, no parameters in it, or one that is unknown or does not fit.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let parameters = parameter_file::read(path, NODE_NAME)?;
        Self::from_parameters(parameters).map_err(|source| ConfigError::InFile {
            path: path.display().to_string(),
            source: Box::new(source),
        })
    }

    /// Builds from dotted parameter names, as ROS has them (`success.hold_s`). What is said of cameras that are not in
    /// use is checked and forgotten.
    ///
    /// # Errors
    /// A name that is unknown, or a value that does not fit.
    pub fn from_parameters(
        parameters: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (name, value) in parameters {
            // A group with nothing in it changes nothing.
            if value != Value::NOTHING || !is_group(&name) {
                config.set(&name, &value)?;
            }
        }
        let Self { cameras, camera, .. } = &mut config;
        camera.retain(|name, _| cameras.contains(name));
        config.check_cameras()?;
        Ok(config)
    }

    /// Sets one parameter.
    ///
    /// # Errors
    /// There is none of this name, or the value does not fit.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), ConfigError> {
        let Some(declared) = declaration(name) else { return Err(self.unknown(name).into()) };
        let (_, camera) = declaration::declared_name(name);
        declared
            .check(value)
            .and_then(|()| (declared.set)(self, camera, value))
            .map_err(|unfit| ConfigError::parameter(name, unfit))?;
        self.camera.retain(|_, own| *own != Camera::default());
        Ok(())
    }

    /// One parameter; `None` if there is none of this name, or no such camera.
    pub fn get(&self, name: &str) -> Option<Value> {
        let (_, camera) = declaration::declared_name(name);
        let declared = declaration(name)?;
        let there = !declared.is_of_cameras() || self.cameras.iter().any(|known| known == camera);
        there.then(|| (declared.get)(self, camera))
    }

    /// The names of all parameters; which there are depends on the cameras.
    pub fn names(&self) -> Vec<String> {
        let names = |declared: &Declaration<Self>| match declared.is_of_cameras() {
            true => self.cameras.iter().map(|camera| declared.name_for(camera)).collect(),
            false => vec![declared.name.to_owned()],
        };
        declarations().flat_map(names).collect()
    }

    /// Every parameter by its dotted name, with its value.
    pub fn to_parameters(&self) -> Vec<(String, Value)> {
        self.names().into_iter().filter_map(|name| self.get(&name).map(|value| (name, value))).collect()
    }

    /// What a name that is no parameter's was probably meant to be.
    pub fn unknown(&self, name: &str) -> Unknown {
        Unknown::new(name, self.names().iter().map(String::as_str))
    }

    /// Checks a configuration of which fields were set without [`Self::set`].
    ///
    /// # Errors
    /// The first parameter that does not fit is named.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Those of cameras have no bounds that their types have not.
        for declared in declarations().filter(|declared| !declared.is_of_cameras()) {
            let value = (declared.get)(self, "");
            declared.check(&value).map_err(|unfit| ConfigError::parameter(declared.name, unfit))?;
        }
        self.check_cameras()
    }

    /// What the bounds of a single text cannot say.
    fn check_cameras(&self) -> Result<(), ConfigError> {
        cameras::check_names(&self.cameras).map_err(|error| ConfigError::parameter("cameras", error))
    }

    /// The cameras in the order of `cameras`.
    pub fn camera_sources(&self) -> Vec<CameraSource> {
        cameras::sources(&self.cameras, &self.camera, self.image.transport)
    }

    pub fn sampler(&self) -> Result<Sampler, ConfigError> {
        Ok(Sampler::new(self.sampling.rate_hz)?.with_max_step_s(self.sampling.max_step_s))
    }

    pub fn episode_limits(&self) -> EpisodeLimits {
        EpisodeLimits { max_duration_s: self.episode.max_duration_s, score_every: self.scoring.every }
    }

    /// Takes threshold and typical rewards from a calibration, which must have been checked.
    pub fn use_calibration(&mut self, calibration: &Calibration) {
        self.success.threshold_nats = calibration.threshold_nats;
        self.progress.typical = Some(calibration.typical());
    }

    /// What scores of a loaded model are made with.
    pub fn identity(&self, model: &ModelInfo) -> Identity {
        Identity::of(model, self.sampling.rate_hz)
    }

    /// How the model in this folder is to be loaded.
    pub fn load_options(&self, path: PathBuf) -> LoadOptions {
        LoadOptions {
            dtype: self.model.dtype,
            device: self.model.device,
            weight_cache: self.weight_cache(),
            chat_template: self.model.chat_template,
            max_pixels: self.max_pixels(),
            max_samples: self.max_samples(),
            max_instruction_tokens: self.model.max_instruction_tokens,
            ..LoadOptions::new(path)
        }
    }

    /// What a calibration must have been made for, to be used with this configuration and a loaded model.
    pub fn in_use<'a>(&self, model: &ModelInfo, instruction: Option<&'a str>) -> InUse<'a> {
        InUse {
            identity: self.identity(model),
            bias_control: self.bias.control,
            success: CalibratedSuccess::of(&self.success),
            instruction,
        }
    }

    /// Where quantised weights are kept, if they are.
    fn weight_cache(&self) -> Option<PathBuf> {
        if self.model.weight_cache { qwen3_vl::weight_cache() } else { None }
    }

    /// `episode.max_samples`, `None` for all.
    pub fn max_samples(&self) -> Option<usize> {
        (self.episode.max_samples > 0).then_some(self.episode.max_samples)
    }

    /// `processor.max_pixels`, `None` for the checkpoint's own.
    fn max_pixels(&self) -> Option<usize> {
        (self.processor.max_pixels > 0).then_some(self.processor.max_pixels)
    }
}

/// Whether parameters have names that go on from this one.
fn is_group(name: &str) -> bool {
    let (name, _) = declaration::declared_name(name);
    let within = |declared: &Declaration<_>| {
        declared.name.strip_prefix(&*name).is_some_and(|rest| rest.starts_with('.'))
    };
    declarations().any(within)
}

#[cfg(test)]
mod tests;
