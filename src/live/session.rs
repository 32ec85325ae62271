//! The session: episodes begin, are scored, succeed, reset and begin again.
//!
//! A state machine without clock, channel, thread or ROS: whoever drives it passes in what happened and then carries out
//! the [`Effect`]s. It is the one owner of the instruction, the episode, its progress, the success detector and the frame
//! account. Each camera has a prefix of its own in the episode; progress and success are of all cameras' scores together.

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::episode::{DropReason, EndReason, FrameAccount};
use crate::live::engine::{EngineEvent, PrefixScore};
use crate::model::VlmError;
use crate::model::instruction::InstructionRule;
use crate::reward::{FailureDetector, Fusion, Judge, ScoredPrefix, Verdict};

mod cameras;
mod effects;
mod frames;
mod judge;
mod latency;
mod report;
mod reset;
mod time;
mod watch;

pub use cameras::Camera;
pub use effects::{Effect, Phase, Refusal, ResetFailed, ResetTicket};
pub use latency::Latencies;
pub use report::{EpisodeReport, ProgressReport, SuccessReport};
pub use watch::{Notice, Trouble};

use time::Passing;
use watch::Said;

pub struct Session {
    cameras: Vec<Camera>,
    fusion: Fusion,
    instruction: Arc<str>,
    rule: InstructionRule,
    episodes_started: u64,
    judge: Judge,
    auto_start: bool,
    resets: bool,
    resets_on_timeout: bool,
    resets_on_failure: bool,
    trusts_manual_start: bool,
    failures: FailureDetector,
    /// What time has passed, by the clock of whoever drives this.
    passing: Passing,
    /// What was said of the cameras in this episode.
    said: Said,
    phase: Phase,
    /// The running episode, else the last one.
    episode: Option<EpisodeReport>,
    latencies: Latencies,
    last_error: Option<String>,
    effects: Vec<Effect>,
}

impl Session {
    /// Begins in [`Phase::Inactive`]; [`Session::activate`] moves it on.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            cameras: Camera::all(config)?,
            fusion: config.fusion,
            instruction: config.instruction.trim().into(),
            rule: InstructionRule::default(),
            episodes_started: 0,
            judge: Judge::new(config.progress, config.success),
            auto_start: config.episode.auto_start,
            resets: !config.reset.service.is_empty(),
            resets_on_timeout: config.reset.on_timeout,
            resets_on_failure: config.reset.on_failure,
            trusts_manual_start: config.episode.trust_manual_start,
            failures: FailureDetector::new(config.failure),
            passing: Passing::new(config.episode.max_duration_s),
            said: Said::default(),
            phase: Phase::Inactive,
            episode: None,
            latencies: Latencies::default(),
            last_error: None,
            effects: Vec::new(),
        })
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The running episode so far.
    pub fn running(&self) -> Option<&EpisodeReport> {
        self.episode.as_ref().filter(|episode| episode.is_running())
    }

    /// The running episode so far, else the last one as it ended.
    pub fn newest_episode(&self) -> Option<&EpisodeReport> {
        self.episode.as_ref()
    }

    /// The present instruction, which the running episode's rewards answer; empty where none is set.
    pub fn instruction(&self) -> &Arc<str> {
        &self.instruction
    }

    pub fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// Where the frames of all cameras went.
    pub fn account(&self) -> FrameAccount {
        self.cameras.iter().fold(FrameAccount::default(), |sum, camera| sum.plus(&camera.account))
    }

    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The mean reward that counts as success, nats.
    pub fn threshold_nats(&self) -> f64 {
        self.judge.threshold_nats()
    }

    /// What the success detector said last in the running or the last episode.
    pub fn verdict(&self) -> Verdict {
        self.judge.verdict()
    }

    /// The running or last episode's last failure to score.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// What is to be done now.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What the engine reports of frames. Its beginning and end are the driver's matter.
    pub fn engine(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Scored { score, new_frames } => {
                let account = &mut self.cameras[score.camera].account;
                account.scored += new_frames.min(1);
                account.coalesced += new_frames.saturating_sub(1);
                self.scored(score);
            }
            EngineEvent::Failed { camera, episode_id, frames, error } => {
                self.cameras[camera].account.drop_frames(DropReason::InferenceFailed, frames);
                let running = self.running().is_some_and(|running| running.episode_id == episode_id);
                // It would only grow.
                if running && matches!(error, VlmError::OutOfMemory) {
                    self.end(EndReason::OutOfMemory);
                    self.go_on(self.resets_on_timeout);
                }
                // Behind the next episode's start, which forgets what went wrong before.
                self.last_error = Some(error.to_string());
            }
            EngineEvent::Appended { camera, frames } => self.cameras[camera].account.coalesced += frames,
            EngineEvent::Discarded { camera, frames, reason } => {
                self.cameras[camera].account.drop_frames(reason, frames);
            }
            EngineEvent::Ready(..)
            | EngineEvent::LoadFailed(_)
            | EngineEvent::Stopped
            | EngineEvent::Died(_) => {}
        }
    }

    /// The model is there: episodes may begin. What does not fit the model is refused from now on.
    pub fn activate(&mut self) {
        if self.phase == Phase::Inactive {
            self.begin_if_wanted();
        }
    }

    /// Ends the running episode; nothing begins until [`Session::activate`].
    pub fn deactivate(&mut self) {
        self.end(EndReason::Deactivated);
        self.phase = Phase::Inactive;
    }

    /// The rule for instructions from now on.
    pub fn set_rule(&mut self, rule: InstructionRule) {
        self.rule = rule;
    }

    /// Someone asks for an episode.
    pub fn start_episode(&mut self) -> Result<u64, Refusal> {
        if let Some(running) = self.running() {
            return Err(Refusal::Running(running.episode_id));
        }
        self.may_start()?;
        Ok(self.start_by_hand())
    }

    /// Someone asks for the running episode's end.
    pub fn end_episode(&mut self) -> Result<u64, Refusal> {
        let episode_id = self.running().ok_or(Refusal::NotRunning)?.episode_id;
        self.end(EndReason::Requested);
        self.phase = Phase::Idle;
        Ok(episode_id)
    }

    /// Someone asks to begin anew, whatever runs now.
    pub fn reset_episode(&mut self) -> Result<u64, Refusal> {
        self.may_start()?;
        if self.running().is_some() {
            self.end(EndReason::Requested);
        }
        Ok(self.start_by_hand())
    }

    /// Whoever begins an episode by hand may vouch that its task is not done yet.
    fn start_by_hand(&mut self) -> u64 {
        let episode_id = self.start();
        if self.trusts_manual_start {
            self.judge.declare_open();
        }
        episode_id
    }

    /// Someone asks for a score of the frames that are there.
    pub fn score_now(&mut self) -> Result<u64, Refusal> {
        let episode_id = self.running().ok_or(Refusal::NotRunning)?.episode_id;
        let before = self.effects.len();
        for camera in &self.cameras {
            let asked = camera.buffer.ask_again(&self.instruction);
            self.effects.extend(asked.map(Effect::Submit));
        }
        if self.effects.len() == before { Err(Refusal::NoFrames) } else { Ok(episode_id) }
    }

    /// Someone sets the instruction.
    pub fn set_instruction(&mut self, instruction: &str) -> Result<(), Refusal> {
        let instruction = self.rule.accept(instruction)?;
        if self.instruction == instruction {
            return Ok(());
        }
        self.instruction = instruction;
        // Rewards of two instructions cannot be compared.
        self.forget_rewards();
        if let Some(episode) = &mut self.episode {
            episode.forget_scores();
            if episode.is_running() {
                self.judge.instruction_changed();
            }
        }
        for camera in &self.cameras {
            let asked = camera.buffer.ask_again(&self.instruction);
            self.effects.extend(asked.map(Effect::Submit));
        }
        if self.phase == Phase::NoInstruction {
            self.begin_if_wanted();
        }
        Ok(())
    }

    /// Parameters were set. The running episode goes on; where a rule of success has changed, success is looked for anew,
    /// as at the episode's start.
    pub fn configure(&mut self, config: &Config) {
        self.auto_start = config.episode.auto_start;
        self.resets_on_timeout = config.reset.on_timeout;
        self.resets_on_failure = config.reset.on_failure;
        self.trusts_manual_start = config.episode.trust_manual_start;
        self.failures.configure(config.failure);
        self.judge.configure(config.progress, config.success);
        self.passing.set_longest_s(config.episode.max_duration_s);
        for camera in &mut self.cameras {
            camera.buffer.set_limits(config.episode_limits());
            camera.tracker.configure(config.progress);
        }
    }

    /// The program ends: the running episode ends, and what is still on its way is counted as lost.
    pub fn shut_down(&mut self) {
        if self.running().is_some() {
            self.end(EndReason::Shutdown);
        }
        for camera in &mut self.cameras {
            let pending = camera.account.pending().unwrap_or_default();
            camera.account.drop_frames(DropReason::Shutdown, pending);
        }
    }

    fn begin_if_wanted(&mut self) {
        if self.instruction.is_empty() {
            self.phase = Phase::NoInstruction;
        } else if self.auto_start {
            self.start();
        } else {
            self.phase = Phase::Idle;
        }
    }

    fn may_start(&self) -> Result<(), Refusal> {
        if self.phase == Phase::Inactive {
            return Err(Refusal::Inactive);
        }
        if self.instruction.is_empty() { Err(Refusal::NoInstruction) } else { Ok(()) }
    }

    fn start(&mut self) -> u64 {
        for camera in &mut self.cameras {
            camera.start();
        }
        self.forget_rewards();
        self.last_error = None;
        self.episodes_started += 1;
        let episode_id = self.episodes_started;
        self.episode = Some(EpisodeReport::new(episode_id));
        self.phase = Phase::Running;
        self.passing.begin();
        self.forget_said();
        self.effects.push(Effect::EpisodeStarted(episode_id));
        episode_id
    }

    fn end(&mut self, reason: EndReason) {
        for camera in &mut self.cameras {
            camera.buffer.end();
        }
        if let Some(report) = report::running(&mut self.episode) {
            report.end_reason = Some(reason);
            self.effects.push(Effect::EpisodeEnded(report.clone(), self.instruction.clone()));
        }
    }

    fn forget_rewards(&mut self) {
        for camera in &mut self.cameras {
            camera.forget_scores();
        }
        self.judge.reset();
        self.failures.reset();
    }
}

#[cfg(test)]
mod tests;
