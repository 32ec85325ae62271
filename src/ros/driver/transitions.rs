//! What the lifecycle's transitions do: configure loads the model, activate listens to the cameras, deactivate stops
//! that and keeps the model, cleanup frees it, shutdown does both and is the end.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::camera::{self, Arrival, OpenCamera};
use super::super::diagnostics::ModelState;
use super::super::error::NodeError;
use super::super::inbox::{CameraMessages, Input, Inputs};
use super::super::rcl::lifecycle::{Lifecycle, LifecycleError, Outcome, State, Transition};
use super::super::rcl::lifecycle_services::{self, ChangeRequest, event, lock, respond};
use super::super::rcl::parameter_services::lock as lock_parameters;
use super::super::rcl::time::stamp_to_ns;
use super::Driver;
use crate::config::{Config, ConfigError, calibration_file};
use crate::episode::DropReason;
use crate::live::engine::{Engine, EngineSettings};
use crate::model::hub::{self, Progress};
use crate::model::instruction::InstructionRule;
use crate::model::qwen3_vl::Qwen3Vl;
#[cfg(feature = "scripted-model")]
use crate::model::scripted::{self, ScriptedVlm};
use crate::model::{Calibration, InstructionCheck, ModelInfo, VlmError};

/// Requests that may wait for the engine: half a minute at two samples a second.
const ENGINE_QUEUE: usize = 64;

/// Why the node began a transition.
#[derive(Default)]
enum Asked {
    /// Nobody did, or there is none.
    #[default]
    No,
    /// `autostart`: when it fails, the node ends.
    AtStart,
    /// Someone, who waits for the answer.
    ByService(ChangeRequest),
}

/// The lifecycle, and what is known of the transition under way.
pub struct Transitions {
    lifecycle: lifecycle_services::Shared,
    asked: Asked,
    /// Why it is going to fail.
    refusal: Option<String>,
}

impl Default for Transitions {
    fn default() -> Self {
        let lifecycle = Arc::new(Mutex::new(Lifecycle::new()));
        Self { lifecycle, asked: Asked::default(), refusal: None }
    }
}

impl Transitions {
    /// The state, for the services that only read it.
    pub fn lifecycle(&self) -> lifecycle_services::Shared {
        self.lifecycle.clone()
    }

    fn begin(&self, id: u8, label: &str) -> Result<Transition, LifecycleError> {
        lock(&self.lifecycle).begin(id, label)
    }

    /// Ends the transition under way, if there is one; with who asked for it.
    fn finish(&mut self, outcome: Outcome) -> Option<(Transition, Asked)> {
        let finished = lock(&self.lifecycle).finish(outcome)?;
        Some((finished, std::mem::take(&mut self.asked)))
    }
}

impl Driver {
    pub fn state(&self) -> State {
        lock(&self.transitions.lifecycle).state()
    }

    /// Configures and activates without being asked, if the parameters say so.
    pub fn autostart(&mut self) -> Result<(), NodeError> {
        if !self.config.autostart {
            return Ok(());
        }
        self.begin(Asked::AtStart, "configure")
    }

    pub fn change_state(&mut self, request: ChangeRequest) -> Result<(), NodeError> {
        let wanted = request.message.transition.clone();
        match self.transitions.begin(wanted.id, &wanted.label) {
            Ok(transition) => self.carry_out_transition(Asked::ByService(request), &transition),
            Err(refusal) => {
                log::error!("{refusal}");
                respond(request, false);
                Ok(())
            }
        }
    }

    fn begin(&mut self, asked: Asked, label: &str) -> Result<(), NodeError> {
        match self.transitions.begin(0, label) {
            Ok(transition) => self.carry_out_transition(asked, &transition),
            Err(refusal) => Err(NodeError::Internal(refusal.to_string())),
        }
    }

    fn carry_out_transition(&mut self, asked: Asked, transition: &Transition) -> Result<(), NodeError> {
        self.transitions.asked = asked;
        self.transitions.refusal = None;
        self.publish_transition(transition);
        match transition.goal {
            State::Configuring => {
                let loading = format!("loading {}", self.config.model.path);
                log::info!("{loading}");
                self.diagnostics.model = ModelState::Loading(loading);
                let engine = spawn_engine(&self.config, self.background.inputs(), self.model.leaving())?;
                self.model.started(engine);
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
        let Some((transition, asked)) = self.transitions.finish(outcome) else { return Ok(()) };
        self.publish_transition(&transition);
        log::info!("the node is {}", transition.goal.label());
        match (asked, transition.goal) {
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
            return self.not_configured(ConfigError::parameter("instruction", error).into());
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
        let calibration = calibration_file::read(Path::new(file))?;
        let instruction = self.session.instruction();
        let instruction = (!instruction.is_empty()).then_some(&**instruction);
        calibration
            .check(&lock_parameters(&self.parameters).config().in_use(info, instruction))
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
            let mut parameters = lock_parameters(&self.parameters);
            parameters.set_threshold(threshold_nats);
            parameters.config().clone()
        };
        config.use_calibration(&calibration);
        self.model.use_calibration(calibration);
        self.session.configure(&config);
        self.publish_changed(&["success.threshold_nats"]);
        Ok(())
    }

    /// Configuring has failed: at the start that is the node's end, later the reason is reported and the node waits.
    pub fn not_configured(&mut self, error: NodeError) -> Result<(), NodeError> {
        if matches!(self.transitions.asked, Asked::AtStart) {
            return Err(error);
        }
        log::error!("{error}");
        self.transitions.refusal = Some(error.to_string());
        self.stop_engine()
    }

    /// The engine's thread has ended and its memory is free.
    pub fn engine_gone(&mut self) -> Result<(), NodeError> {
        self.model.ended();
        self.use_rule(InstructionRule::default());
        match self.transitions.refusal.take() {
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
        lock_parameters(&self.parameters).set_rule(rule.clone());
        self.session.set_rule(rule);
    }

    fn stop_engine(&mut self) -> Result<(), NodeError> {
        // Where there is a thread, its end is reported as an event.
        if self.model.request_stop() { Ok(()) } else { self.engine_gone() }
    }

    fn open_cameras(&mut self) {
        let sources = self.config.camera_sources();
        self.background.on_node(move |node| {
            Input::Subscribed(sources.iter().map(|source| camera::subscribe(node, source)).collect())
        });
    }

    pub fn subscribed(&mut self, subscriptions: r2r::Result<Vec<CameraMessages>>) -> Result<(), NodeError> {
        let subscriptions = match subscriptions {
            Ok(subscriptions) => subscriptions,
            Err(error) if matches!(self.transitions.asked, Asked::AtStart) => return Err(error.into()),
            Err(error) => {
                log::error!("the cameras cannot be subscribed to: {error}");
                return self.finish(Outcome::Failure);
            }
        };
        for (number, messages) in subscriptions.into_iter().enumerate() {
            let stamps = self.diagnostics.cameras[number].source.stamps;
            let arrival = Arrival { clock: self.clock.clone(), stamps };
            let open = OpenCamera::new(messages, number, arrival, &mut self.background);
            self.cameras.push(open);
        }
        for health in &mut self.diagnostics.cameras {
            log::info!("camera {}: {}", health.source.name, health.topic);
            health.begin();
        }
        self.finish(Outcome::Success)?;
        self.session.activate();
        self.warn_without_instruction();
        Ok(())
    }

    /// Listens to no camera and scores nothing any more.
    fn go_quiet(&mut self) {
        self.close_cameras();
        self.session.deactivate();
        self.resets.abort();
        for request in self.model.forget() {
            self.session.not_scored(&request, DropReason::Deactivated);
        }
    }

    /// Ends the subscriptions.
    pub fn close_cameras(&mut self) {
        self.cameras.drain(..).for_each(OpenCamera::close);
    }
}

/// The engine's thread brings the model first, if it has to come from Hugging Face; `leaving` cuts that short.
fn spawn_engine(config: &Config, inputs: Inputs, leaving: Arc<AtomicBool>) -> Result<Engine, NodeError> {
    let model = config.model.path.clone();
    let mut options = config.load_options(PathBuf::new());
    let progress = LoadProgress::new(inputs.clone());
    let load = move || {
        options.path = folder(&model, &progress, &leaving)?;
        let report = |share: f64| progress.report(|| format!("loading {model}: {:.0} %", 100.0 * share));
        Qwen3Vl::load_reporting(&options, &report)
    };
    let settings = EngineSettings { capacity: ENGINE_QUEUE, control: config.bias.control };
    let sink = move |event| inputs.send(Input::Engine(event));
    #[cfg(feature = "scripted-model")]
    if scripted::is_in(Path::new(&config.model.path)) {
        let folder = PathBuf::from(&config.model.path);
        return Ok(Engine::spawn(move || ScriptedVlm::load(&folder), settings, sink)?);
    }
    Ok(Engine::spawn(load, settings, sink)?)
}

fn folder(model: &str, loading: &LoadProgress, leaving: &AtomicBool) -> Result<PathBuf, VlmError> {
    let mut report = |progress: &Progress| {
        loading.report(|| format!("fetching {model}: {progress}"));
        if leaving.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    hub::resolve(model, &mut report)
        .map_err(|error| VlmError::Fetch { model: model.to_owned(), source: error.into() })
}

/// Reports how far the loading is: to the driver for /diagnostics, and now and then to the log.
struct LoadProgress {
    inputs: Inputs,
    reported: Cell<Instant>,
    logged: Cell<Instant>,
}

impl LoadProgress {
    const REPORTED_EVERY: Duration = Duration::from_millis(500);
    const LOGGED_EVERY: Duration = Duration::from_secs(5);

    fn new(inputs: Inputs) -> Self {
        let now = Instant::now();
        Self { inputs, reported: Cell::new(now), logged: Cell::new(now) }
    }

    fn report(&self, how_far: impl FnOnce() -> String) {
        if self.reported.get().elapsed() < Self::REPORTED_EVERY {
            return;
        }
        self.reported.set(Instant::now());
        let how_far = how_far();
        if self.logged.get().elapsed() >= Self::LOGGED_EVERY {
            self.logged.set(Instant::now());
            log::info!("{how_far}");
        }
        self.inputs.send(Input::Loading(how_far));
    }
}
