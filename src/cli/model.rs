//! `--model`: a folder, or an id that is fetched before with a bar on stderr.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::model::hub::{self, Activity, Progress};

/// The folder to load.
///
/// # Errors
/// A text that is neither a folder nor an id, or a fetch that failed.
pub fn folder(text: &str) -> Result<PathBuf> {
    let bar = bar();
    let folder = hub::resolve(text, &mut |progress| {
        show(&bar, progress);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    Ok(folder?)
}

/// A line on stderr, where someone can see it; it becomes a bar when the size is known.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::new(0).with_style(style("{msg}"))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn show(bar: &ProgressBar, progress: &Progress) {
    if bar.length() == Some(0) && progress.total > 0 {
        bar.set_style(style("{bar:24} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left, {msg}"));
    }
    bar.set_length(progress.total);
    bar.set_position(progress.bytes);
    if progress.activity != Activity::Downloading {
        // What an earlier start has brought is not this one's speed.
        bar.reset_eta();
    }
    bar.set_message(match progress.activity {
        Activity::Asking => "asking the hub for the model's files".to_owned(),
        Activity::WaitingForOther => "waiting for another process".to_owned(),
        Activity::Checking => format!("checking {}", progress.file),
        Activity::Downloading => progress.file.clone(),
    });
}
