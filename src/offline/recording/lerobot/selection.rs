use std::ops::RangeInclusive;
use std::str::FromStr;

/// Numbers of episodes as people write them: `0-3,7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episodes(Vec<RangeInclusive<u64>>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" names no episodes: write numbers and ranges such as 0-3,7")]
pub struct EpisodesError(String);

impl FromStr for Episodes {
    type Err = EpisodesError;

    fn from_str(text: &str) -> Result<Self, EpisodesError> {
        let refuse = || EpisodesError(text.to_owned());
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| refuse());
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first)?..=number(last)?;
            if range.is_empty() { Err(refuse()) } else { Ok(range) }
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

impl Episodes {
    pub fn contains(&self, episode: u64) -> bool {
        self.0.iter().any(|range| range.contains(&episode))
    }

    /// The first number named for which this holds.
    pub(super) fn find(&self, holds: impl Fn(u64) -> bool) -> Option<u64> {
        self.0.iter().cloned().flatten().find(|number| holds(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read() {
        let episodes: Episodes = "0-3, 7".parse().unwrap();
        let chosen: Vec<u64> = (0..10).filter(|number| episodes.contains(*number)).collect();
        assert_eq!(chosen, [0, 1, 2, 3, 7]);
        assert_eq!(episodes.find(|number| number > 2), Some(3));
        for bad in ["", "a", "3-1", "1-", "-2", "1,,2", "1-2-3"] {
            let told = bad.parse::<Episodes>().unwrap_err().to_string();
            assert!(told.contains("0-3,7") && told.contains(bad), "{told}");
        }
    }
}
