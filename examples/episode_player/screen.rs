use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use r2r::topreward::msg::{Progress, SuccessDetection};

use crate::bag::Bag;
use crate::summary::Outcome;

/// Steps of a bar from 0 to done.
const STEPS: u64 = 1000;
/// Longest instruction shown, characters.
const SHOWN: usize = 60;

/// Shows the episodes: a live bar each on a terminal, plain lines otherwise.
pub struct Screen {
    live: Option<Live>,
    episodes: usize,
    begun: usize,
}

struct Live {
    bars: MultiProgress,
    current: ProgressBar,
}

impl Screen {
    pub fn new(headless: bool, episodes: usize) -> Self {
        let live = (!headless).then(|| Live { bars: MultiProgress::new(), current: ProgressBar::hidden() });
        Self { live, episodes, begun: 0 }
    }

    pub fn begin(&mut self, bag: &Bag) {
        self.begun += 1;
        let number = format!("{}/{}", self.begun, self.episodes);
        match &mut self.live {
            None => println!("{number} \"{}\" ({})", bag.instruction, bag.kind),
            Some(live) => {
                live.current = live.bars.add(ProgressBar::new(STEPS));
                live.current.set_style(style("cyan"));
                live.current.set_prefix(format!("{number:>5} {}", shortened(&bag.instruction)));
                live.current.set_message("waiting for the first score");
                live.current.tick();
            }
        }
    }

    pub fn progress(&mut self, progress: &Progress) {
        if let Some(live) = &self.live {
            live.current.set_position((progress.progress * STEPS as f64) as u64);
            live.current.set_message(format!(
                "{:3.0} %  log p {:7.3}  {} frames",
                progress.progress * 100.0,
                progress.log_prob_true,
                progress.frames
            ));
        }
    }

    pub fn success(&mut self, success: &SuccessDetection) {
        let time_s = f64::from(success.episode_time.sec) + f64::from(success.episode_time.nanosec) * 1e-9;
        match &self.live {
            None => println!(
                "    success called at {time_s:.1} s: mean log p {:.3} reaches {:.3}",
                success.mean_log_prob_true, success.threshold
            ),
            Some(live) => live.current.set_message(format!("success at {time_s:.1} s")),
        }
    }

    pub fn end(&mut self, outcome: &Outcome) {
        let verdict = verdict(outcome);
        match &self.live {
            None => println!("    {} {verdict}", curve(&outcome.curve)),
            Some(live) => {
                live.current.set_style(style(if outcome.is_right() { "green" } else { "red" }));
                live.current.abandon_with_message(verdict);
            }
        }
    }
}

fn verdict(outcome: &Outcome) -> String {
    let said = if outcome.detections > 0 { "success, robot reset" } else { "no success" };
    let judged = if outcome.is_right() { "right" } else { "WRONG" };
    format!("{said}: {judged} ({})", outcome.kind)
}

fn style(colour: &str) -> ProgressStyle {
    let template = format!("{{prefix}}\n      {{bar:40.{colour}/bright.black}} {{msg}}");
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

fn shortened(instruction: &str) -> String {
    if instruction.chars().count() <= SHOWN {
        return instruction.to_owned();
    }
    instruction.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// Progress over time, a character for each score.
fn curve(progress: &[f64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let level = |p: f64| LEVELS[((p * 8.0) as usize).min(7)];
    progress.iter().map(|&p| level(p)).collect()
}
