//! Where a model is computed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NoSuchChoice;

/// What `model.device` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
    /// The GPU of an Apple machine; needs a build with the feature `metal`.
    Metal,
}

impl DeviceChoice {
    pub fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }

    /// The values of `model.device`.
    pub const NAMES: [&str; 3] = ["cpu", "cuda", "metal"];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = NoSuchChoice;

    fn from_str(text: &str) -> Result<Self, NoSuchChoice> {
        let known = [Self::Cpu, Self::Cuda, Self::Metal];
        let found = known.into_iter().find(|device| device.as_str() == text);
        found.ok_or(NoSuchChoice(&Self::NAMES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_known() {
        for name in DeviceChoice::NAMES {
            let device: DeviceChoice = name.parse().unwrap();
            assert_eq!((device.as_str(), serde_json::to_value(device).unwrap()), (name, name.into()));
        }
        assert!("gpu".parse::<DeviceChoice>().unwrap_err().to_string().contains("cpu, cuda, metal"));
    }
}
