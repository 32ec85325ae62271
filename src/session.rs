//! One camera's session: episodes begin, are scored, succeed, reset and begin again.
//!
//! A state machine without clock, channel, thread or ROS: whoever drives it tells what happened and then carries out
//! the [`Effect`]s. It is the one owner of the episode, its progress, the success detector and the frame account.

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::engine::{EngineEvent, PrefixScore};
use crate::episode::{
    Applied, DropReason, EndReason, EpisodeBuffer, EpisodeEvent, Frame, FrameAccount, PrefixRequest,
};
use crate::reward::{ProgressTracker, SuccessDetector, SuccessReading, Verdict};

mod latency;
mod report;

pub use latency::Latencies;
pub use report::{EpisodeReport, ProgressReport, SuccessReport};

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Hand to the engine; when it refuses, tell [`Session::queue_full`].
    Submit(PrefixRequest),
    EpisodeStarted(u64),
    Progress(ProgressReport),
    Success(SuccessReport),
    EpisodeEnded(EpisodeReport),
    /// Call the robot's reset once and tell [`Session::reset_answered`].
    CallReset(ResetTicket),
    /// Wait for `reset.settle_s` and tell [`Session::settled`].
    Settle(ResetTicket),
}

/// Names the episode that a reset belongs to, so that an answer nobody waits for any more is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetTicket(u64);

/// Where the session stands between episodes and in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The model is being loaded.
    Loading,
    /// Nothing runs until there is an instruction.
    NoInstruction,
    /// Nothing runs until someone asks for it.
    Idle,
    Running,
    /// The episode has ended and the robot's reset has been asked for.
    Resetting,
    /// The reset was answered; the scene comes to rest.
    Settling,
    /// The reset did not happen, for this reason. Nothing runs until someone asks for it.
    ResetFailed(String),
}

impl Phase {
    /// The name used on /diagnostics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Loading => "loading the model",
            Self::NoInstruction => "waiting for an instruction",
            Self::Idle => "idle",
            Self::Running => "episode running",
            Self::Resetting => "waiting for the reset",
            Self::Settling => "settling after the reset",
            Self::ResetFailed(_) => "reset failed",
        }
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the model is still being loaded")]
    Loading,
    #[error("there is no instruction: set the parameter \"instruction\" or call ~/set_instruction")]
    NoInstruction,
    #[error("the instruction is empty: say what the robot is to do")]
    EmptyInstruction,
    #[error("episode {0} is running: end it with ~/end_episode or begin anew with ~/reset_episode")]
    Running(u64),
    #[error("no episode is running")]
    NotRunning,
}

pub struct Session {
    buffer: EpisodeBuffer,
    tracker: ProgressTracker,
    detector: SuccessDetector,
    threshold_nats: f64,
    auto_start: bool,
    resets: bool,
    resets_on_timeout: bool,
    phase: Phase,
    running: Option<EpisodeReport>,
    account: FrameAccount,
    latencies: Latencies,
    verdict: Verdict,
    last_error: Option<String>,
    effects: Vec<Effect>,
}

impl Session {
    /// Begins in [`Phase::Loading`]; the engine's `Ready` moves it on.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let instruction = Arc::from(config.instruction.trim());
        Ok(Self {
            buffer: EpisodeBuffer::new(config.sampler()?, config.episode_limits(), instruction),
            tracker: ProgressTracker::new(config.progress_settings()),
            detector: SuccessDetector::new(config.success_settings()),
            threshold_nats: config.success.threshold_nats,
            auto_start: config.episode.auto_start,
            resets: !config.reset.service.is_empty(),
            resets_on_timeout: config.reset.on_timeout,
            phase: Phase::Loading,
            running: None,
            account: FrameAccount::default(),
            latencies: Latencies::default(),
            verdict: Verdict::Gathering,
            last_error: None,
            effects: Vec::new(),
        })
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The running episode so far.
    pub fn running(&self) -> Option<&EpisodeReport> {
        self.running.as_ref()
    }

    pub fn instruction(&self) -> &Arc<str> {
        self.buffer.instruction()
    }

    pub fn account(&self) -> &FrameAccount {
        &self.account
    }

    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// What the success detector said last in the running or the last episode.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The running or last episode's last failure to score.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// What is to be done now.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A frame from the camera.
    pub fn frame(&mut self, frame: Frame) {
        self.account.offered += 1;
        self.take(frame);
    }

    fn take(&mut self, frame: Frame) {
        match self.buffer.apply(EpisodeEvent::Frame(frame)) {
            Applied::Request(request) => {
                if let Some(running) = &mut self.running {
                    running.frames = request.frames;
                }
                self.effects.push(Effect::Submit(request));
            }
            Applied::Skipped => self.account.skipped += 1,
            Applied::Dropped(reason) => self.account.drop_frames(reason, 1),
            Applied::TooLong => {
                self.account.drop_frames(DropReason::EpisodeEnded, 1);
                self.end(EndReason::MaxDuration);
                if self.resets && self.resets_on_timeout {
                    self.reset();
                } else {
                    self.begin_if_wanted();
                }
            }
            Applied::TimeJump(frame) => {
                self.end(EndReason::TimeJump);
                self.start();
                self.take(frame);
            }
            Applied::Done => {}
        }
    }

    /// Frames from the camera that never became one, for a reason.
    pub fn frames_lost(&mut self, reason: DropReason, frames: u64) {
        self.account.offered += frames;
        self.account.drop_frames(reason, frames);
    }

    /// The engine did not take a request.
    pub fn queue_full(&mut self, request: &PrefixRequest) {
        self.account.drop_frames(DropReason::QueueFull, u64::from(request.new_frame.is_some()));
    }

    /// What the engine reports. Its end (`LoadFailed`, `Stopped`, `Died`) is the driver's matter.
    pub fn engine(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Ready(_) => self.ready(),
            EngineEvent::Scored { score, new_frames } => {
                self.account.scored += new_frames.min(1);
                self.account.coalesced += new_frames.saturating_sub(1);
                self.scored(score);
            }
            EngineEvent::Failed { frames, error, .. } => {
                self.account.drop_frames(DropReason::InferenceFailed, frames);
                self.last_error = Some(error.to_string());
            }
            EngineEvent::Discarded { frames, reason } => self.account.drop_frames(reason, frames),
            EngineEvent::LoadFailed(_) | EngineEvent::Stopped | EngineEvent::Died(_) => {}
        }
    }

    /// Someone asks for an episode.
    pub fn start_episode(&mut self) -> Result<u64, Refusal> {
        if let Some(running) = &self.running {
            return Err(Refusal::Running(running.episode_id));
        }
        self.may_start()?;
        Ok(self.start())
    }

    /// Someone asks for the running episode's end.
    pub fn end_episode(&mut self) -> Result<u64, Refusal> {
        let episode_id = self.running.as_ref().ok_or(Refusal::NotRunning)?.episode_id;
        self.end(EndReason::Requested);
        self.phase = Phase::Idle;
        Ok(episode_id)
    }

    /// Someone asks to begin anew, whatever runs now.
    pub fn reset_episode(&mut self) -> Result<u64, Refusal> {
        self.may_start()?;
        if self.running.is_some() {
            self.end(EndReason::Requested);
        }
        Ok(self.start())
    }

    /// Someone sets the instruction.
    pub fn set_instruction(&mut self, instruction: &str) -> Result<(), Refusal> {
        let instruction = instruction.trim();
        if instruction.is_empty() {
            return Err(Refusal::EmptyInstruction);
        }
        if **self.buffer.instruction() == *instruction {
            return Ok(());
        }
        // Rewards of two instructions cannot be compared.
        self.forget_rewards();
        if let Some(running) = &mut self.running {
            running.ask(instruction.into());
        }
        if let Applied::Request(request) = self.buffer.apply(EpisodeEvent::Instruction(instruction.into())) {
            self.effects.push(Effect::Submit(request));
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
        self.buffer.set_limits(config.episode_limits());
        self.tracker.configure(config.progress_settings());
        if self.detector.settings() != config.success_settings() {
            self.detector = SuccessDetector::new(config.success_settings());
            self.threshold_nats = config.success.threshold_nats;
            self.verdict = Verdict::Gathering;
        }
    }

    /// The robot's reset was answered, or was not.
    pub fn reset_answered(&mut self, ticket: ResetTicket, answer: Result<(), String>) {
        if self.phase != Phase::Resetting || ticket != self.ticket() {
            return;
        }
        match answer {
            Ok(()) => {
                self.phase = Phase::Settling;
                self.effects.push(Effect::Settle(ticket));
            }
            Err(reason) => self.phase = Phase::ResetFailed(reason),
        }
    }

    /// The scene has come to rest after a reset.
    pub fn settled(&mut self, ticket: ResetTicket) {
        if self.phase == Phase::Settling && ticket == self.ticket() {
            self.begin_if_wanted();
        }
    }

    /// The program ends: the running episode ends, and what is still on its way is counted as lost.
    pub fn shut_down(&mut self) {
        if self.running.is_some() {
            self.end(EndReason::Shutdown);
        }
        let pending = self.account.pending().unwrap_or_default();
        self.account.drop_frames(DropReason::Shutdown, pending);
    }

    fn ready(&mut self) {
        if self.phase == Phase::Loading {
            self.begin_if_wanted();
        }
    }

    fn begin_if_wanted(&mut self) {
        if self.buffer.instruction().is_empty() {
            self.phase = Phase::NoInstruction;
        } else if self.auto_start {
            self.start();
        } else {
            self.phase = Phase::Idle;
        }
    }

    fn may_start(&self) -> Result<(), Refusal> {
        if self.phase == Phase::Loading {
            return Err(Refusal::Loading);
        }
        if self.buffer.instruction().is_empty() { Err(Refusal::NoInstruction) } else { Ok(()) }
    }

    fn start(&mut self) -> u64 {
        self.buffer.apply(EpisodeEvent::Start);
        self.forget_rewards();
        self.last_error = None;
        let episode_id = self.buffer.episode_id().unwrap_or_default();
        self.running = Some(EpisodeReport::new(episode_id, self.buffer.instruction().clone()));
        self.phase = Phase::Running;
        self.effects.push(Effect::EpisodeStarted(episode_id));
        episode_id
    }

    fn end(&mut self, reason: EndReason) {
        self.buffer.apply(EpisodeEvent::End);
        if let Some(mut report) = self.running.take() {
            report.end_reason = Some(reason);
            self.effects.push(Effect::EpisodeEnded(report));
        }
    }

    fn forget_rewards(&mut self) {
        self.tracker.reset();
        self.detector.reset();
        self.verdict = Verdict::Gathering;
    }

    /// The episode in question is the last one.
    fn ticket(&self) -> ResetTicket {
        ResetTicket(self.buffer.episodes_started())
    }

    fn scored(&mut self, score: PrefixScore) {
        self.latencies.push(score.latency);
        // What was asked before the episode's end or the instruction's change answers nobody's question any more.
        let Some(running) = &mut self.running else { return };
        if score.episode_id != running.episode_id || score.instruction != running.instruction {
            return;
        }
        let log_prob_true = score.log_probs.log_prob_true;
        let progress = self.tracker.push(log_prob_true);
        running.add(&score, progress);
        let (time_s, frames) = (score.time_s, score.frames);
        self.verdict = self.detector.push(SuccessReading { log_prob_true, time_s, frames });
        let success = match self.verdict {
            Verdict::Success { mean_nats } => {
                Some(SuccessReport { score: score.clone(), mean_nats, threshold_nats: self.threshold_nats })
            }
            _ => None,
        };
        self.effects.push(Effect::Progress(ProgressReport { score, progress }));
        if let Some(success) = success {
            self.effects.push(Effect::Success(success));
            self.succeeded();
        }
    }

    fn succeeded(&mut self) {
        self.end(EndReason::Success);
        if self.resets {
            self.reset();
        } else {
            self.phase = Phase::Idle;
        }
    }

    fn reset(&mut self) {
        self.phase = Phase::Resetting;
        self.effects.push(Effect::CallReset(self.ticket()));
    }
}

#[cfg(test)]
mod tests;
