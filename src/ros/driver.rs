//! The one task that owns the session: it is told what happened, and carries out what is to be done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use r2r::rcl_interfaces::msg::ParameterEvent;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinSet};

use super::camera::{OpenCamera, Subscription, Ticket};
use super::diagnostics::{Diagnostics, ModelState};
use super::error::NodeError;
use super::overlay::OverlayOutput;
use super::publish::Outputs;
use super::rcl::executor::Executor;
use super::rcl::graph::Seen;
use super::rcl::lifecycle_services::{self, ChangeRequest};
use super::rcl::parameter_services::{self, lock, parameter_msgs};
use super::reset::{ResetError, RobotReset};
use super::services::{Call, answer};
use super::transitions::Asked;
use crate::config::Config;
use crate::episode::image::ImageError;
use crate::episode::{CameraFrame, DropReason, Recorder, Signal};
use crate::live::engine::{Engine, EngineEvent};
use crate::live::session::{Effect, EpisodeReport, Phase, ResetTicket, Session};
use crate::model::Calibration;

/// What can happen.
pub enum Input {
    /// A camera, by its number, has sent a frame.
    Frame(usize, CameraFrame, Ticket),
    Undecodable(usize, ImageError),
    FramesLost(usize, DropReason, u64),
    Engine(EngineEvent),
    /// How far the loading of the model has come, in words.
    Loading(String),
    /// Someone asks for a transition.
    ChangeState(ChangeRequest),
    /// The cameras are subscribed to, or not.
    Subscribed(r2r::Result<Vec<Subscription>>),
    /// What the graph says of the topics that the node listens to.
    Graph(Vec<Seen>),
    Call(Call),
    /// These parameters were set.
    Configured(Box<Config>, Vec<String>),
    /// Something came on ~/instruction.
    InstructionTopic(String),
    /// A recorder's word.
    Signal(Signal),
    ResetAnswered(ResetTicket, Result<(), ResetError>),
    Settled(ResetTicket),
}

/// Tells the driver. Cheap to clone, never waits.
#[derive(Clone)]
pub struct Inputs(pub UnboundedSender<Input>);

impl Inputs {
    pub fn send(&self, input: Input) {
        // Nobody listens any more when the node is ending.
        let _ = self.0.send(input);
    }
}

/// A task of the node; one that ends on its own, as it should not, says what it was.
pub type Tasks = JoinSet<Option<&'static str>>;

pub struct Driver {
    /// As the node was started.
    pub config: Config,
    pub session: Session,
    pub lifecycle: lifecycle_services::Shared,
    /// Who asked for the transition under way.
    pub asked: Asked,
    /// Why the transition under way is going to fail.
    pub refusal: Option<String>,
    /// `None` while no model is loaded.
    pub engine: Option<Engine>,
    /// The cameras that are listened to; none while the node is not active.
    pub cameras: Vec<OpenCamera>,
    pub executor: Executor,
    pub outputs: Outputs,
    pub overlay: OverlayOutput,
    pub diagnostics: Diagnostics,
    pub reset: Option<Arc<RobotReset>>,
    /// The reset that is under way.
    pub resetting: Option<AbortHandle>,
    pub settle: Duration,
    pub parameters: parameter_services::Shared,
    /// The instruction as last published on /parameter_events.
    pub instruction: Arc<str>,
    pub inputs: Inputs,
    pub tasks: Tasks,
    pub recorder: Recorder,
    /// The calibration in use.
    pub calibration: Option<Calibration>,
    /// The process is about to end.
    pub leaving: Arc<AtomicBool>,
    /// What was warned about the graph; each thing is said once.
    pub warned: BTreeSet<String>,
}

impl Driver {
    /// Deals with one input; an error ends the node.
    pub fn handle(&mut self, input: Input) -> Result<(), NodeError> {
        match input {
            Input::Frame(camera, frame, ticket) => {
                drop(ticket);
                self.frame(camera, frame);
            }
            Input::Undecodable(camera, error) => {
                self.session.frames_lost(camera, DropReason::Undecodable, 1);
                self.undecodable(camera, error);
            }
            Input::FramesLost(camera, reason, frames) => self.session.frames_lost(camera, reason, frames),
            Input::Engine(event) => self.engine_event(event)?,
            Input::Loading(how_far) => self.diagnostics.model = ModelState::Loading(how_far),
            Input::ChangeState(request) => self.change_state(request)?,
            Input::Subscribed(subscriptions) => self.subscribed(subscriptions)?,
            Input::Graph(seen) => self.graph(seen),
            Input::Call(call) => answer(&mut self.session, call),
            Input::Configured(config, names) => self.configured(*config, &names),
            Input::InstructionTopic(text) => {
                if let Err(refusal) = self.session.set_instruction(&text) {
                    log::error!("~/instruction: {refusal}; it stays \"{}\"", self.session.instruction());
                }
            }
            Input::Signal(signal) => self.signal(signal),
            Input::ResetAnswered(ticket, outcome) => {
                match &outcome {
                    Ok(()) => log::info!("the robot was reset"),
                    Err(error) => log::error!("the robot was not reset: {error}"),
                }
                self.session.reset_answered(ticket, outcome.map_err(|error| error.to_string()));
            }
            Input::Settled(ticket) => self.session.settled(ticket),
        }
        self.carry_out();
        Ok(())
    }

    pub fn publish_diagnostics(&mut self) {
        let queued = self.engine.as_ref().map_or(0, Engine::queued);
        let report = self.diagnostics.report(&self.session, self.state(), queued);
        self.outputs.diagnostics(&report);
        self.publish_overlay();
    }

    fn publish_overlay(&mut self) {
        if let Err(error) = self.overlay.publish(&self.session) {
            log::error!("cannot publish the overlay: {error}");
        }
    }

    /// Ends the running episode and closes the frame account.
    pub fn shut_down(&mut self) {
        self.session.shut_down();
        self.carry_out();
        self.publish_diagnostics();
        log::info!("frames: {}", self.session.account());
        for camera in self.session.cameras().iter().filter(|_| self.session.cameras().len() > 1) {
            log::info!("camera {}: {}", camera.name, camera.account());
        }
    }

    fn frame(&mut self, camera: usize, frame: CameraFrame) {
        let health = &mut self.diagnostics.cameras[camera];
        health.last_image = Some((Instant::now(), Some(frame.stamp_ns)));
        if self.session.running().is_none() {
            health.error = None; // it was checked when it came, and nobody decodes it
        }
        let before = self.session.cameras()[camera].samples();
        if let Err(error) = self.session.frame(camera, frame) {
            self.undecodable(camera, error);
        } else if self.session.cameras()[camera].samples() > before {
            // Only an image that was decoded shows that they are well again.
            self.diagnostics.cameras[camera].error = None;
        }
    }

    fn graph(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            for obstacle in &seen.obstacles {
                if self.warned.insert(obstacle.clone()) {
                    log::warn!("{obstacle}");
                }
            }
            if let Some(health) =
                self.diagnostics.cameras.iter_mut().find(|camera| camera.topic == seen.topic)
            {
                health.publishers = seen.publishers;
                health.obstacles = seen.obstacles;
            }
        }
    }

    pub fn warn_without_instruction(&self) {
        if *self.session.phase() == Phase::NoInstruction {
            log::warn!(
                "there is no instruction: nothing is scored until the parameter \"instruction\" or ~/set_instruction sets one"
            );
        }
    }

    fn signal(&mut self, signal: Signal) {
        let done = match (self.recorder.hear(signal), self.session.running()) {
            (true, None) => self.session.start_episode(),
            (false, Some(_)) => self.session.end_episode(),
            // The episode runs or has ended already.
            (true, Some(_)) | (false, None) => return,
        };
        if let Err(refusal) = done {
            log::error!("the episode signal is refused: {refusal}");
        }
    }

    fn undecodable(&mut self, camera: usize, error: ImageError) {
        let health = &mut self.diagnostics.cameras[camera];
        health.last_image = Some((Instant::now(), None));
        // A broken camera is reported once and not 30 times a second.
        if health.error.as_ref() != Some(&error) {
            log::error!(
                "{}: an image cannot be used, and is counted as undecodable like all that follow: {error}",
                health.topic
            );
            health.error = Some(error);
        }
    }

    fn engine_event(&mut self, event: EngineEvent) -> Result<(), NodeError> {
        match event {
            EngineEvent::LoadFailed(error) => {
                self.engine = None; // its thread has ended
                return self.not_configured(NodeError::Model(error));
            }
            EngineEvent::Died(message) => {
                return Err(NodeError::Internal(format!("the engine's thread panicked: {message}")));
            }
            EngineEvent::Stopped => return self.engine_gone(),
            EngineEvent::Ready(info, check) => return self.model_ready(info, check),
            EngineEvent::Failed { ref error, .. } => {
                let text = error.to_string();
                if self.session.last_error() != Some(&text) {
                    log::error!("a prefix cannot be scored: {text}");
                }
            }
            EngineEvent::Scored { ref score, .. } => self.overlay.scored(score),
            EngineEvent::Appended { .. } | EngineEvent::Discarded { .. } => {}
        }
        self.session.engine(event);
        Ok(())
    }

    fn carry_out(&mut self) {
        loop {
            let effects = self.session.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.overlay.note(&effect);
                self.carry_out_one(effect);
            }
            self.publish_overlay();
        }
        self.note_instruction();
    }

    /// The instruction is a parameter too, by whatever way it was set.
    fn note_instruction(&mut self) {
        let instruction = self.session.instruction();
        if *instruction == self.instruction {
            return;
        }
        self.instruction = instruction.clone();
        self.overlay.redraw();
        lock(&self.parameters).set_instruction(instruction);
        self.publish_changed(&["instruction"]);
    }

    fn configured(&mut self, mut config: Config, names: &[String]) {
        config.progress.typical = self.calibration.as_ref().map(Calibration::typical);
        if let (Some(calibration), ModelState::Ready(info)) = (&self.calibration, &self.diagnostics.model)
            && let Err(mismatch) = calibration.check(&config.in_use(info, None))
        {
            log::warn!("{mismatch}: its threshold does not hold for this");
        }
        self.session.configure(&config);
        self.settle = Duration::from_secs_f64(config.reset.settle_s);
        if names.iter().any(|name| name == "instruction")
            && let Err(refusal) = self.session.set_instruction(&config.instruction)
        {
            log::error!("instruction: {refusal}");
        }
        let others: Vec<&str> =
            names.iter().map(String::as_str).filter(|&name| name != "instruction").collect();
        if !others.is_empty() {
            self.publish_changed(&others);
        }
    }

    pub fn publish_changed(&self, names: &[&str]) {
        let changed_parameters = parameter_msgs(&lock(&self.parameters), names.iter().copied());
        self.publish_parameters(ParameterEvent { changed_parameters, ..Default::default() });
    }

    /// Says on /parameter_events which parameters there are.
    pub fn publish_declared(&self) {
        let parameters = lock(&self.parameters);
        let new_parameters = parameter_msgs(&parameters, parameters.names());
        drop(parameters);
        self.publish_parameters(ParameterEvent { new_parameters, ..Default::default() });
    }

    fn publish_parameters(&self, event: ParameterEvent) {
        let (stamp, node) = (self.diagnostics.now(), self.diagnostics.name.clone());
        self.outputs.parameters(&ParameterEvent { stamp, node, ..event });
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Submit(request) => {
                let Some(engine) = &self.engine else {
                    return self.session.not_scored(&request, DropReason::Deactivated);
                };
                if engine.submit(request.clone()).is_err() {
                    self.session.queue_full(&request);
                }
            }
            Effect::EpisodeStarted(id) => {
                log::info!("episode {id} begins: \"{}\"", self.session.instruction());
                // Whoever began it by hand does not want the robot to be reset in the middle of it.
                if let Some(reset) = self.resetting.take() {
                    reset.abort();
                }
                self.outputs.episode_started();
            }
            Effect::CameraProgress(report) => self.outputs.camera_progress(&report),
            Effect::Progress(report) => self.outputs.progress(&report),
            Effect::Success(report) => {
                log::info!(
                    "episode {} has succeeded after {:.1} s: mean log p(\" True\") {:.3} nats reaches {:.3}",
                    report.score.episode_id,
                    report.score.reading.time_s,
                    report.mean_nats,
                    report.threshold_nats
                );
                self.outputs.success(&report);
            }
            Effect::EpisodeEnded(report) => {
                log_end(&report);
                self.outputs.episode_ended(&report);
            }
            Effect::CallReset(ticket) => self.call_reset(ticket),
            Effect::Settle(ticket) => {
                let (settle, inputs) = (self.settle, self.inputs.clone());
                self.tasks.spawn(async move {
                    tokio::time::sleep(settle).await;
                    inputs.send(Input::Settled(ticket));
                    None
                });
            }
        }
    }

    fn call_reset(&mut self, ticket: ResetTicket) {
        let Some(reset) = self.reset.clone() else { return };
        let inputs = self.inputs.clone();
        self.resetting = Some(self.tasks.spawn(async move {
            inputs.send(Input::ResetAnswered(ticket, reset.call().await));
            None
        }));
    }
}

fn log_end(report: &EpisodeReport) {
    let reason = report.end_reason.map_or("", |reason| reason.as_str());
    let progress = report.newest.as_ref().map_or(0.0, |newest| newest.progress);
    log::info!(
        "episode {} has ended ({reason}): {} frames, {} scores, progress {progress:.2}",
        report.episode_id,
        report.frames,
        report.scores.len()
    );
}
