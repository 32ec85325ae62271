//! The one task that owns the session: everything that happens reaches it as an [`Input`], and it carries out what the
//! session answers.

use std::sync::{Arc, Mutex};

use r2r::Node;
use r2r::rcl_interfaces::msg::ParameterEvent;

use super::background::Background;
use super::camera::OpenCamera;
use super::clock::NodeClock;
use super::diagnostics::{CameraHealth, Diagnostics, ModelState};
use super::error::NodeError;
use super::inbox::Input;
use super::overlay::OverlayOutput;
use super::params::Parameters;
use super::publish::Outputs;
use super::rcl::graph::{self, Listening};
use super::rcl::lifecycle::State;
use super::rcl::lifecycle_services;
use super::rcl::parameter_services::{self, lock, parameter_msgs};
use super::services::{answer, explain};
use super::{services, signals};
use crate::config::Config;
use crate::episode::{CameraFrame, DecodedFrame, DropReason, Recorder, Signal};
use crate::live::engine::EngineEvent;
use crate::live::session::{Effect, EpisodeReport, Phase, ResetFailed, Session};
use crate::model::Calibration;

mod decoding;
mod model;
mod resets;
mod transitions;

use decoding::Arrivals;
use model::{Model, NotTaken};
use resets::Resets;
use transitions::Transitions;

pub struct Driver {
    /// As the node was started.
    config: Config,
    session: Session,
    clock: NodeClock,
    transitions: Transitions,
    model: Model,
    /// The cameras that are subscribed to; none while the node is not active.
    cameras: Vec<OpenCamera>,
    /// By camera.
    arrivals: Vec<Arrivals>,
    resets: Resets,
    recorder: Recorder,
    parameters: parameter_services::Shared<Parameters>,
    outputs: Outputs,
    overlay: OverlayOutput,
    diagnostics: Diagnostics,
    background: Background,
}

impl Driver {
    /// Makes what the driver owns, publishers included; nothing runs yet.
    pub fn new(
        node: &mut Node,
        config: &Config,
        use_sim_time: bool,
        cameras: Vec<CameraHealth>,
        background: Background,
    ) -> Result<Self, NodeError> {
        Ok(Self {
            config: config.clone(),
            session: Session::new(config)?,
            clock: match use_sim_time {
                true => NodeClock::simulated(node.get_ros_clock(), config.sampling.max_step_s),
                false => NodeClock::steady(),
            },
            transitions: Transitions::default(),
            model: Model::default(),
            cameras: Vec::new(),
            arrivals: config.cameras.iter().map(|_| Arrivals::default()).collect(),
            resets: Resets::new(node, &config.reset)?,
            recorder: Recorder::default(),
            parameters: Arc::new(Mutex::new(Parameters::new(config, use_sim_time))),
            outputs: Outputs::new(node, &config.cameras)?,
            overlay: OverlayOutput::new(node, config.cameras.len())?,
            diagnostics: Diagnostics::new(node.fully_qualified_name()?, node.get_ros_clock(), cameras),
            background,
        })
    }

    /// Offers all services and subscribes to the topics that are always listened to.
    pub fn offer(&mut self, node: &mut Node) -> Result<(), NodeError> {
        let background = &mut self.background;
        let inputs = background.inputs();
        let changed = move |config, names| inputs.send(Input::Configured(Box::new(config), names));
        let offered = parameter_services::offer(node, self.parameters.clone(), changed)?;
        background.spawn_for_good("the parameter services", offered);
        let inputs = background.inputs();
        let asked = move |request| inputs.send(Input::ChangeState(request));
        let offered = lifecycle_services::offer(node, self.transitions.lifecycle(), asked)?;
        background.spawn_for_good("the lifecycle services", offered);
        background.spawn_for_good("the services", services::offer(node, background.inputs())?);
        let instructions = signals::instructions(node, background.inputs())?;
        background.spawn_for_good("the instruction topic", instructions);
        let topic = &self.config.episode.signal_topic;
        if !topic.is_empty() {
            let episodes = signals::episodes(node, topic, background.inputs())?;
            background.spawn_for_good("the episode signals", episodes);
        }
        Ok(())
    }

    /// What runs beside the driver.
    pub fn background(&mut self) -> &mut Background {
        &mut self.background
    }

    /// Deals with one input; an error ends the node.
    pub fn handle(&mut self, input: Input) -> Result<(), NodeError> {
        let instruction = self.session.instruction().clone();
        let (of_frames, episode) =
            (matches!(input, Input::Frame(..) | Input::Decoded(..)), self.episode_id());
        match input {
            Input::Frame(camera, frame, ticket) => self.frame(camera, frame, ticket),
            Input::Decoded(camera, frame) => self.decoded(camera, frame),
            Input::Undecodable(camera, error) => {
                self.session.frames_lost(camera, DropReason::Undecodable, 1);
                self.diagnostics.undecodable(camera, error);
            }
            Input::FramesLost(camera, reason, frames) => self.session.frames_lost(camera, reason, frames),
            Input::Engine(event) => self.engine_event(event)?,
            Input::Loading(how_far) => self.diagnostics.model = ModelState::Loading(how_far),
            Input::ChangeState(request) => self.change_state(request)?,
            Input::Subscribed(subscriptions) => self.subscribed(subscriptions)?,
            Input::Graph(seen) => self.diagnostics.graph(seen),
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
                self.session.reset_answered(ticket, outcome.map_err(|error| ResetFailed(error.to_string())));
            }
            Input::Settled(ticket) => self.session.settled(ticket),
        }
        if !of_frames && self.episode_id() != episode {
            self.drop_arrivals();
        }
        self.carry_out();
        if *self.session.instruction() != instruction {
            self.instruction_changed();
        }
        Ok(())
    }

    /// Tells the session how late it is.
    pub fn pass_time(&mut self) {
        self.session.pass_time(self.clock.elapsed_ns());
        self.carry_out();
    }

    pub fn publish_diagnostics(&mut self) {
        if self.state() == State::Active && self.clock.is_silent() {
            self.diagnostics.warn_once("use_sim_time is set and nothing comes on /clock: no duration passes");
        }
        let report = self.diagnostics.report(&self.session, self.state(), self.model.queued());
        self.outputs.diagnostics(&report);
        self.publish_overlay();
    }

    fn publish_overlay(&mut self) {
        if let Err(error) = self.overlay.publish(&self.session) {
            log::error!("cannot publish the overlay: {error}");
        }
    }

    /// Asks the graph who publishes what the node listens to.
    pub fn look_at_graph(&self, listening: Vec<Listening>) {
        self.background.on_node(move |node| Input::Graph(graph::look(node, &listening)));
    }

    /// The process is about to end: no frame comes in any more, and the model's thread stops as soon as it can.
    pub fn leave(&mut self) {
        self.close_cameras();
        self.model.leave();
    }

    /// Whether the model's thread still runs.
    pub fn has_model_thread(&self) -> bool {
        self.model.has_thread()
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

    fn warn_without_instruction(&self) {
        if *self.session.phase() == Phase::NoInstruction {
            log::warn!(
                "there is no instruction: nothing is scored until the parameter \"instruction\" or ~/set_instruction sets one"
            );
        }
    }

    fn signal(&mut self, signal: Signal) {
        let done = match (self.recorder.follow(signal), self.session.running()) {
            (true, None) => self.session.start_episode(),
            (false, Some(_)) => self.session.end_episode(),
            // The episode runs or has ended already.
            (true, Some(_)) | (false, None) => return,
        };
        if let Err(refusal) = done {
            log::error!("the episode signal is refused: {}", explain(&refusal));
        }
    }

    fn engine_event(&mut self, event: EngineEvent) -> Result<(), NodeError> {
        match event {
            EngineEvent::LoadFailed(error) => {
                self.model.ended();
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
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Submit(request) => match self.model.submit(request.clone()) {
                Ok(()) => {}
                Err(NotTaken::NoModel) => self.session.not_scored(&request, DropReason::Deactivated),
                Err(NotTaken::QueueFull) => self.session.queue_full(&request),
            },
            Effect::EpisodeStarted(id) => {
                log::info!("episode {id} begins: \"{}\"", self.session.instruction());
                // Whoever began it by hand does not want the robot to be reset in the middle of it.
                self.resets.abort();
                self.outputs.episode_started();
            }
            Effect::Notice(camera, notice) => {
                let health = &self.diagnostics.cameras[camera];
                log::warn!("camera {} ({}): {notice}", health.source.name, health.topic);
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
            Effect::EpisodeEnded(report, instruction) => {
                log_end(&report);
                self.outputs.episode_ended(&report, &instruction);
            }
            Effect::CallReset(ticket) => self.resets.call(ticket, &mut self.background),
            Effect::Settle(ticket) => self.resets.settle(ticket, self.clock.clone(), &mut self.background),
        }
    }

    /// The parameter of the instruction follows the session's, by whatever way that was set.
    fn instruction_changed(&mut self) {
        self.overlay.redraw();
        lock(&self.parameters).set_instruction(self.session.instruction());
        self.publish_changed(&["instruction"]);
    }

    fn configured(&mut self, mut config: Config, names: &[String]) {
        config.progress.typical = self.model.calibration().map(Calibration::typical);
        if let (Some(calibration), ModelState::Ready(info)) =
            (self.model.calibration(), &self.diagnostics.model)
            && let Err(mismatch) = calibration.check(&config.in_use(info, None))
        {
            log::warn!("{mismatch}: its threshold does not hold for this");
        }
        self.session.configure(&config);
        self.resets.configure(&config.reset);
        if names.iter().any(|name| name == "instruction")
            && let Err(refusal) = self.session.set_instruction(&config.instruction)
        {
            // The model was loaded in between, and it takes less than the rule by which the parameter was set.
            log::error!("instruction: {refusal}; it stays \"{}\"", self.session.instruction());
            lock(&self.parameters).set_instruction(self.session.instruction());
        }
        let others: Vec<&str> =
            names.iter().map(String::as_str).filter(|&name| name != "instruction").collect();
        if !others.is_empty() {
            self.publish_changed(&others);
        }
    }

    fn publish_changed(&self, names: &[&str]) {
        let changed_parameters = parameter_msgs(&*lock(&self.parameters), names.iter().copied());
        self.publish_parameters(ParameterEvent { changed_parameters, ..Default::default() });
    }

    /// Publishes on /parameter_events which parameters there are.
    pub fn publish_declared(&self) {
        let parameters = lock(&self.parameters);
        let names = parameters.names();
        let new_parameters = parameter_msgs(&*parameters, names.iter().map(String::as_str));
        drop(parameters);
        self.publish_parameters(ParameterEvent { new_parameters, ..Default::default() });
    }

    fn publish_parameters(&self, event: ParameterEvent) {
        let (stamp, node) = (self.diagnostics.now(), self.diagnostics.name.clone());
        self.outputs.parameters(&ParameterEvent { stamp, node, ..event });
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
