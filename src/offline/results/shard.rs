use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of an input, for job arrays: every `count`-th episode from the `index`-th on, both by their position in the
/// listing, from 0. Long and short episodes that lie together are so spread over all parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Whether the episode at this position of the listing is one of its.
    pub fn contains(self, position: usize) -> bool {
        position % self.count == self.index
    }

    /// The shard of the same input that has this position.
    pub fn beside(self, position: usize) -> Self {
        Self { index: position % self.count, ..self }
    }
}

/// Why a text is no shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoShard {
    #[error("give PART/PARTS, counted from 0: 0/4 to 3/4")]
    Form,
    #[error("there is no part {index} of {count}: they are counted from 0")]
    Beyond { index: usize, count: usize },
}

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(text: &str) -> Result<Self, NoShard> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some(Self { index: index.parse().ok()?, count: count.parse().ok()? }));
        match parts {
            Some(shard) if shard.index < shard.count => Ok(shard),
            Some(Self { index, count }) => Err(NoShard::Beyond { index, count }),
            None => Err(NoShard::Form),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = NoShard;

    fn try_from(text: String) -> Result<Self, NoShard> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_episode_is_in_one_shard() {
        let shards: Vec<Shard> = (0..3).map(|index| format!("{index}/3").parse().unwrap()).collect();
        let of = |shard: Shard| (0..8).filter(|position| shard.contains(*position)).collect::<Vec<_>>();
        assert_eq!(
            shards.into_iter().map(of).collect::<Vec<_>>(),
            [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]
        );
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for wrong in ["3/3", "0/0", "1", "a/b", "-1/2", "1/2/3", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        let shard: Shard = "1/2".parse().unwrap();
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"1/2\"");
        assert_eq!(serde_json::from_str::<Shard>("\"1/2\"").unwrap(), shard);
        assert!(serde_json::from_str::<Shard>("\"2/2\"").is_err());
    }
}
