//! The file of a calibration, which the command line writes and node and command line read.

use std::path::Path;

use serde::Deserialize;

use crate::files;
use crate::model::{CALIBRATION_VERSION, Calibration};

/// Bytes of a calibration; real ones have some hundred, and the instructions.
const LONGEST: u64 = 8 << 20;

/// Why a calibration file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    #[error("cannot read the calibration {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not a calibration file: {source}")]
    Yaml { path: String, source: serde_yaml::Error },
    #[error(
        "the calibration {path} has version {found}; this program reads version {CALIBRATION_VERSION}: calibrate again"
    )]
    Version { path: String, found: u32 },
    #[error("the calibration {path}: {what} is {found}, which cannot be")]
    Value { path: String, what: &'static str, found: f64 },
    #[error("cannot write the calibration {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("cannot write the calibration {path}: {source}")]
    Serialize { path: String, source: serde_yaml::Error },
}

/// Reads a file of [`write`]; JSON is YAML too.
///
/// # Errors
/// No such file, no calibration, another version, or figures that cannot be.
pub fn read(path: &Path) -> Result<Calibration, CalibrationError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let shown = path.display().to_string();
    let text = files::read_yaml(path, LONGEST)
        .map_err(|source| CalibrationError::Read { path: shown.clone(), source })?;
    let yaml = |source| CalibrationError::Yaml { path: shown.clone(), source };
    let Versioned { version } = serde_yaml::from_str(&text).map_err(yaml)?;
    if version != CALIBRATION_VERSION {
        return Err(CalibrationError::Version { path: shown, found: version });
    }
    let calibration: Calibration = serde_yaml::from_str(&text).map_err(yaml)?;
    match calibration.impossible_value() {
        Some((what, found)) => Err(CalibrationError::Value { path: shown, what, found }),
        None => Ok(calibration),
    }
}

/// Writes YAML, as a file that is whole or absent.
///
/// # Errors
/// What the file system refuses.
pub fn write(path: &Path, calibration: &Calibration) -> Result<(), CalibrationError> {
    let shown = path.display().to_string();
    let text = serde_yaml::to_string(calibration)
        .map_err(|source| CalibrationError::Serialize { path: shown.clone(), source })?;
    files::write(path, text.as_bytes()).map_err(|source| CalibrationError::Write { path: shown, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CalibratedModel, CalibratedSuccess, Dtype, EpisodeCounts};
    use crate::reward::{BiasControl, Estimate};

    fn calibration() -> Calibration {
        Calibration {
            version: CALIBRATION_VERSION,
            model: CalibratedModel { name: "small".into(), fingerprint: "0123456789abcdef".into() },
            instructions: vec!["lift".into(), "put it down".into()],
            dtype: Dtype::F32,
            chat_template: false,
            max_pixels: 24576,
            sampling_rate_hz: 2.0,
            bias_control: BiasControl::Static,
            success: CalibratedSuccess { window: 3, hold_s: 1.0, min_frames: 6 },
            date: "2026-11-22".into(),
            episodes: EpisodeCounts { successes: 89, failures: 121 },
            auc: Estimate { value: 0.98, low: 0.96, high: 0.99 },
            wanted_false_positive_rate: 0.02,
            threshold_nats: -0.25,
            first_nats: -2.75,
            final_nats: -0.125,
        }
    }

    #[test]
    fn a_file_comes_back_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibration.yaml");
        std::fs::write(&path, "what was there").unwrap();
        write(&path, &calibration()).unwrap();
        assert_eq!(read(&path).unwrap(), calibration());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(&path, serde_json::to_string(&calibration()).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), calibration());
    }

    #[test]
    fn what_is_no_calibration_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("c.yaml"), "{message}");
            message
        };
        let good = serde_yaml::to_string(&calibration()).unwrap();
        assert!(refused("instruction: lift").contains("version"));
        assert!(refused(&good.replace("version: 1", "version: 2")).contains("calibrate again"));
        assert!(refused(&good.replace("threshold_nats: -0.25", "threshold_nats: 0.25")).contains("0.25"));
        assert!(
            refused(&good.replace("threshold_nats: -0.25", "treshold_nats: -0.25")).contains("treshold_nats")
        );
        assert!(refused(&good.replace("bias_control: static", "bias_control: none")).contains("none"));
        assert!(refused(&"[".repeat(100_000)).contains("more than 64 lists and maps"));
        let missing = read(&folder.path().join("absent.yaml")).unwrap_err();
        assert!(missing.to_string().contains("absent.yaml"));
        let nowhere = write(&folder.path().join("no/such/c.yaml"), &calibration()).unwrap_err();
        assert!(nowhere.to_string().contains("no/such"));
    }
}
