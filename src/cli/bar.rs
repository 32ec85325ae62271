//! The bar on stderr.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Counts up to `total` where someone can see it.
pub fn bar(doing: &str, of: &str, total: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template(&format!("{doing} {{bar:30}} {{pos}}/{{len}} {of}, {{eta}} left"))
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total as u64).with_style(style)
}

/// As [`bar`], for episodes that take long: with a message behind it. `held` of them are done already.
pub fn episodes(total: usize, held: usize) -> ProgressBar {
    let bar = bar("scoring", "episodes", total);
    let style = ProgressStyle::with_template("scoring {bar:30} {pos}/{len} episodes, {msg}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message("0 frames/s");
    bar.set_position(held as u64);
    // What an earlier start has scored is not this one's speed.
    bar.reset_eta();
    bar
}
