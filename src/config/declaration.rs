//! What there is to know of a parameter.

use std::borrow::Cow;

use super::bounds::{Bounds, Unit};
use super::error::Unfit;
use super::value::Value;

/// When a parameter can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Also while the node runs.
    AnyTime,
    /// It is read when the node starts.
    StartUp,
}

/// One parameter of the configuration `C`.
#[derive(Debug)]
pub struct Declaration<C> {
    /// `success.hold_s`; what every camera has is `camera.<name>.topic`.
    pub name: &'static str,
    /// What it means, for users.
    pub text: &'static str,
    pub change: Change,
    pub bounds: Bounds,
    pub unit: Unit,
    /// Reads the field. The text is the camera's name, and empty where the parameter is of no camera.
    pub(super) get: fn(&C, &str) -> Value,
    pub(super) set: fn(&mut C, &str, &Value) -> Result<(), Unfit>,
}

/// Parameters that stand together.
#[derive(Debug)]
pub struct Group<C: 'static> {
    /// What stands before the dot in their names; empty at the top level.
    pub name: &'static str,
    /// What they have in common, for users.
    pub text: &'static str,
    pub parameters: &'static [Declaration<C>],
}

impl<C> Declaration<C> {
    /// Whether each camera has one.
    pub fn is_of_cameras(&self) -> bool {
        self.name.contains(CAMERA)
    }

    /// Its name for one of the cameras, where it has many.
    pub fn name_for(&self, camera: &str) -> String {
        self.name.replace(CAMERA, camera)
    }

    /// # Errors
    /// The value is out of bounds.
    pub fn check(&self, value: &Value) -> Result<(), Unfit> {
        if self.bounds.fit(value) {
            Ok(())
        } else {
            Err(Unfit::OutOfBounds { found: value.clone(), bounds: self.bounds })
        }
    }
}

const CAMERA: &str = "<name>";

/// The name under which a parameter is declared, and its camera: `camera.wrist.topic` is declared as
/// `camera.<name>.topic`, and its camera is `wrist`.
pub(super) fn declared_name(name: &str) -> (Cow<'_, str>, &str) {
    match name.strip_prefix("camera.") {
        Some(rest) => {
            let camera = rest.split('.').next().unwrap_or_default();
            (Cow::Owned(format!("camera.{CAMERA}{}", &rest[camera.len()..])), camera)
        }
        None => (Cow::Borrowed(name), ""),
    }
}
