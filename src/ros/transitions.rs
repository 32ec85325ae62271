//! What the lifecycle's transitions do: configure loads the model, activate listens to the cameras, deactivate stops
//! that and keeps the model, cleanup frees it, shutdown does both and is the end.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use r2r::Node;

use super::camera::{self, OpenCamera, Subscription};
use super::diagnostics::ModelState;
use super::driver::{Driver, Input, Inputs};
use super::error::NodeError;
use super::rcl::graph::Listening;
use super::rcl::lifecycle::{Outcome, State, Transition};
use super::rcl::lifecycle_services::{ChangeRequest, event, lock, respond};
use super::rcl::time::stamp_to_ns;
use crate::config::{CameraSource, Config, ConfigError};
use crate::episode::DropReason;
use crate::live::engine::{Engine, EngineSettings};
use crate::model::hub::{self, Progress};
use crate::model::instruction::InstructionRule;
use crate::model::qwen3_vl::Qwen3Vl;
use crate::model::{Calibration, InstructionCheck, ModelInfo, VlmError};

/// Requests that may wait for the engine: half a minute at two samples a second.
const ENGINE_QUEUE: usize = 64;

/// Why the node began a transition.
#[derive(Default)]
pub enum Asked {
    /// Nobody did, or there is none.
    #[default]
    No,
    /// `autostart`: when it fails, the node ends.
    AtStart,
    /// Someone, who waits for the answer.
    ByService(ChangeRequest),
}

impl Driver {
    pub fn state(&self) -> State {
        lock(&self.lifecycle).state()
    }

    /// Configures and activates, without being asked.
    pub fn autostart(&mut self) -> Result<(), NodeError> {
        self.begin(Asked::AtStart, "configure")
    }

    pub fn change_state(&mut self, request: ChangeRequest) -> Result<(), NodeError> {
        let wanted = request.message.transition.clone();
        let begun = lock(&self.lifecycle).begin(wanted.id, &wanted.label);
        match begun {
            Ok(transition) => self.carry_out_transition(Asked::ByService(request), &transition),
            Err(refusal) => {
                log::error!("{refusal}");
                respond(request, false);
                Ok(())
            }
        }
    }

    fn begin(&mut self, asked: Asked, label: &str) -> Result<(), NodeError> {
        let begun = lock(&self.lifecycle).begin(0, label);
        match begun {
            Ok(transition) => self.carry_out_transition(asked, &transition),
            Err(refusal) => Err(NodeError::Internal(refusal.to_string())),
        }
    }

    fn carry_out_transition(&mut self, asked: Asked, transition: &Transition) -> Result<(), NodeError> {
        self.asked = asked;
        self.refusal = None;
        self.publish_transition(transition);
        match transition.goal {
            State::Configuring => {
                let loading = format!("loading {}", self.config.model.path);
                log::info!("{loading}");
                self.diagnostics.model = ModelState::Loading(loading);
                self.engine = Some(spawn_engine(&self.config, self.inputs.clone(), self.leaving.clone())?);
            }
            State::Activating => self.open_cameras(),
            State::Deactivating => {
                self.go_quiet();
                self.finish(Outcome::Success)?;
            }
            State::CleaningUp => self.stop_engine()?,
            State::ShuttingDown => {
                self.go_quiet();
                self.stop_engine()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The transition under way has ended.
    fn finish(&mut self, outcome: Outcome) -> Result<(), NodeError> {
        let finished = lock(&self.lifecycle).finish(outcome);
        let Some(transition) = finished else { return Ok(()) };
        self.publish_transition(&transition);
        log::info!("the node is {}", transition.goal.label());
        match (std::mem::take(&mut self.asked), transition.goal) {
            (Asked::ByService(request), _) => respond(request, outcome == Outcome::Success),
            (Asked::AtStart, State::Inactive) if outcome == Outcome::Success => {
                self.begin(Asked::AtStart, "activate")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn publish_transition(&self, transition: &Transition) {
        let now_ns = stamp_to_ns(&self.diagnostics.now());
        self.outputs.transition(&event(transition, now_ns));
    }

    /// The model is loaded. An instruction that does not fit it is an error here, as any other wrong parameter.
    pub fn model_ready(&mut self, info: ModelInfo, check: InstructionCheck) -> Result<(), NodeError> {
        log::info!("model {} is ready ({} parameters)", info.path, info.parameters);
        let calibration = match self.read_calibration(&info) {
            Ok(calibration) => calibration,
            Err(error) => return self.not_configured(error),
        };
        self.diagnostics.model = ModelState::Ready(info);
        let scope = calibration.as_ref().map(|found| found.instructions.clone()).unwrap_or_default();
        let rule = InstructionRule { model: Some(check), scope };
        let instruction = self.session.instruction();
        if !instruction.is_empty()
            && let Err(error) = rule.accept(instruction)
        {
            let reason = error.to_string();
            let error = ConfigError::Parameter { name: "instruction".to_owned(), reason };
            return self.not_configured(error.into());
        }
        self.use_rule(rule);
        if let Some(calibration) = calibration {
            self.use_calibration(calibration)?;
        }
        self.finish(Outcome::Success)
    }

    /// The calibration that the parameters name, if it was made for what is in use.
    fn read_calibration(&self, info: &ModelInfo) -> Result<Option<Calibration>, NodeError> {
        let file = &self.config.calibration.file;
        if file.is_empty() {
            return Ok(None);
        }
        let calibration = Calibration::read(Path::new(file))?;
        let instruction = self.session.instruction();
        let instruction = (!instruction.is_empty()).then_some(&**instruction);
        calibration
            .check(
                &super::rcl::parameter_services::lock(&self.parameters).config()?.in_use(info, instruction),
            )
            .map_err(|source| NodeError::Mismatch { file: file.clone(), source })?;
        Ok(Some(calibration))
    }

    fn use_calibration(&mut self, calibration: Calibration) -> Result<(), NodeError> {
        let threshold_nats = calibration.threshold_nats;
        log::info!(
            "calibration of {}: success.threshold_nats is {threshold_nats:.3} (AUC {:.3})",
            calibration.date,
            calibration.auc.value
        );
        let mut config = {
            let mut parameters = super::rcl::parameter_services::lock(&self.parameters);
            parameters.set_threshold(threshold_nats);
            parameters.config()?
        };
        config.use_calibration(&calibration);
        self.calibration = Some(calibration);
        self.session.configure(&config);
        self.publish_changed(&["success.threshold_nats"]);
        Ok(())
    }

    /// Configuring has failed: at the start that is the node's end, later it says why and waits.
    pub fn not_configured(&mut self, error: NodeError) -> Result<(), NodeError> {
        if matches!(self.asked, Asked::AtStart) {
            return Err(error);
        }
        log::error!("{error}");
        self.refusal = Some(error.to_string());
        self.stop_engine()
    }

    /// The engine's thread has ended and its memory is free.
    pub fn engine_gone(&mut self) -> Result<(), NodeError> {
        self.engine = None;
        self.use_rule(InstructionRule::default());
        match self.refusal.take() {
            Some(why) => {
                self.diagnostics.model = ModelState::Failed(why);
                self.finish(Outcome::Failure)
            }
            // The process ends.
            None if !matches!(self.state(), State::CleaningUp | State::ShuttingDown) => Ok(()),
            None => {
                self.diagnostics.model = ModelState::NotLoaded;
                self.finish(Outcome::Success)
            }
        }
    }

    fn use_rule(&mut self, rule: InstructionRule) {
        super::rcl::parameter_services::lock(&self.parameters).set_rule(rule.clone());
        self.session.set_rule(rule);
    }

    fn stop_engine(&mut self) -> Result<(), NodeError> {
        match &self.engine {
            Some(engine) => {
                engine.request_stop();
                Ok(())
            }
            None => self.engine_gone(),
        }
    }

    fn open_cameras(&mut self) {
        let (sources, inputs) = (self.config.camera_sources(), self.inputs.clone());
        self.executor.run(move |node| {
            let subscribed = sources.iter().map(|source| Subscription::new(node, source)).collect();
            inputs.send(Input::Subscribed(subscribed));
        });
    }

    pub fn subscribed(&mut self, subscriptions: r2r::Result<Vec<Subscription>>) -> Result<(), NodeError> {
        let subscriptions = match subscriptions {
            Ok(subscriptions) => subscriptions,
            Err(error) if matches!(self.asked, Asked::AtStart) => return Err(error.into()),
            Err(error) => {
                log::error!("the cameras cannot be subscribed to: {error}");
                return self.finish(Outcome::Failure);
            }
        };
        for (number, subscription) in subscriptions.into_iter().enumerate() {
            let open = subscription.open(number, &self.inputs, &mut self.tasks);
            self.cameras.push(open);
        }
        for health in &mut self.diagnostics.cameras {
            log::info!("camera {}: {}", health.source.name, health.topic);
            health.last_image = None;
            health.error = None;
        }
        self.finish(Outcome::Success)?;
        self.session.activate();
        self.warn_without_instruction();
        Ok(())
    }

    /// Listens to no camera and scores nothing any more.
    pub fn go_quiet(&mut self) {
        self.close_cameras();
        self.session.deactivate();
        if let Some(reset) = self.resetting.take() {
            reset.abort();
        }
        for request in self.engine.iter().flat_map(Engine::forget) {
            self.session.not_scored(&request, DropReason::Deactivated);
        }
    }

    /// Ends the subscriptions.
    pub fn close_cameras(&mut self) {
        self.cameras.drain(..).for_each(OpenCamera::close);
    }
}

/// What the cameras' part of the graph is to be watched for.
pub fn listening(sources: &[CameraSource], full_name: impl Fn(&str) -> String) -> Vec<Listening> {
    let listening = |source: &CameraSource| Listening {
        topic: full_name(&source.topic),
        message_type: camera::message_type(source.transport),
        reliable: false,
    };
    sources.iter().map(listening).collect()
}

/// The engine's thread brings the model first, if it has to come from Hugging Face; `leaving` cuts that short.
fn spawn_engine(config: &Config, inputs: Inputs, leaving: Arc<AtomicBool>) -> Result<Engine, NodeError> {
    let model = config.model.path.clone();
    let mut options = config.load_options(PathBuf::new());
    let told = Telling::new(inputs.clone());
    let load = move || {
        options.path = folder(&model, &told, &leaving)?;
        let report = |share: f64| told.tell(|| format!("loading {model}: {:.0} %", 100.0 * share));
        Qwen3Vl::load_reporting(&options, &report)
    };
    let settings = EngineSettings { capacity: ENGINE_QUEUE, control: config.bias.control };
    Ok(Engine::spawn(load, settings, move |event| inputs.send(Input::Engine(event)))?)
}

fn folder(model: &str, told: &Telling, leaving: &AtomicBool) -> Result<PathBuf, VlmError> {
    let mut report = |progress: &Progress| {
        told.tell(|| format!("fetching {model}: {progress}"));
        if leaving.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    hub::resolve(model, &mut report).map_err(|error| VlmError::Fetch(format!("model {model}: {error}")))
}

/// Tells how far the loading is: to the driver for /diagnostics, and now and then to the log.
struct Telling {
    inputs: Inputs,
    said: Cell<Instant>,
    logged: Cell<Instant>,
}

impl Telling {
    const SAID_EVERY: Duration = Duration::from_millis(500);
    const LOGGED_EVERY: Duration = Duration::from_secs(5);

    fn new(inputs: Inputs) -> Self {
        let now = Instant::now();
        Self { inputs, said: Cell::new(now), logged: Cell::new(now) }
    }

    fn tell(&self, how_far: impl FnOnce() -> String) {
        if self.said.get().elapsed() < Self::SAID_EVERY {
            return;
        }
        self.said.set(Instant::now());
        let how_far = how_far();
        if self.logged.get().elapsed() >= Self::LOGGED_EVERY {
            self.logged.set(Instant::now());
            log::info!("{how_far}");
        }
        self.inputs.send(Input::Loading(how_far));
    }
}

/// Hands a job that asks the graph to the node's thread.
pub fn watch_graph(executor: &super::rcl::executor::Executor, listening: Vec<Listening>, inputs: Inputs) {
    executor.run(move |node: &mut Node| inputs.send(Input::Graph(super::rcl::graph::look(node, &listening))));
}
