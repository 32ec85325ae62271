//! The ground floor: texts of others (names of topics, files, tensors, values in messages) as they may be shown.
//!
//! A name may hold control characters that clear a terminal, set its title or write backwards, and a value may be a
//! megabyte. What this program prints goes through here.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of a line that are shown.
const LONGEST_LINE: usize = 2000;

/// The text with its control characters written out (`\u001b`), but for line breaks and tabs.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(must_be_written_out) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match must_be_written_out(character) {
            // As JSON has it, in which this may stand. Writing to a text does not fail.
            true => drop(write!(written, "\\u{:04x}", u32::from(character))),
            false => written.push(character),
        }
    }
    Cow::Owned(written)
}

/// One message: as [`escaped`], without line breaks, and cut to a length that a person reads.
pub fn message(text: &str) -> String {
    let one_line = text.replace(['\n', '\r'], " ");
    let shown = escaped(&one_line);
    let more = shown.chars().count().saturating_sub(LONGEST_LINE);
    if more == 0 {
        return shown.into_owned();
    }
    let kept: String = shown.chars().take(LONGEST_LINE).collect();
    format!("{kept}… ({more} characters more)")
}

/// What a terminal obeys instead of showing it, and what turns the direction of writing.
fn must_be_written_out(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && !matches!(character, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(escaped("/camera\u{1b}[2J"), "/camera\\u001b[2J");
        assert_eq!(escaped("a\u{9b}b\u{7f}\0\r"), "a\\u009bb\\u007f\\u0000\\u000d");
        assert_eq!(escaped("a\u{202e}b"), "a\\u202eb");
        assert!(matches!(escaped("a\n\t把杯子 °"), Cow::Borrowed("a\n\t把杯子 °")));
        let json = serde_json::json!({ "name": "\u{9b}31m" }).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped(&json)).unwrap()["name"], "\u{9b}31m");
    }

    #[test]
    fn a_message_is_one_line_that_ends() {
        assert_eq!(message("a\r\nb"), "a  b");
        let long = message(&"x".repeat(1_000_000));
        assert!(long.len() < 2100 && long.ends_with("(998000 characters more)"), "{}", long.len());
    }
}
