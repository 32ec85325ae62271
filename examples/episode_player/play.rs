//! Plays the episodes one after the other, as a lab's script would.

use std::time::Duration;

use anyhow::{Context as _, bail};
use r2r::ServiceRequest;
use r2r::std_srvs::srv::Trigger;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::bag::Bag;
use crate::links::{Happening, Links};
use crate::screen::Screen;
use crate::summary::{Outcome, Summary};

/// How long the node may take to load its model, or to score a frame.
const SCORE_PATIENCE: Duration = Duration::from_secs(60);
/// How long an episode's summary may take.
const SUMMARY_PATIENCE: Duration = Duration::from_secs(5);
/// The node reports on /diagnostics every second.
const REPORT_PATIENCE: Duration = Duration::from_millis(2500);

pub struct Player {
    links: Links,
    happenings: UnboundedReceiver<Happening>,
    screen: Screen,
    patience: Duration,
    summary: Summary,
    /// The newest episode that the node has spoken of.
    newest_id: u64,
    /// A reset that has been asked for and not yet answered.
    reset: Option<ServiceRequest<Trigger::Service>>,
}

/// Where the robot is in its video.
enum Robot {
    /// It shows the first frame until the node has scored it.
    Waiting,
    /// The next frame to show.
    Moving(usize),
    /// It shows the last frame, since then.
    Still(Instant),
}

impl Player {
    pub fn new(
        links: Links,
        happenings: UnboundedReceiver<Happening>,
        screen: Screen,
        patience: Duration,
    ) -> Self {
        let summary = Summary::default();
        Self { links, happenings, screen, patience, summary, newest_id: 0, reset: None }
    }

    pub async fn play_all(&mut self, bags: &[Bag]) -> anyhow::Result<Summary> {
        self.links.find_node().await?;
        for (index, bag) in bags.iter().enumerate() {
            self.links.send(&bag.frames[0])?;
            self.links.set_instruction(&bag.instruction).await?;
            if let Some(reset) = self.reset.take() {
                // The scene is set up again; the node begins the next episode by itself.
                reset.respond(Trigger::Response { success: true, message: String::new() })?;
            } else if index > 0 {
                self.links.start_episode().await?;
            }
            let outcome = self.play(bag).await.with_context(|| format!("episode {}", index + 1))?;
            self.screen.end(&outcome);
            self.summary.outcomes.push(outcome);
        }
        self.last_report(bags).await?;
        Ok(std::mem::take(&mut self.summary))
    }

    /// Plays one episode until success is called or patience ends.
    async fn play(&mut self, bag: &Bag) -> anyhow::Result<Outcome> {
        self.screen.begin(bag);
        let mut outcome = Outcome::new(bag);
        let mut robot = Robot::Waiting;
        let mut tick = interval(bag.period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_sign = Instant::now();
        while self.reset.is_none() {
            tokio::select! {
                _ = tick.tick() => {
                    robot = self.show(bag, robot)?;
                    let given_up = matches!(robot, Robot::Still(since) if since.elapsed() > self.patience);
                    // Refused when success was called this very moment: then the reset is on its way.
                    if given_up && self.links.end_episode().await? {
                        break;
                    }
                    if last_sign.elapsed() > SCORE_PATIENCE {
                        bail!("the node has scored nothing for {} s", SCORE_PATIENCE.as_secs());
                    }
                }
                happening = self.happenings.recv() => {
                    let began = self.take(happening, &mut outcome)?;
                    if began {
                        last_sign = Instant::now();
                        if matches!(robot, Robot::Waiting) {
                            robot = Robot::Moving(0);
                        }
                    }
                }
            }
        }
        self.hear_out(&mut outcome).await?;
        Ok(outcome)
    }

    /// Shows the frame whose time it is; what the robot does next.
    fn show(&mut self, bag: &Bag, robot: Robot) -> anyhow::Result<Robot> {
        let last = bag.frames.len() - 1;
        let (shown, next) = match robot {
            Robot::Waiting => (0, Robot::Waiting),
            Robot::Moving(index) if index < last => (index, Robot::Moving(index + 1)),
            Robot::Moving(_) => (last, Robot::Still(Instant::now())),
            Robot::Still(since) => (last, Robot::Still(since)),
        };
        self.links.send(&bag.frames[shown])?;
        Ok(next)
    }

    /// Notes what the node did; whether it was a score of this episode.
    fn take(&mut self, happening: Option<Happening>, outcome: &mut Outcome) -> anyhow::Result<bool> {
        match happening.context("the ROS executor has ended")? {
            Happening::Progress(progress) => {
                if progress.episode_id <= self.newest_id && Some(progress.episode_id) != outcome.episode_id {
                    return Ok(false); // a late score of the episode before
                }
                self.newest_id = self.newest_id.max(progress.episode_id);
                outcome.episode_id = Some(progress.episode_id);
                self.screen.progress(&progress);
                self.summary.latencies.push(Duration::new(
                    progress.latency.sec.unsigned_abs().into(),
                    progress.latency.nanosec,
                ));
                outcome.curve.push(progress.progress);
                return Ok(true);
            }
            Happening::Success(success) if Some(success.episode_id) == outcome.episode_id => {
                self.screen.success(&success);
                outcome.detections += 1;
            }
            Happening::Ended(ended) if Some(ended.episode_id) == outcome.episode_id => {
                outcome.voc = ended.voc.is_finite().then_some(ended.voc);
                outcome.ended = Some(ended.end_reason);
            }
            Happening::Success(_) | Happening::Ended(_) => {}
            Happening::Reset(request) => {
                outcome.resets += 1;
                self.reset = Some(request);
            }
            Happening::Diagnostics(report) => self.summary.note_report(&report),
        }
        Ok(false)
    }

    /// Waits for the summary that ends the episode, and for the success that explains a reset.
    async fn hear_out(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let deadline = Instant::now() + SUMMARY_PATIENCE;
        while outcome.ended.is_none() || outcome.detections < outcome.resets {
            let Ok(happening) = timeout_at(deadline, self.happenings.recv()).await else {
                bail!("the node did not say what became of the episode");
            };
            self.take(happening, outcome)?;
        }
        Ok(())
    }

    /// The frames that the node still has in hand are accounted for in its next report.
    async fn last_report(&mut self, bags: &[Bag]) -> anyhow::Result<()> {
        let deadline = Instant::now() + REPORT_PATIENCE;
        let mut nothing = Outcome::new(&bags[0]);
        while let Ok(happening) = timeout_at(deadline, self.happenings.recv()).await {
            self.take(happening, &mut nothing)?;
        }
        Ok(())
    }
}
