use std::fmt;
use std::str::FromStr;

/// Which prefixes are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefixes {
    All,
    /// So many, evenly spread from the first frame to the whole episode.
    Evenly(usize),
    /// Each whose length is a multiple of this, and the whole episode.
    Every(usize),
}

/// A text that names no [`Prefixes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give \"all\", a number of at least 1, or \"every:K\"")]
pub struct NoPrefixes;

impl FromStr for Prefixes {
    type Err = NoPrefixes;

    fn from_str(text: &str) -> Result<Self, NoPrefixes> {
        let every = text.strip_prefix("every:");
        match (text, every.unwrap_or(text).parse::<usize>()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(n)) if n > 0 && every.is_some() => Ok(Self::Every(n)),
            (_, Ok(n)) if n > 0 => Ok(Self::Evenly(n)),
            _ => Err(NoPrefixes),
        }
    }
}

impl fmt::Display for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Evenly(n) => write!(f, "{n}"),
            Self::Every(k) => write!(f, "every:{k}"),
        }
    }
}

impl Prefixes {
    /// Prefix lengths in frames, rising, the whole episode last. `Evenly(n)` is numpy's `linspace(1, total, n)`
    /// rounded, as in the reference, without repeats.
    pub fn lengths(self, total: usize) -> Vec<usize> {
        match self {
            Self::All => (1..=total).collect(),
            Self::Evenly(1) => vec![total],
            Self::Evenly(n) => {
                let step = (total as f64 - 1.0) / (n as f64 - 1.0);
                let mut lengths: Vec<usize> =
                    (0..n).map(|i| (1.0 + i as f64 * step).round_ties_even() as usize).collect();
                lengths.dedup();
                lengths
            }
            Self::Every(k) => {
                let multiples = (1..).map(|i| i * k.max(1)).take_while(|length| *length < total);
                multiples.chain([total]).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced_prefixes_are_the_references() {
        assert_eq!(Prefixes::Evenly(5).lengths(9), [1, 3, 5, 7, 9]);
        // numpy.linspace(1, 30, 15).round(): steps of 2.0714
        let expected = [1, 3, 5, 7, 9, 11, 13, 16, 18, 20, 22, 24, 26, 28, 30];
        assert_eq!(Prefixes::Evenly(15).lengths(30), expected);
        assert_eq!(Prefixes::Evenly(15).lengths(3), [1, 2, 3]);
        assert_eq!(Prefixes::Evenly(1).lengths(7), [7]);
        assert_eq!(Prefixes::All.lengths(3), [1, 2, 3]);
    }

    #[test]
    fn every_kth_prefix_and_the_whole() {
        assert_eq!(Prefixes::Every(3).lengths(8), [3, 6, 8]);
        assert_eq!(Prefixes::Every(3).lengths(6), [3, 6]);
        assert_eq!(Prefixes::Every(9).lengths(4), [4]);
        assert_eq!("every:3".parse(), Ok(Prefixes::Every(3)));
        assert_eq!("15".parse(), Ok(Prefixes::Evenly(15)));
        for text in ["all", "15", "every:3"] {
            assert_eq!(text.parse::<Prefixes>().unwrap().to_string(), text);
        }
        for wrong in ["every:0", "every:", "0", "some"] {
            assert!(wrong.parse::<Prefixes>().is_err(), "{wrong}");
        }
    }
}
