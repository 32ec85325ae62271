//! Which values a parameter takes, and their unit.

use super::value::Value;

/// Which values fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Every one of the parameter's type: texts and switches.
    Free,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// One of these names, or an empty text.
    ChoiceOrEmpty(&'static [&'static str]),
    /// A finite number within `[from, to]`, without `from` itself where `open`.
    Number { from: f64, to: f64, open: bool },
    /// A whole number within `[from, to]`.
    Whole { from: i64, to: i64 },
}

/// Numbers within `[from, to]`.
pub const fn from(from: f64, to: f64) -> Bounds {
    Bounds::Number { from, to, open: false }
}

/// Numbers within `[from, to]`, without `from` itself.
pub const fn above(from: f64, to: f64) -> Bounds {
    Bounds::Number { from, to, open: true }
}

/// Whole numbers within `[from, to]`.
pub const fn whole(from: i64, to: i64) -> Bounds {
    Bounds::Whole { from, to }
}

impl Bounds {
    /// Whether the value is within. One of another type is: its type is checked where it is read.
    pub fn fit(self, value: &Value) -> bool {
        let within = |number: f64, from: f64, to: f64, open: bool| {
            number.is_finite() && number <= to && if open { number > from } else { number >= from }
        };
        match (self, value) {
            (Self::Choice(names), Value::Text(text)) => names.contains(&text.as_str()),
            (Self::ChoiceOrEmpty(names), Value::Text(text)) => {
                text.is_empty() || names.contains(&text.as_str())
            }
            (Self::Number { from, to, open }, Value::Number(number)) => within(*number, from, to, open),
            (Self::Number { from, to, open }, Value::Whole(number)) => within(*number as f64, from, to, open),
            (Self::Whole { from, to }, Value::Whole(number)) => (from..=to).contains(number),
            _ => true,
        }
    }

    /// What fits, as it goes on after "it must be"; empty where everything does.
    pub fn words(self) -> String {
        match self {
            Self::Free => String::new(),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::ChoiceOrEmpty(names) => format!("empty or one of {}", names.join(", ")),
            Self::Number { from, to, open: true } => format!("above {from} and at most {to}"),
            Self::Number { from, to, open: false } => format!("from {from} to {to}"),
            Self::Whole { from, to } => format!("from {from} to {to}"),
        }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    None,
    Seconds,
    Hertz,
    /// Natural logarithms of probabilities.
    Nats,
    Tokens,
    Pixels,
    /// Frames that the model sees.
    Samples,
    Scores,
    /// Of 8-bit grey, 0 to 255.
    GreyLevels,
}

impl Unit {
    /// Its usual sign or name; empty for none.
    pub fn sign(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "s",
            Self::Hertz => "Hz",
            Self::Nats => "nats",
            Self::Tokens => "tokens",
            Self::Pixels => "pixels",
            Self::Samples => "samples",
            Self::Scores => "scores",
            Self::GreyLevels => "grey levels",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_it_unless_the_lower_is_open() {
        for (bounds, inside, outside) in [
            (from(-1.0, 2.0), vec![-1.0, 0.0, 2.0], vec![-1.5, 2.5]),
            (above(0.0, 2.0), vec![1e-300, 2.0], vec![0.0, -1.0, 3.0]),
        ] {
            assert!(inside.into_iter().all(|number| bounds.fit(&Value::Number(number))), "{bounds:?}");
            let never = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            let outside = outside.into_iter().chain(never);
            assert!(!outside.map(Value::Number).any(|value| bounds.fit(&value)), "{bounds:?}");
        }
        let fitting = |bounds: Bounds| (-1..=10).filter(move |&number| bounds.fit(&Value::Whole(number)));
        assert!(fitting(whole(1, 9)).eq(1..=9));
        // A whole number will do for one with a fraction.
        assert!(fitting(above(0.0, 9.5)).eq(1..=9));
    }

    #[test]
    fn only_the_names_themselves_are_choices() {
        let fitting = |bounds: Bounds, text: &str| bounds.fit(&Value::Text(text.to_owned()));
        assert!(fitting(Bounds::Choice(&["raw", "compressed"]), "raw"));
        for text in ["", "RAW", "raw ", "rawcompressed"] {
            assert!(!fitting(Bounds::Choice(&["raw", "compressed"]), text), "{text:?}");
        }
        assert!(
            fitting(Bounds::ChoiceOrEmpty(&["raw"]), "") && !fitting(Bounds::ChoiceOrEmpty(&["raw"]), "x")
        );
    }
}
