//! What `topreward score` prints.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use serde::Serialize;

/// One scored prefix.
#[derive(Debug, Serialize)]
pub struct PrefixRow {
    /// Sampled frames in the prefix.
    pub frames: usize,
    /// Time of the newest of them, seconds since the first.
    pub time_s: f64,
    /// Nats, ≤ 0.
    pub log_prob_true: f64,
    /// Nats, ≤ 0.
    pub log_prob_false: f64,
    /// The reward of the first frame repeated as often, nats; with the static control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<f64>,
    /// What success and progress are judged by, nats; with the static control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<f64>,
    /// 0 to 1, by the same causal rule as live.
    pub progress: f64,
}

/// One scored episode.
#[derive(Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub instruction: String,
    pub sample_fps: f64,
    pub chat_template: bool,
    pub prefixes: Vec<PrefixRow>,
    /// Undefined for a constant curve or fewer than two prefixes.
    pub voc: Option<f64>,
    /// Whether success would have been called at any prefix.
    pub success: bool,
}

impl Report {
    /// Prints to stdout, as one JSON object or as a table.
    pub fn print(&self, json: bool) -> Result<()> {
        print(|out| {
            if json {
                serde_json::to_writer(&mut *out, self)?;
                writeln!(out)
            } else {
                self.write_table(out)
            }
        })
    }

    fn write_table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.instruction)?;
        let judged = if self.prefixes.iter().any(|row| row.judged.is_some()) { "   judged" } else { "" };
        writeln!(
            out,
            "{:>7} {:>6} {:>9} {:>9}{judged}  progress",
            "time s", "frames", "log p(T)", "log p(F)"
        )?;
        for row in &self.prefixes {
            let PrefixRow { frames, time_s, log_prob_true, log_prob_false, progress, .. } = row;
            write!(out, "{time_s:>7.2} {frames:>6} {log_prob_true:>9.4} {log_prob_false:>9.4}")?;
            if let Some(judged) = row.judged {
                write!(out, "{judged:>9.4}")?;
            }
            writeln!(out, "  {} {:>4.0} %", bar(*progress, 30), progress * 100.0)?;
        }
        match self.voc {
            Some(voc) => write!(out, "VOC {voc:.3}")?,
            None => write!(out, "VOC undefined (no order in the rewards)")?,
        }
        writeln!(out, ", success {}", if self.success { "called" } else { "not called" })
    }
}

/// Writes to stdout.
pub fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    match write(&mut std::io::stdout().lock()) {
        // Whoever reads us (head, less) has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Hours of scoring must not end at a folder that is not there.
pub fn check_writable(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "there is no folder {} to write {} in", folder.display(), file.display());
    ensure!(!file.is_dir(), "{} is a folder, not a file to write", file.display());
    Ok(())
}

/// A bar of `width` cells, filled in eighths.
fn bar(fraction: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (fraction.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let filled = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    let cells = eighths.div_ceil(8);
    filled + &" ".repeat(width - cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_told_and_as_full_as_the_fraction() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.53125, 4), "██▏ ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(7.0, 4), "████");
    }

    #[test]
    fn json_has_the_promised_keys() {
        let row = PrefixRow {
            frames: 1,
            time_s: 0.0,
            log_prob_true: -2.0,
            log_prob_false: -0.5,
            control: None,
            judged: None,
            progress: 0.0,
        };
        let report = Report {
            model: "m".into(),
            instruction: "i".into(),
            sample_fps: 2.0,
            chat_template: false,
            prefixes: vec![row],
            voc: None,
            success: false,
        };
        let value = serde_json::to_value(&report).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        let mut expected =
            ["model", "instruction", "sample_fps", "chat_template", "prefixes", "voc", "success"];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort();
        assert_eq!(keys, expected);
        let row = value["prefixes"][0].as_object().unwrap();
        for key in ["frames", "time_s", "log_prob_true", "log_prob_false", "progress"] {
            assert!(row.contains_key(key), "{key}");
        }
        assert!(value["voc"].is_null());
    }
}
