//! Writing SVG.

use std::fmt::Write;

/// Appends formatted text. Writing to a string cannot fail.
pub(crate) fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = svg.write_fmt(text);
}

/// Text that is safe between tags and in attributes; characters that XML does not know are left out.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\t' | '\n' | '\r' => safe.push(character),
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {}
            other => safe.push(other),
        }
    }
    safe
}

/// A number with a minus sign as wide as a digit.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        // What rounds to nothing has no sign.
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// The points of a line, "x,y x,y"; NaNs are left out.
pub(crate) fn points(places: impl Iterator<Item = (f64, f64)>) -> String {
    let places = places.filter(|(x, y)| x.is_finite() && y.is_finite());
    places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_tags() {
        assert_eq!(escape("<b>\"a\" & 'b'\0\u{FFFF}"), "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;");
    }

    #[test]
    fn numbers_have_a_minus_sign_unless_they_are_nothing() {
        assert_eq!([number(-1.005, 1), number(-0.004, 2), number(12.0, 0)], ["−1.0", "0.00", "12"]);
    }

    #[test]
    fn points_that_are_none_are_left_out() {
        assert_eq!(points([(0.0, 1.0), (f64::NAN, 2.0), (3.04, -5.0)].into_iter()), "0.0,1.0 3.0,-5.0");
    }
}
