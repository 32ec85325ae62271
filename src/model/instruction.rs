//! The rules for instructions, whichever way they come.

use std::sync::Arc;

use crate::model::{InstructionCheck, VlmError};

/// Why an instruction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    #[error("the instruction is empty (or not UTF-8): say what the robot is to do")]
    Empty,
    #[error("the instruction is not text: it holds the control character U+{:04X}", u32::from(*.0))]
    NotText(char),
    #[error(
        "the calibration in use does not hold for \"{0}\": calibrate with episodes of it, or take calibration.file away"
    )]
    OutOfScope(String),
    /// The model's own reason.
    #[error("{0}")]
    Model(String),
}

/// Checks instructions; knows the model's limit once a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct InstructionRule {
    /// `None` until the model is loaded.
    pub model: Option<InstructionCheck>,
    /// The instructions that the calibration in use holds for; empty: any.
    pub scope: Vec<String>,
}

impl InstructionRule {
    /// The instruction as a person sees it: without white space around it and characters that cannot be seen, and with one
    /// space where there is white space of any kind. What looks the same is the same to the model.
    ///
    /// # Errors
    /// Empty, not text, or too long for the model (`model.max_instruction_tokens`).
    pub fn accept(&self, text: &str) -> Result<Arc<str>, InstructionError> {
        let plain = as_seen(text);
        if plain.is_empty() {
            return Err(InstructionError::Empty);
        }
        if let Some(strange) = plain.chars().find(|c| c.is_control() || *c == char::REPLACEMENT_CHARACTER) {
            return Err(InstructionError::NotText(strange));
        }
        if !self.scope.is_empty() && !self.scope.iter().any(|known| as_seen(known) == plain) {
            return Err(InstructionError::OutOfScope(plain));
        }
        if let Some(model) = &self.model {
            model.check(&plain).map_err(|error: VlmError| InstructionError::Model(error.to_string()))?;
        }
        Ok(plain.into())
    }
}

/// Text without what cannot be seen of it.
fn as_seen(text: &str) -> String {
    let seen: String = text.chars().filter(|character| !is_invisible(*character)).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters without a shape that editors, keyboards and web pages leave in texts: byte order mark, spaces of no width,
/// soft hyphen, and the marks that steer the direction of writing. The joiners U+200C and U+200D, which shape letters of
/// some scripts, stay.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{feff}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{ad}' | '\u{180e}'
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_taken_and_the_rest_is_refused_by_name() {
        let rule = InstructionRule::default();
        assert_eq!(&*rule.accept("  put the cup\r\non the\ttray \n").unwrap(), "put the cup on the tray");
        assert_eq!(&*rule.accept("把杯子放在托盘上").unwrap(), "把杯子放在托盘上");
        assert_eq!(rule.accept(" \n "), Err(InstructionError::Empty));
        let bell = rule.accept("ring \u{7}").unwrap_err();
        assert_eq!(bell.to_string(), "the instruction is not text: it holds the control character U+0007");
        assert_eq!(rule.accept("\u{fffd}x"), Err(InstructionError::NotText('\u{fffd}')));
    }

    #[test]
    fn what_looks_the_same_is_the_same() {
        let rule = InstructionRule::default();
        let clean = "put the red cube on the green marker";
        assert_eq!(&*rule.accept(clean).unwrap(), clean);
        for mark in
            ["\u{feff}", "\u{200b}", "\u{ad}", "\u{202e}", "\u{202c}", "\u{2066}", "\u{200e}", "\u{2060}"]
        {
            for text in [
                format!("{mark}{clean}"),
                format!("{clean}{mark}"),
                clean.replacen("cube", &format!("cu{mark}be"), 1),
            ] {
                assert_eq!(
                    &*rule.accept(&text).unwrap(),
                    clean,
                    "U+{:04X}",
                    u32::from(mark.chars().next().unwrap())
                );
            }
            assert_eq!(rule.accept(mark), Err(InstructionError::Empty));
        }
        for space in ["  ", "\u{a0}", " \u{feff} ", "\t\n", "\u{2028}", "\u{3000}"] {
            assert_eq!(
                &*rule.accept(&format!("{}{space}", clean.replace(' ', space))).unwrap(),
                clean,
                "{space:?}"
            );
        }
        assert_eq!(rule.accept("put\0the cube"), Err(InstructionError::NotText('\0')));
        let joined = "کتاب\u{200c}ها را بردار";
        assert_eq!(&*rule.accept(joined).unwrap(), joined);
        let scope = vec!["lift  the cup".to_owned()];
        assert!(InstructionRule { scope, ..InstructionRule::default() }.accept("lift the cup ").is_ok());
    }

    #[test]
    fn only_what_the_calibration_holds_for_is_taken() {
        let scope = vec!["lift the cup".to_owned()];
        let rule = InstructionRule { scope, ..InstructionRule::default() };
        assert!(rule.accept(" lift the cup").is_ok());
        let refusal = rule.accept("wipe the table").unwrap_err().to_string();
        assert!(refusal.contains("wipe the table") && refusal.contains("calibration"), "{refusal}");
    }

    #[test]
    fn the_models_limit_counts_once_it_is_known() {
        let tokens = |text: &str| text.split(' ').count();
        let check = InstructionCheck::new(move |text| match tokens(text) {
            tokens if tokens > 3 => Err(VlmError::InstructionTooLong { tokens, limit: 3 }),
            _ => Ok(()),
        });
        let rule = InstructionRule { model: Some(check), ..InstructionRule::default() };
        assert!(rule.accept("one two three").is_ok());
        let refusal = rule.accept("one two three four").unwrap_err().to_string();
        assert!(refusal.contains("4 tokens") && refusal.contains("3 allowed"), "{refusal}");
        assert!(InstructionRule::default().accept("one two three four").is_ok());
    }
}
