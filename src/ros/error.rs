use crate::config::ConfigError;
use crate::config::calibration_file::CalibrationError;
use crate::model::{CalibrationMismatch, VlmError};

/// Why the node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0}")]
    Arguments(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Model(#[from] VlmError),
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    #[error("{file}: {source}")]
    Mismatch { file: String, source: CalibrationMismatch },
    #[error("ROS: {0}")]
    Ros(#[from] r2r::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("internal error: {0} (please report this)")]
    Internal(String),
}

impl NodeError {
    /// 2 for what the user can put right, 70 (`EX_SOFTWARE`) for a fault of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Arguments(_)
            | Self::Config(_)
            | Self::Model(_)
            | Self::Calibration(_)
            | Self::Mismatch { .. } => 2,
            Self::Ros(_) | Self::Io(_) => 1,
            Self::Internal(_) => 70,
        }
    }
}
