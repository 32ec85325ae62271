//! A calibration file.

use std::path::Path;

use anyhow::Result;

use super::findings::Findings;
use crate::config::calibration_file;
use crate::model::Calibration;

pub fn findings(file: &Path) -> Result<Findings> {
    let calibration = calibration_file::read(file)?;
    let Calibration { model, episodes, auc, success, .. } = &calibration;
    let mut found = Findings::new("calibration", "a calibration of the success threshold");
    found.plain("version", calibration.version);
    found.plain("date", calibration.date.as_str());
    let (nats, threshold) = (|value: f64| format!("{value:.4} nats"), calibration.threshold_nats);
    found.add("threshold_nats", threshold, nats(threshold));
    let wanted = calibration.wanted_false_positive_rate;
    found.add("wanted_false_positive_rate", wanted, format!("{:.2} %", wanted * 100.0));
    let counts = serde_json::json!({ "successes": episodes.successes, "failures": episodes.failures });
    found.add(
        "episodes",
        counts,
        format!("{} successes, {} failures", episodes.successes, episodes.failures),
    );
    let range = serde_json::json!({ "value": auc.value, "low": auc.low, "high": auc.high });
    found.add("auc", range, format!("{:.3} ({:.3} to {:.3})", auc.value, auc.low, auc.high));
    found.add("first_nats", calibration.first_nats, nats(calibration.first_nats));
    found.add("final_nats", calibration.final_nats, nats(calibration.final_nats));
    found.add("bound_to", true, "all that follows: for anything else the threshold means nothing");
    found.plain("model", model.name.as_str());
    found.plain("fingerprint", model.fingerprint.as_str());
    let any = calibration.instructions.is_empty();
    let instructions = if any { "any".to_owned() } else { calibration.instructions.join("\n") };
    found.add("instructions", calibration.instructions.clone(), instructions);
    found.plain("dtype", calibration.dtype.as_str());
    let template = calibration.chat_template;
    found.add("chat_template", template, if template { "on" } else { "off" });
    found.plain("max_pixels", calibration.max_pixels);
    let rate_hz = calibration.sampling_rate_hz;
    found.add("sampling_rate_hz", rate_hz, format!("{rate_hz} samples a second"));
    found.plain("bias_control", calibration.bias_control.as_str());
    let rule = serde_json::json!({
        "window": success.window, "hold_s": success.hold_s, "min_frames": success.min_frames
    });
    let shown = format!(
        "mean of {} samples above the threshold for at least {} s, of at least {} frames",
        success.window, success.hold_s, success.min_frames
    );
    found.add("success", rule, shown);
    Ok(found)
}
