//! The options that name bags and say how they are cut into episodes.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::episode::{StampRule, StampSource};
use crate::offline::recording::bag::{Bag, BagEpisodes, BagError, Choice, Cut, Spans};

#[derive(Debug, Clone, Args)]
pub struct BagArgs {
    /// Recordings of rosbag2: .mcap or .db3 files, or folders with their metadata.yaml.
    #[arg(long = "bag", value_name = "PATH", num_args = 1.., group = "source")]
    pub bags: Vec<PathBuf>,
    /// The bags' topic with the camera's images [default: the only one].
    #[arg(long, value_name = "TOPIC", requires = "bags")]
    pub topic: Option<String>,
    /// Where the times of the images come from: their headers, or when they were recorded, for cameras that do not stamp
    /// their images [default: header].
    #[arg(long, value_name = "header|receipt", requires = "bags")]
    pub stamps: Option<StampSource>,
    /// How far a stamp may lie from the one before it, unless the times of the recording show the same pause: the node's
    /// sampling.max_step_s [default: 2].
    #[arg(long, value_name = "SECONDS", requires = "bags")]
    pub max_step: Option<f64>,
    /// Cut the bags into episodes by this topic: a node's ~/episode or ~/success, the words of a recorder (String), or
    /// messages that each end one and begin the next (Empty, Bool, calls of a Trigger).
    #[arg(long, value_name = "TOPIC", requires = "bags", group = "bag_cut")]
    pub episode_topic: Option<String>,
    /// Cut the bags into episodes by times: seconds since the bag's first message, as in 0:12.5,20:31 ("40:": to the end).
    #[arg(long, value_name = "FROM:TO,…", requires = "bags", group = "bag_cut")]
    pub cut: Option<Spans>,
    /// Each bag is one episode, even if a node reported episodes in it.
    #[arg(long, requires = "bags", group = "bag_cut")]
    pub whole_bag: bool,
    /// The bags' topic with the instruction (String) [default: the only one named …/instruction].
    #[arg(long, value_name = "TOPIC", requires = "bags")]
    pub instruction_topic: Option<String>,
}

impl BagArgs {
    /// What is to be made of each bag.
    pub fn choice(&self) -> Choice {
        let cut = match (&self.episode_topic, &self.cut) {
            (Some(topic), _) => Cut::Topic(topic.clone()),
            (_, Some(spans)) => Cut::Spans(spans.clone()),
            _ if self.whole_bag => Cut::Whole,
            _ => Cut::Auto,
        };
        let (camera, instruction) = (self.topic.clone(), self.instruction_topic.clone());
        let rule = self.max_step.map(StampRule::new).unwrap_or_default();
        Choice { camera, cut, stamps: self.stamps.unwrap_or_default(), rule, instruction }
    }

    /// The episodes of all bags, numbered on; two bags of one name give the same names. A bag that cannot be used is one of the problems.
    ///
    /// # Errors
    /// None of the bags could be used.
    pub fn episodes(&self) -> Result<BagEpisodes> {
        if let Some(seconds) = self.max_step {
            ensure!(
                seconds > 0.0 && seconds.is_finite(),
                "--max-step is {seconds}: it must be a number above 0"
            );
        }
        let choice = self.choice();
        let mut all = BagEpisodes { episodes: Vec::new(), notes: Vec::new(), problems: Vec::new() };
        for path in &self.bags {
            match Bag::open(path).and_then(|bag| bag.episodes(&choice)) {
                Ok(BagEpisodes { episodes, notes, problems }) => {
                    all.notes.extend(notes);
                    all.problems.extend(problems);
                    for mut episode in episodes {
                        episode.index = all.episodes.len() as u64;
                        all.episodes.push(episode);
                    }
                }
                Err(error) => all.problems.push(BagError::to_string(&error)),
            }
        }
        ensure!(!all.episodes.is_empty(), "{}", all.problems.join("; "));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::offline::recording::bag::Span;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        bags: BagArgs,
    }

    fn choice(arguments: &[&str]) -> Result<Choice, clap::Error> {
        let given = ["score", "--bag", "a.mcap"].into_iter().chain(arguments.iter().copied());
        Cli::try_parse_from(given).map(|cli| cli.bags.choice())
    }

    #[test]
    fn the_cut_is_one_of_four() {
        assert_eq!(choice(&[]).unwrap().cut, Cut::Auto);
        assert_eq!(choice(&["--whole-bag"]).unwrap().cut, Cut::Whole);
        assert_eq!(choice(&["--episode-topic", "/marks"]).unwrap().cut, Cut::Topic("/marks".into()));
        let spans = vec![Span { from_s: 0.0, to_s: 12.5 }, Span { from_s: 20.0, to_s: f64::INFINITY }];
        assert_eq!(choice(&["--cut", "0:12.5,20:"]).unwrap().cut, Cut::Spans(Spans(spans)));
        assert!(choice(&["--cut", "0:1", "--whole-bag"]).is_err());
        for wrong in ["1", "2:1", "-1:2", "a:b", "1:1", "", "0:1,", "nan:1", "0:inf,1"] {
            let error = choice(&[&format!("--cut={wrong}")]).unwrap_err().to_string();
            assert!(error.contains("span of time"), "{wrong}: {error}");
        }
    }

    #[test]
    fn times_may_be_those_of_the_recording() {
        assert_eq!(choice(&[]).unwrap().stamps, StampSource::Header);
        assert_eq!(choice(&["--stamps", "receipt"]).unwrap().stamps, StampSource::Receipt);
        let unknown = choice(&["--stamps", "camera"]).unwrap_err().to_string();
        assert!(unknown.contains("\"header\" or \"receipt\""), "{unknown}");
        let wrong = Cli::try_parse_from(["score", "--bag", "a.mcap", "--max-step", "nan"]).unwrap();
        assert!(wrong.bags.episodes().err().unwrap().to_string().contains("--max-step is NaN"));
    }

    #[test]
    fn options_of_bags_need_a_bag() {
        assert!(Cli::try_parse_from(["score", "--topic", "/camera"]).is_err());
    }
}
