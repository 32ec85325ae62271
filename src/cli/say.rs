//! What goes to stderr: one line for each thing, whatever is in it.

use std::fmt::Display;
use std::io::Write;

use log::{Level, LevelFilter};

use crate::printable::message;

/// Programs of others that write down at the level trace what they send, the token among it.
const TALKATIVE: [&str; 4] = ["ureq", "rustls", "hf_hub", "h2"];

/// Something could not be done.
pub fn error(error: impl Display) {
    eprintln!("error: {}", message(&error.to_string()));
}

/// Something should be known.
pub fn note(note: impl Display) {
    eprintln!("note: {}", message(&note.to_string()));
}

/// Has the log written to stderr, as RUST_LOG asks for it: warnings, unless it says otherwise.
pub fn log() {
    // A plot with a character that the embedded font lacks shows a box: no news for a terminal.
    let asked = env_logger::Env::default().default_filter_or("warn,usvg=error");
    let mut builder = env_logger::Builder::from_env(asked);
    builder.format(|out, record| {
        let talkative = TALKATIVE.iter().any(|name| record.target().starts_with(name));
        if talkative && record.level() > LevelFilter::Debug {
            return Ok(());
        }
        let (time, level, target) = (out.timestamp(), record.level(), record.target());
        let style = out.default_level_style(level);
        let text = message(&record.args().to_string());
        let space = if matches!(level, Level::Warn | Level::Info) { " " } else { "" };
        writeln!(out, "[{time} {style}{level}{style:#}{space} {target}] {text}")
    });
    builder.init();
}
