//! Reads percentages out of what a model wrote.

use std::ops::Range;

/// What is said of "Frame 1" … "Frame n" (n = `frames`), as 0..=1, in that order.
///
/// Frames may come in any order. A frame's percentage is the number with a percent sign behind the word "completion"
/// in what follows its label, or else the first one there. Said twice, the first that lies in 0..=100 counts; said
/// without a percent sign, out of range or not at all, the frame has none. An answer without any label counts only
/// if it has exactly one percentage per frame.
pub fn percentages(answer: &str, frames: usize) -> Vec<Option<f64>> {
    // ASCII letters keep their length in bytes, so that positions hold in both.
    let text = answer.to_ascii_lowercase();
    let labels = labels(&text);
    if labels.iter().all(|label| label.frame.is_none()) {
        let all: Vec<_> = percents(&text).map(|percent| percent.share()).collect();
        return if all.len() == frames { all } else { vec![None; frames] };
    }
    let mut values = vec![None; frames];
    for (index, label) in labels.iter().enumerate() {
        let end = labels.get(index + 1).map_or(text.len(), |next| next.at.start);
        let slot = label.frame.and_then(|frame| frame.checked_sub(1)).and_then(|slot| values.get_mut(slot));
        if let Some(slot @ None) = slot {
            *slot = percentage(&text[label.at.end..end]);
        }
    }
    values
}

/// The start of what is said of a frame, or of something else (`None`).
struct Label {
    at: Range<usize>,
    frame: Option<usize>,
}

/// "Frame 3" at the start of a line or before a colon, dash or the like. Elsewhere a frame is only mentioned.
fn labels(text: &str) -> Vec<Label> {
    let mut found = Vec::new();
    for (start, word) in text.match_indices("frame") {
        if text[..start].ends_with(char::is_alphanumeric) {
            continue;
        }
        let number = skip(text, start + word.len(), |byte| matches!(byte, b' ' | b'#' | b'[' | b'{' | b'*'));
        let end = skip(text, number, |byte| byte.is_ascii_digit());
        let Ok(frame) = text[number..end].parse() else { continue };
        let behind = text[end..].trim_start_matches([' ', '*', ']', '}', ')', '"']);
        let opens = behind.starts_with([':', '-', '–', '—', '|', '=']);
        if opens || starts_line(text, start) {
            found.push(Label { at: start..end, frame: Some(frame) });
        }
    }
    // A summary behind the last frame is not about the last frame.
    for word in ["overall", "final"] {
        let summaries = text.match_indices(word).filter(|&(start, _)| starts_line(text, start));
        found.extend(summaries.map(|(start, word)| Label { at: start..start + word.len(), frame: None }));
    }
    found.sort_by_key(|label| label.at.start);
    found
}

fn starts_line(text: &str, at: usize) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap_or_default();
    !line.contains(char::is_alphanumeric)
}

/// The percentage meant in what is said of one frame.
fn percentage(said: &str) -> Option<f64> {
    let behind_completion = said.match_indices("completion").find_map(|(start, word)| {
        let behind = &said[start + word.len()..];
        let percent = percents(behind).next()?;
        let same_clause = !behind[..percent.start].contains(['.', ',', ';']);
        same_clause.then_some(percent)
    });
    behind_completion.or_else(|| percents(said).next())?.share()
}

/// A number with a percent sign.
struct Percent {
    /// Where the number begins.
    start: usize,
    number: f64,
}

impl Percent {
    fn share(&self) -> Option<f64> {
        (0.0..=100.0).contains(&self.number).then_some(self.number / 100.0)
    }
}

/// All numbers with a percent sign (or the word) behind them. The upper end of a range ("40-50%") is no number.
fn percents(text: &str) -> impl Iterator<Item = Percent> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text[from..].find(|c: char| c.is_ascii_digit())?;
            let end = end_of_number(text, start);
            from = end;
            let behind = text[end..].trim_start_matches([' ', '*', '}']);
            let word = behind.strip_prefix("percent").is_some_and(|rest| !rest.starts_with("age"));
            if let Ok(number) = text[start..end].replace(',', ".").parse::<f64>()
                && (word || behind.starts_with('%'))
            {
                return Some(Percent { start, number: signed(number, &text[..start]) });
            }
        }
    })
}

/// Behind the digits, and behind one point or comma with digits behind it.
fn end_of_number(text: &str, start: usize) -> usize {
    let digits = |from| skip(text, from, |byte| byte.is_ascii_digit());
    let whole = digits(start);
    if matches!(text.as_bytes().get(whole), Some(b'.' | b',')) && digits(whole + 1) > whole + 1 {
        return digits(whole + 1);
    }
    whole
}

/// The number under the sign that may stand right before it.
fn signed(number: f64, before: &str) -> f64 {
    let Some(rest) = before.strip_suffix(['-', '\u{2212}', '–']) else { return number };
    if rest.ends_with(|c: char| c.is_ascii_digit() || c == '%') { f64::NAN } else { -number }
}

/// The first position from `from` on whose byte is not of the kind.
fn skip(text: &str, from: usize, kind: impl Fn(u8) -> bool) -> usize {
    from + text.as_bytes()[from..].iter().take_while(|&&byte| kind(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str, frames: usize) -> Vec<Option<f64>> {
        percentages(answer, frames)
    }

    #[test]
    fn the_asked_format_is_read() {
        let answer = "Frame 1: Task Completion Percentages:40%\nFrame 2: Task Completion Percentages:0%\nFrame 3: Task Completion Percentages:100%";
        assert_eq!(read(answer, 3), [Some(0.4), Some(0.0), Some(1.0)]);
        let run_together =
            "Frame 1: Task Completion Percentages:40%Frame 2: Task Completion Percentages: 12.5 %";
        assert_eq!(read(run_together, 2), [Some(0.4), Some(0.125)]);
    }

    #[test]
    fn other_ways_to_say_it_are_read() {
        let described = "Frame 1: Frame Description: the gripper, 50% open, is 3 cm from the cup, as in Frame 2, Task Completion Percentages: 20%\n\
                         Frame 2: Frame Description: empty table. Task Completion: 5%";
        assert_eq!(read(described, 2), [Some(0.2), Some(0.05)]);
        let marked = "1. **Frame 1:** 10% completion. The gripper is 50% open.\n- **Frame 2** \n\n Task completion: **30%**";
        assert_eq!(read(marked, 2), [Some(0.1), Some(0.3)]);
        // The prompt's own braces, copied.
        assert_eq!(
            read("Frame {1}: Task Completion Percentages:{40}% Frame {2}: {5} %", 2),
            [Some(0.4), Some(0.05)]
        );
        assert_eq!(read("FRAME 1 - 10 percent; frame #2 = 20,5%", 2), [Some(0.1), Some(0.205)]);
        assert_eq!(read("| Frame 1 | 10% |\n| Frame 2 | 70% |", 2), [Some(0.1), Some(0.7)]);
        assert_eq!(read("画面：Frame 1: 完成 — 35%\nFrame 2 → 40%", 2), [Some(0.35), Some(0.4)]);
    }

    #[test]
    fn what_is_missing_is_none_and_moves_nothing() {
        assert_eq!(read("Frame 1: 10%\nFrame 3: 90%", 3), [Some(0.1), None, Some(0.9)]);
        assert_eq!(read("Frame 1: I cannot tell.\nFrame 2: 40%", 2), [None, Some(0.4)]);
        assert_eq!(read("Frame 1: 10%\nFrame 2: Task Completion Percentages:4", 2), [Some(0.1), None]);
        assert_eq!(read("Frame 1: 10\nFrame 2: percentage 20", 2), [None, None]);
        assert_eq!(read("", 2), [None, None]);
        assert_eq!(read("Frame 1: 10%", 0), []);
        assert_eq!(
            read("Frame 1: 10%\nFrame 2: unclear\nOverall task completion: 88%", 2),
            [Some(0.1), None]
        );
    }

    #[test]
    fn the_order_does_not_matter_and_the_first_word_counts() {
        assert_eq!(read("Frame 3: 30%\nFrame 1: 10%\nFrame 2: 20%", 3), [Some(0.1), Some(0.2), Some(0.3)]);
        assert_eq!(read("Frame 1: 10%\nFrame 2: 20%\nFrame 1: 70%", 2), [Some(0.1), Some(0.2)]);
        assert_eq!(read("Frame 1:\nFrame 2:\nFrame 1: 70%", 2), [Some(0.7), None]);
    }

    #[test]
    fn numbers_out_of_range_are_none() {
        assert_eq!(read("Frame 1: 150%\nFrame 2: -5%\nFrame 3: −5%", 3), [None, None, None]);
        assert_eq!(read("Frame 1: 100.5%\nFrame 2: 40-50%", 2), [None, None]);
        assert_eq!(read("Frame 0: 0%\nFrame 1: 20%\nFrame 9: 90%", 2), [Some(0.2), None]);
        assert_eq!(read("Frame 99999999999999999999999: 5%\nFrame 1: 20%", 1), [Some(0.2)]);
    }

    #[test]
    fn a_bare_list_counts_only_if_it_is_complete() {
        assert_eq!(read("10%, 20%, 30%", 3), [Some(0.1), Some(0.2), Some(0.3)]);
        assert_eq!(read("10%, 120%, 30%", 3), [Some(0.1), None, Some(0.3)]);
        assert_eq!(read("10%, 20%", 3), [None, None, None]);
        assert_eq!(read("10%, 20%, 30%, 40%", 3), [None, None, None]);
    }
}
