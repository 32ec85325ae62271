use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::Shard;

/// The episodes of an input, in the order of their positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What was named on the command line; for people.
    pub source: String,
    /// Whether that is a LeRobot dataset, which numbers its frames.
    pub lerobot: bool,
    /// The input of which only some episodes are listed; none: all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Whole>,
    pub episodes: Vec<ListedEpisode>,
}

/// A whole input, without a list of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    pub episodes: usize,
    /// Of all names, indices and instructions in their order; hexadecimal.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedEpisode {
    /// In the whole input, from 0; none where that is listed, and the position is the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    pub name: String,
    pub index: u64,
    /// The recording's own.
    pub instruction: Option<String>,
}

/// In what two inputs differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputDifference {
    #[error("episode {0} has a different number or instruction")]
    Changed(String),
    #[error("episode {0} is no longer in it")]
    Gone(String),
    #[error("episode {0} is new")]
    New(String),
    #[error("its episodes are in a different order")]
    Order,
    #[error("the episodes of other shards have changed ({then} in all there and {now} now)")]
    Rest { then: usize, now: usize },
}

impl Input {
    /// The positions of the listed episodes, rising.
    pub fn positions(&self) -> impl Iterator<Item = usize> {
        self.episodes.iter().enumerate().map(|(place, episode)| episode.position.unwrap_or(place))
    }

    /// The episode at a position, if it is listed.
    pub fn at(&self, position: usize) -> Option<&ListedEpisode> {
        let place = match self.part_of {
            None => position,
            Some(_) => {
                self.episodes.binary_search_by_key(&Some(position), |episode| episode.position).ok()?
            }
        };
        self.episodes.get(place)
    }

    /// A whole input as its shard sees it.
    pub fn part(&self, shard: Shard) -> Self {
        let placed = |(position, episode): (usize, &ListedEpisode)| ListedEpisode {
            position: Some(position),
            ..episode.clone()
        };
        let own = self.episodes.iter().enumerate().filter(|(position, _)| shard.contains(*position));
        let episodes = own.map(placed).collect();
        Self { source: self.source.clone(), lerobot: self.lerobot, part_of: Some(self.whole()), episodes }
    }

    /// What it is a part of, or all of.
    pub fn whole(&self) -> Whole {
        self.part_of.clone().unwrap_or_else(|| Whole { episodes: self.episodes.len(), sha256: self.sha256() })
    }

    fn sha256(&self) -> String {
        let mut context = Context::new(&SHA256);
        // With their lengths: no two lists make the same bytes.
        let mut text = |text: Option<&str>| {
            context.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            context.update(text.unwrap_or_default().as_bytes());
        };
        for ListedEpisode { name, index, instruction, .. } in &self.episodes {
            text(Some(name));
            text(Some(&index.to_string()));
            text(instruction.as_deref());
        }
        context.finish().as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing into a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Whether results of this input may stand beside those of `wanted`, which has the same episodes; where it `may_grow`,
    /// others may have come.
    ///
    /// # Errors
    /// The first episode that is gone, another or elsewhere.
    pub fn check(&self, wanted: &Self, may_grow: bool) -> Result<(), InputDifference> {
        let now: BTreeMap<&str, &ListedEpisode> =
            wanted.episodes.iter().map(|episode| (episode.name.as_str(), episode)).collect();
        for known in &self.episodes {
            match now.get(known.name.as_str()) {
                Some(now) if now.index == known.index && now.instruction == known.instruction => {}
                Some(_) => return Err(InputDifference::Changed(known.name.clone())),
                None => return Err(InputDifference::Gone(known.name.clone())),
            }
        }
        if may_grow {
            return Ok(());
        }
        let known: BTreeSet<&str> = self.episodes.iter().map(|episode| episode.name.as_str()).collect();
        if let Some(new) = wanted.episodes.iter().find(|episode| !known.contains(episode.name.as_str())) {
            return Err(InputDifference::New(new.name.clone()));
        }
        if self.episodes != wanted.episodes {
            return Err(InputDifference::Order);
        }
        if self.part_of != wanted.part_of {
            let (then, now) = (self.whole().episodes, wanted.whole().episodes);
            return Err(InputDifference::Rest { then, now });
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn input(names: &[&str]) -> Input {
        let listed = |(index, name): (usize, &&str)| ListedEpisode {
            position: None,
            name: (*name).to_owned(),
            index: index as u64,
            instruction: Some("lift".to_owned()),
        };
        Input {
            source: "a test".to_owned(),
            lerobot: false,
            part_of: None,
            episodes: names.iter().enumerate().map(listed).collect(),
        }
    }

    #[test]
    fn an_input_may_grow_but_what_is_known_stays() {
        let known = input(&["a", "b"]);
        assert_eq!(known.check(&input(&["a", "b"]), false), Ok(()));
        let grown = input(&["a", "b", "c"]);
        assert_eq!(known.check(&grown, true), Ok(()));
        assert!(known.check(&grown, false).unwrap_err().to_string().contains("c is new"));
        assert!(known.check(&input(&["a"]), true).unwrap_err().to_string().contains("b is no longer in it"));
        // The numbers are a data set's own: between two there may be room for one that could not be listed before.
        let mut mended = input(&["a", "b", "c"]);
        mended.episodes.rotate_right(1);
        assert_eq!(known.check(&mended, true), Ok(()));
        mended.episodes.remove(0);
        mended.episodes.reverse();
        assert!(known.check(&mended, false).unwrap_err().to_string().contains("order"));
        let counted = input(&["a", "0", "b"]);
        assert!(
            known.check(&counted, true).unwrap_err().to_string().contains("episode b has a different number")
        );
        let mut said = input(&["a", "b"]);
        said.episodes[1].instruction = None;
        assert!(known.check(&said, true).unwrap_err().to_string().contains("episode b has a different"));
    }

    #[test]
    fn a_part_knows_its_own_and_whether_the_rest_is_the_same() {
        let shard = "1/2".parse().unwrap();
        let names = ["a", "b", "c", "d"];
        let part = input(&names).part(shard);
        assert_eq!(part.positions().collect::<Vec<_>>(), [1, 3]);
        let name = |position: usize| part.at(position).map(|episode| episode.name.as_str());
        assert_eq!([0, 1, 2, 3, 4].map(name), [None, Some("b"), None, Some("d"), None]);
        assert_eq!((part.whole().episodes, part.whole()), (4, input(&names).whole()));
        assert_eq!(part.check(&input(&names).part(shard), false), Ok(()));
        let rest = part.check(&input(&["a", "b", "c", "d", "e"]).part(shard), false).unwrap_err();
        assert_eq!(rest, InputDifference::Rest { then: 4, now: 5 });
        let mut other = input(&names);
        other.episodes[0].instruction = None;
        assert_eq!(part.check(&other.part(shard), false), Err(InputDifference::Rest { then: 4, now: 4 }));
        let text = serde_json::to_string(&part).unwrap();
        assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), part);
        // Whole inputs are written as ever.
        let text = serde_json::to_string(&input(&["a"])).unwrap();
        let expected =
            r#"{"source":"a test","lerobot":false,"episodes":[{"name":"a","index":0,"instruction":"lift"}]}"#;
        assert_eq!(text, expected);
    }
}
