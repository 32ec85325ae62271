//! What `topreward score` prints.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::files;
use crate::offline::results::{EpisodeResult, EpisodeSummary, PrefixResult, RunSummary};
use crate::printable::escaped;

/// One episode's curve as a table.
///
/// # Errors
/// Nobody reads.
pub fn write_episode(out: &mut dyn Write, result: &EpisodeResult) -> std::io::Result<()> {
    writeln!(out, "{}", result.instruction)?;
    let judged = if result.prefixes.iter().any(|row| row.judged.is_some()) { "   judged" } else { "" };
    writeln!(out, "{:>7} {:>6} {:>9} {:>9}{judged}  progress", "time s", "frames", "log p(T)", "log p(F)")?;
    for row in &result.prefixes {
        let PrefixResult { frames, time_s, log_prob_true, log_prob_false, progress, .. } = row;
        write!(out, "{time_s:>7.2} {frames:>6} {log_prob_true:>9.4} {log_prob_false:>9.4}")?;
        if let Some(judged) = row.judged {
            write!(out, "{judged:>9.4}")?;
        }
        writeln!(out, "  {} {:>4.0} %", bar(*progress, 30), progress * 100.0)?;
    }
    match result.voc {
        Some(voc) => write!(out, "VOC {voc:.3}")?,
        None => write!(out, "VOC undefined (no order in the rewards)")?,
    }
    writeln!(out, ", success {}", if result.success { "called" } else { "not called" })
}

/// Widest column of names; of longer ones the end is shown.
const WIDEST_NAME: usize = 48;

/// One line for each episode, and one for all of them.
///
/// # Errors
/// Nobody reads.
pub fn write_run(out: &mut dyn Write, summary: &RunSummary) -> std::io::Result<()> {
    let names: Vec<String> = summary.episodes.iter().map(|episode| shown_name(&episode.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("episode".len());
    writeln!(
        out,
        "{:<width$} {:>6} {:>9} {:>9} {:>9} {:>8} {:>6} {:>9}",
        "episode", "frames", "first", "last", "best", "progress", "VOC", "success s"
    )?;
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
    };
    for (name, episode) in names.iter().zip(&summary.episodes) {
        let EpisodeSummary { frames, first_nats, last_nats, best_nats, progress, voc, success_s, .. } =
            episode;
        let [first, last, best] = [first_nats, last_nats, best_nats].map(|nats| number(*nats, 4));
        let percent = format!("{} %", number(progress.map(|progress| progress * 100.0), 0));
        let (voc, success_s) = (number(*voc, 3), number(*success_s, 2));
        writeln!(
            out,
            "{name:<width$} {frames:>6} {first:>9} {last:>9} {best:>9} {percent:>8} {voc:>6} {success_s:>9}"
        )?;
    }
    let RunSummary { scored, successes, frames, mean_voc, errors, .. } = summary;
    write!(out, "{scored} episodes, {frames} frames: success called in {successes}")?;
    write!(out, ", mean VOC {}", number(*mean_voc, 3))?;
    match errors.len() {
        0 => writeln!(out),
        failed => writeln!(out, "; {failed} could not be scored"),
    }
}

fn shown_name(name: &str) -> String {
    match name.chars().count().checked_sub(WIDEST_NAME) {
        None | Some(0) => name.to_owned(),
        Some(more) => std::iter::once('…').chain(name.chars().skip(more + 1)).collect(),
    }
}

/// Writes to stdout.
pub fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    match std::io::stdout().lock().write_all(escaped(&text).as_bytes()) {
        // Whoever reads us (head, less) has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Hours of scoring must not end at a folder that is not there. What killed runs have left there is removed.
pub fn check_writable(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "there is no folder {} to write {} in", folder.display(), file.display());
    ensure!(!file.is_dir(), "{} is a folder, not a file to write", file.display());
    if let Err(error) = files::sweep(folder) {
        // Another user's, perhaps. They are in nobody's way.
        log::info!("cannot remove the unfinished files of an earlier run in {}: {error}", folder.display());
    }
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
    fn a_run_has_a_line_for_each_episode_and_one_for_all() {
        let episode = |name: &str, voc, success_s| EpisodeSummary {
            name: name.to_owned(),
            index: 0,
            frames: 12,
            first_nats: Some(-5.25),
            last_nats: Some(-1.0),
            best_nats: Some(-0.5),
            progress: Some(0.75),
            voc,
            success_s,
        };
        let long = format!("{}/last.mp4", "folder".repeat(20));
        let summary = RunSummary {
            schema: 1,
            scored: 2,
            successes: 1,
            frames: 24,
            mean_voc: Some(0.5),
            episodes: vec![episode("a.mp4", Some(0.5), Some(3.5)), episode(&long, None, None)],
            errors: Vec::new(),
        };
        let mut text = Vec::new();
        write_run(&mut text, &summary).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(lines[1]),
            ["a.mp4", "12", "-5.2500", "-1.0000", "-0.5000", "75", "%", "0.500", "3.50"]
        );
        assert!(lines[2].starts_with('…') && lines[2].contains("/last.mp4 "), "{text}");
        assert!(lines[2].ends_with('-'), "{text}");
        let widths: Vec<usize> = lines[..3].iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert_eq!(lines[3], "2 episodes, 24 frames: success called in 1, mean VOC 0.500");
    }
}
