//! Text: measuring and wrapping with the embedded fonts. A character without a glyph becomes a box.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef};

type Face = LazyLock<Option<FontRef<'static>>>;

/// The embedded fonts as files: DejaVu Sans, and its bold face with ASCII only.
pub const REGULAR_FILE: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");
pub const BOLD_FILE: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf");

static REGULAR: Face = LazyLock::new(|| FontRef::try_from_slice(REGULAR_FILE).ok());
static BOLD: Face = LazyLock::new(|| FontRef::try_from_slice(BOLD_FILE).ok());

const ELLIPSIS: char = '…';
/// No text is read further: marks without a width could otherwise go on for ever.
const MOST_CHARACTERS: usize = 4000;

/// A font at a size.
#[derive(Clone, Copy)]
pub struct Style {
    /// Absent if the embedded font were broken, which a test rules out.
    pub(crate) font: Option<&'static FontRef<'static>>,
    /// Pixels per em.
    size: f32,
}

impl Style {
    pub fn regular(size: f32) -> Self {
        Self { font: REGULAR.as_ref(), size }
    }

    pub fn bold(size: f32) -> Self {
        Self { font: BOLD.as_ref(), size }
    }

    /// Width of one line of text in pixels.
    pub fn width(&self, text: &str) -> f32 {
        text.chars().map(|character| self.advance(character)).sum()
    }

    pub(crate) fn advance(&self, character: char) -> f32 {
        let Some(font) = self.font else { return 0.0 };
        let glyph = font.glyph_id(character);
        if glyph.0 == 0 && is_unspaced(character) {
            // Whatever font shows it is as wide as high, and the box fits as well.
            return self.size;
        }
        font.h_advance_unscaled(glyph) * self.pixels_per_unit(font)
    }

    pub(crate) fn pixels_per_unit(&self, font: &FontRef<'_>) -> f32 {
        self.size / font.units_per_em().unwrap_or(1000.0)
    }

    /// Breaks text into at most `lines` lines of at most `width` pixels; what does not fit ends in an ellipsis.
    /// Lines break at spaces, between the characters of scripts without spaces, or else anywhere. However long the
    /// text is, only what can be shown is looked at.
    pub fn wrap(&self, text: &str, width: f32, lines: usize) -> Vec<String> {
        let (mut done, mut line, mut used) = (Vec::new(), String::new(), 0.0);
        for character in printable(text).take(MOST_CHARACTERS) {
            let first = line.is_empty();
            line.push(character);
            used += self.advance(character);
            if first || used <= width {
                continue;
            }
            if done.len() + 1 >= lines {
                done.push(self.with_ellipsis(line, width));
                return done;
            }
            let rest = line.split_off(break_position(&line));
            done.push(line.trim_end().to_owned());
            line = rest;
            used = self.width(&line);
        }
        if !line.is_empty() && done.len() < lines {
            done.push(line);
        }
        done
    }

    /// Text on one line of at most `width` pixels.
    pub fn fit(&self, text: &str, width: f32) -> String {
        self.wrap(text, width, 1).pop().unwrap_or_default()
    }

    fn with_ellipsis(&self, mut line: String, width: f32) -> String {
        let mut used = self.width(&line) + self.advance(ELLIPSIS);
        while used > width
            && let Some(last) = line.pop()
        {
            used -= self.advance(last);
        }
        line.truncate(line.trim_end().len());
        line.push(ELLIPSIS);
        line
    }
}

/// Where to break a line whose last character is too much: the byte at which the next line begins.
fn break_position(line: &str) -> usize {
    let last = line.char_indices().next_back().map_or(0, |(position, _)| position);
    let (mut position, mut previous) = (None, None);
    for (start, character) in line.char_indices() {
        match character {
            ' ' => position = Some(start + 1),
            _ if start > 0
                && previous != Some(' ')
                && (is_unspaced(character) || previous.is_some_and(is_unspaced)) =>
            {
                position = Some(start)
            }
            _ => {}
        }
        previous = Some(character);
    }
    position.unwrap_or(last)
}

/// East Asian characters and emoji: lines may break on both sides of them.
fn is_unspaced(character: char) -> bool {
    matches!(character, '\u{2E80}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'.. )
}

/// What of a text can be seen: each run of white space as one space, without control characters and the marks that
/// only direct or join their neighbours.
fn printable(text: &str) -> impl Iterator<Item = char> {
    let mut pending_space = false;
    let mut begun = false;
    text.chars().flat_map(move |character| {
        let (mut space, mut shown) = (None, None);
        if character.is_whitespace() {
            pending_space = begun;
        } else if !is_invisible(character) {
            space = std::mem::take(&mut pending_space).then_some(' ');
            shown = Some(character);
            begun = true;
        }
        space.into_iter().chain(shown)
    })
}

fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{AD}' | '\u{34F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fonts_load_and_every_printed_sign_has_a_glyph() {
        for (style, signs) in
            [(Style::regular(16.0), "aZ09ÄñőΩж–−…≥∞✓→"), (Style::bold(16.0), "0123456789 %–")]
        {
            let font = style.font.expect("the embedded font");
            for sign in signs.chars() {
                assert_ne!(font.glyph_id(sign).0, 0, "{sign}");
            }
        }
    }

    #[test]
    fn text_is_as_wide_as_the_font_says() {
        // DejaVu Sans: 2048 units per em, "H" is 1540 wide.
        let style = Style::regular(40.0);
        assert!((style.width("HH") - 2.0 * 40.0 * 1540.0 / 2048.0).abs() < 1e-3);
        assert_eq!(style.width("積木"), 80.0);
    }

    #[test]
    fn wrapped_lines_keep_the_words_and_the_width() {
        let style = Style::regular(16.0);
        let text = "put the red cube\n\tin  the box";
        let lines = style.wrap(text, 130.0, 9);
        assert_eq!(lines.join(" "), "put the red cube in the box");
        assert!(lines.len() > 1 && lines.iter().all(|line| style.width(line) <= 130.0), "{lines:?}");
        assert_eq!(style.wrap(text, 1e6, 2), ["put the red cube in the box"]);
        assert!(style.wrap(" \u{200D}\n", 100.0, 2).is_empty());
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        let style = Style::regular(16.0);
        for text in
            ["word ".repeat(99), "x".repeat(1_000_000), "把红色方块放进盒子".repeat(99), "👩‍🚀🤖 ".repeat(99)]
        {
            let lines = style.wrap(&text, 200.0, 2);
            assert_eq!(lines.len(), 2);
            assert!(lines[1].ends_with(ELLIPSIS) && !lines[0].ends_with(ELLIPSIS), "{lines:?}");
            assert!(
                lines.iter().all(|line| style.width(line) <= 200.0 && style.width(line) > 150.0),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn breaks_fall_at_spaces_and_between_unspaced_characters() {
        assert_eq!(break_position("red cub"), 4);
        assert_eq!(break_position("red "), 4);
        assert_eq!(break_position("unbroken"), 7);
        assert_eq!(break_position("put 红色"), 7);
        assert_eq!(break_position("put 红"), 4);
    }

    #[test]
    fn a_line_narrower_than_one_character_still_ends() {
        let style = Style::regular(16.0);
        assert_eq!(style.wrap("abc", 0.5, 9), ["a", "b", "c"]);
        assert_eq!(style.fit("abc", 0.5), "…");
    }
}
