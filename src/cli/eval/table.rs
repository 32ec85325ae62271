//! The evaluation as a table in the terminal.

use std::io::{Result, Write};

use super::{Evaluation, Method, number};
use crate::offline::evaluation::{AblationRow, CurveSummary, MeanOf, ModeRow, Summary};
use crate::reward::{BiasControl, Estimate, ProgressMode, ProgressScale};

/// How figures are to be read that are not log-probabilities.
pub const GVL_UNITS: &str =
    "method gvl: in place of rewards in nats: the completion that the model wrote down, minus 1";

/// One measure: its name, and its words for the curve as it is and without its control's climb.
pub struct Row {
    pub name: &'static str,
    pub reward: String,
    pub corrected: String,
}

pub fn write(out: &mut dyn Write, evaluation: &Evaluation) -> Result<()> {
    let Some((all, groups)) = evaluation.summaries.split_first() else { return Ok(()) };
    writeln!(out, "{} on {}", evaluation.model, evaluation.dataset)?;
    if evaluation.method == Method::Gvl {
        writeln!(out, "{GVL_UNITS}")?;
    }
    writeln!(
        out,
        "{} successes, {} failures; {} frames a second; success from {:.3} nats{}",
        all.successes,
        all.failures,
        evaluation.made_with.sample_fps,
        evaluation.success.threshold_nats,
        evaluation.success.calibration.as_ref().map(|file| format!(" ({file})")).unwrap_or_default()
    )?;
    writeln!(out, "\n{:34}{:26}{:26}", "", "reward", "without the static climb")?;
    for Row { name, reward, corrected } in rows(all) {
        writeln!(out, "{}", format!("{name:34}{reward:26}{corrected:26}").trim_end())?;
    }
    if all.too_short > 0 {
        writeln!(out, "{} episodes are too short for success to be called", all.too_short)?;
    }
    if !groups.is_empty() {
        write_groups(out, groups, evaluation.success.bias_control)?;
    }
    write_ablation(out, evaluation)?;
    write_modes(out, &evaluation.modes)?;
    if !evaluation.errors.is_empty() {
        writeln!(out, "{} lines of the manifest could not be used", evaluation.errors.len())?;
    }
    Ok(())
}

/// The measures of some episodes, a row each.
pub fn rows(summary: &Summary) -> Vec<Row> {
    let both = |name: &'static str, of: &dyn Fn(&CurveSummary) -> String| Row {
        name,
        reward: of(&summary.reward),
        corrected: of(&summary.corrected),
    };
    let single = |name: &'static str, reward: String| Row { name, reward, corrected: String::new() };
    let control = &summary.control;
    vec![
        both("VOC of successes", &|curve| mean(&curve.voc_of_successes, 3)),
        both("VOC of failures", &|curve| mean(&curve.voc_of_failures, 3)),
        both("climb of successes, nats", &|curve| mean(&curve.climb_of_successes_nats, 2)),
        both("climb of failures, nats", &|curve| mean(&curve.climb_of_failures_nats, 2)),
        both("success ROC-AUC, at the end", &|curve| estimate(curve.auc_end, 3)),
        both("success ROC-AUC, at any time", &|curve| estimate(curve.auc_peak, 3)),
        both("wrong instruction ROC-AUC", &|curve| estimate(curve.auc_wrong_instruction, 3)),
        both("wrong instruction gap, nats", &|curve| mean(&curve.wrong_instruction_gap_nats, 2)),
        both("called of the successes", &|curve| {
            format!("{} of {}", curve.called_successes, summary.successes)
        }),
        both("called of the failures", &|curve| format!("{} of {}", curve.called_failures, summary.failures)),
        both("completion to call, p50, p95, s", &|curve| {
            format!("{}, {}", number(curve.delay_p50_s, 1), number(curve.delay_p95_s, 1))
        }),
        single("static VOC", mean(&control.voc, 3)),
        single("static climb, nats", mean(&control.climb_nats, 3)),
        single("static climb p95, nats", number(control.climb_p95_nats, 3)),
        single("called of static videos", format!("{} of {}", control.called, control.videos)),
    ]
}

fn write_groups(out: &mut dyn Write, groups: &[Summary], control: BiasControl) -> Result<()> {
    let width = groups.iter().filter_map(|group| group.group.as_ref()).map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default().max(5);
    writeln!(
        out,
        "\n{:width$} {:>9} {:>6} {:>6} {:>7} {:>8} {:>10} {:>12} {:>7}",
        "group", "episodes", "VOC", "climb", "AUC end", "AUC peak", "static VOC", "static climb", "called"
    )?;
    for group in groups {
        let GroupCells { voc, climb, auc_end, auc_peak, called } = GroupCells::of(group, control);
        writeln!(
            out,
            "{:width$} {:>9} {voc:>6} {climb:>6} {auc_end:>7} {auc_peak:>8} {:>10} {:>12} {called:>7}",
            group.group.as_deref().unwrap_or_default(),
            format!("{}+{}", group.successes, group.failures),
            value(group.control.voc.mean, 3),
            value(group.control.climb_nats.mean, 3),
        )?;
    }
    writeln!(
        out,
        "episodes: successes + failures; AUC of a group with one kind: against all of the other kind"
    )
}

fn write_ablation(out: &mut dyn Write, evaluation: &Evaluation) -> Result<()> {
    let all = &evaluation.summaries[0];
    writeln!(
        out,
        "\n{:20} {:>16} {:>15} {:>24}",
        "without the guard", "successes called", "failures called", "completion to call, s"
    )?;
    for row in &evaluation.ablation {
        let AblationRow { without, called_successes, called_failures, delay_p50_s, delay_p95_s } = row;
        writeln!(
            out,
            "{without:20} {:>16} {:>15} {:>24}",
            format!("{called_successes} of {}", all.successes),
            format!("{called_failures} of {}", all.failures),
            format!("{}, {}", number(*delay_p50_s, 1), number(*delay_p95_s, 1))
        )?;
    }
    Ok(())
}

fn write_modes(out: &mut dyn Write, modes: &[ModeRow]) -> Result<()> {
    if modes.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:26} {:>10} {:>11} {:>16} {:>13} {:>9}",
        "live progress", "mean error", "correlation", "successes end at", "failures' top", "idle top"
    )?;
    for row in modes {
        let ends =
            format!("{} (p5 {})", number(row.end_of_successes_p50, 2), number(row.end_of_successes_p5, 2));
        writeln!(
            out,
            "{:26} {:>10} {:>11} {ends:>16} {:>13} {:>9}",
            mode_name(row),
            number(row.mean_error, 3),
            number(row.correlation, 3),
            number(row.peak_of_failures_p50, 2),
            number(row.peak_of_idle_p95, 3),
        )?;
    }
    Ok(())
}

/// A mode of progress by its parameters.
pub fn mode_name(row: &ModeRow) -> String {
    let mode = match row.mode {
        ProgressMode::Goal => "goal",
        ProgressMode::Probability => "probability",
        ProgressMode::Running => "running",
        ProgressMode::Calibrated => "calibrated",
    };
    match row.scale {
        Some(ProgressScale::Nats) => format!("{mode}, nats"),
        Some(ProgressScale::Probability) => format!("{mode}, probability"),
        None => mode.to_owned(),
    }
}

/// What the curves of a group say that success is judged by, in words.
pub struct GroupCells {
    pub voc: String,
    pub climb: String,
    pub auc_end: String,
    pub auc_peak: String,
    pub called: String,
}

impl GroupCells {
    /// VOC and climb are the successes' if there are any, else the failures'.
    pub fn of(group: &Summary, control: BiasControl) -> Self {
        let curve = group.judged_by(control);
        let (voc, climb) = match group.successes {
            0 => (curve.voc_of_failures, curve.climb_of_failures_nats),
            _ => (curve.voc_of_successes, curve.climb_of_successes_nats),
        };
        Self {
            voc: value(voc.mean, 3),
            climb: value(climb.mean, 2),
            auc_end: value(curve.auc_end, 3),
            auc_peak: value(curve.auc_peak, 3),
            called: (curve.called_successes + curve.called_failures).to_string(),
        }
    }
}

fn value(estimate: Option<Estimate>, decimals: usize) -> String {
    number(estimate.map(|estimate| estimate.value), decimals)
}

fn estimate(estimate: Option<Estimate>, decimals: usize) -> String {
    match estimate {
        Some(Estimate { value, low, high }) => {
            format!("{value:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
        }
        None => "-".to_owned(),
    }
}

/// Where a measure is undefined for some episodes, their number stands behind it.
fn mean(mean: &MeanOf, decimals: usize) -> String {
    let shown = estimate(mean.mean, decimals);
    if mean.undefined > 0 { format!("{shown} ({} undef.)", mean.undefined) } else { shown }
}
