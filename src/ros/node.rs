//! Starts the node's parts, runs them, and ends them in order.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use r2r::{Node, ParameterValue};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::diagnostics::{CameraHealth, Diagnostics};
use super::driver::{Driver, Input, Inputs, Tasks};
use super::overlay::OverlayOutput;
use super::params::{Parameters, USE_SIM_TIME, configure};
use super::publish::Outputs;
use super::rcl::arguments::{context, own_arguments};
use super::rcl::executor::{Executor, Job, SPIN, spin};
use super::rcl::graph::Listening;
use super::rcl::lifecycle::Lifecycle;
use super::rcl::names::Names;
use super::rcl::{lifecycle_services, logging, parameter_services};
use super::reset::RobotReset;
use super::transitions::{Asked, listening, watch_graph};
use super::{NodeError, services, signals};
use crate::config::{Config, ConfigError, NODE_NAME};
use crate::live::session::Session;

r2r::assert_compiled_with_use_sim_time_support!();

const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// How often the graph is asked who publishes what the node listens to.
const GRAPH_PERIOD: Duration = Duration::from_secs(3);
/// How long the end waits for an inference that is under way.
const PATIENCE: Duration = Duration::from_millis(1000);

const HELP: &str = "\
usage: topreward_node [--help | --version] [--ros-args [-p NAME:=VALUE]... [--params-file FILE]... [-r FROM:=TO]...]

Scores the progress of a robot arm's task from a camera topic. Every parameter is explained in config/topreward.yaml.
";

/// Runs the node until a signal ends it.
pub fn run() -> ExitCode {
    match own_arguments(std::env::args()).first().map(String::as_str) {
        Some("--help" | "-h") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some("--version" | "-V") => {
            println!("topreward {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("topreward_node: unknown argument \"{other}\": see --help");
            return ExitCode::from(2);
        }
        None => {}
    }
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("topreward_node: {error}");
            error.exit_code()
        }
    }
}

fn start() -> Result<(), NodeError> {
    let mut node = Node::create(context()?, NODE_NAME, "")?;
    logging::install(node.logger());
    logging::publish(&mut node)?;
    let overrides = node.params.lock().map(|parameters| configure(&parameters));
    let config =
        overrides.map_err(|_| NodeError::Internal("the parameters' lock is poisoned".to_owned()))??;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = Parts::build(&mut node, &config, &runtime).and_then(|parts| parts.run(node, &runtime));
    // An inference that is under way may hold its thread for longer than anyone wants to wait.
    runtime.shutdown_background();
    result
}

struct Parts {
    driver: Driver,
    received: UnboundedReceiver<Input>,
    jobs: Receiver<Job>,
    listening: Vec<Listening>,
}

impl Parts {
    fn build(node: &mut Node, config: &Config, runtime: &Runtime) -> Result<Self, NodeError> {
        let _in_runtime = runtime.enter();
        let (sender, received) = unbounded_channel();
        let inputs = Inputs(sender);
        let use_sim_time = simulated_time(node)?;
        let parameters = Arc::new(Mutex::new(Parameters::new(config, use_sim_time)?));
        let lifecycle = Arc::new(Mutex::new(Lifecycle::new()));
        let mut tasks = Tasks::new();
        offer(node, config, &parameters, &lifecycle, &inputs, &mut tasks)?;

        let names = Names::new(&node.namespace()?, &node.name()?, std::env::args());
        let sources = config.camera_sources();
        let mut listening = listening(&sources, |topic| names.resolve(topic));
        let cameras = sources.into_iter().zip(&listening);
        let cameras = cameras.map(|(source, listening)| CameraHealth::new(source, listening.topic.clone()));
        let diagnostics =
            Diagnostics::new(node.fully_qualified_name()?, node.get_ros_clock(), cameras.collect());
        listening.extend(signals::listening(&config.episode.signal_topic, &names));
        let (executor, jobs) = Executor::new();
        let driver = Driver {
            config: config.clone(),
            session: Session::new(config)?,
            lifecycle,
            asked: Asked::default(),
            refusal: None,
            engine: None,
            cameras: Vec::new(),
            executor,
            outputs: Outputs::new(node, &config.cameras)?,
            overlay: OverlayOutput::new(node, config.cameras.len())?,
            diagnostics,
            reset: robot_reset(node, config)?,
            resetting: None,
            settle: Duration::from_secs_f64(config.reset.settle_s),
            instruction: config.instruction.trim().into(),
            parameters,
            inputs,
            tasks,
            recorder: Default::default(),
            calibration: None,
            leaving: Default::default(),
            warned: Default::default(),
        };
        driver.publish_declared();
        Ok(Self { driver, received, jobs, listening })
    }

    fn run(mut self, node: Node, runtime: &Runtime) -> Result<(), NodeError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let jobs = std::mem::replace(&mut self.jobs, std::sync::mpsc::channel().1);
        let _in_runtime = runtime.enter();
        let spinning = runtime.spawn_blocking(move || spin(node, &jobs, &stopped));
        runtime.block_on(async {
            let spinning = self.driver.tasks.spawn(async move {
                // A panic in there ends this task too.
                let _ = spinning.await;
                Some("the ROS executor")
            });
            let result = self.serve().await;
            self.end().await;
            stop.store(true, Ordering::Relaxed);
            let deadline = Instant::now() + 4 * SPIN;
            while !spinning.is_finished() && Instant::now() < deadline {
                tokio::time::sleep(SPIN / 10).await;
            }
            result
        })
    }

    async fn serve(&mut self) -> Result<(), NodeError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut tick = interval(DIAGNOSTICS_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look = interval(GRAPH_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if self.driver.config.autostart {
            self.driver.autostart()?;
        }
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                Some(ended) = self.driver.tasks.join_next() => check(ended)?,
                _ = tick.tick() => self.driver.publish_diagnostics(),
                _ = look.tick() => {
                    let Driver { executor, inputs, .. } = &self.driver;
                    watch_graph(executor, self.listening.clone(), inputs.clone());
                }
                Some(input) = self.received.recv() => self.driver.handle(input)?,
            }
        }
    }

    /// No frame comes in any more; what the engine still reports is counted.
    async fn end(&mut self) {
        self.driver.leaving.store(true, Ordering::Relaxed);
        self.driver.close_cameras();
        if let Some(engine) = &self.driver.engine {
            engine.request_stop();
        }
        let deadline = Instant::now() + PATIENCE;
        while self.driver.engine.is_some() {
            match timeout_at(deadline, self.received.recv()).await {
                Ok(Some(input)) => {
                    if self.driver.handle(input).is_err() {
                        break; // the first error is the one that is reported
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        self.driver.shut_down();
    }
}

/// A task has ended. One that says what it was should not have, and one that panicked neither: the node ends rather
/// than go on without it.
fn check(ended: Result<Option<&'static str>, JoinError>) -> Result<(), NodeError> {
    match ended {
        Ok(None) => Ok(()),
        Ok(Some(task)) => Err(NodeError::Internal(format!("{task} ended"))),
        // A reset or a camera that is not wanted any more.
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(NodeError::Internal(format!("a task failed: {error}"))),
    }
}

/// Offers all services and listens to the topics that are always listened to.
fn offer(
    node: &mut Node,
    config: &Config,
    parameters: &parameter_services::Shared,
    lifecycle: &lifecycle_services::Shared,
    inputs: &Inputs,
    tasks: &mut Tasks,
) -> Result<(), NodeError> {
    let offered = parameter_services::offer(node, parameters.clone(), inputs.clone())?;
    for_good(tasks, "the parameter services", offered);
    for_good(
        tasks,
        "the lifecycle services",
        lifecycle_services::offer(node, lifecycle.clone(), inputs.clone())?,
    );
    for_good(tasks, "the services", services::offer(node, inputs.clone())?);
    for_good(tasks, "the instruction topic", signals::instructions(node, inputs.clone())?);
    if !config.episode.signal_topic.is_empty() {
        let episodes = signals::episodes(node, &config.episode.signal_topic, inputs.clone())?;
        for_good(tasks, "the episode signals", episodes);
    }
    Ok(())
}

/// A task that is not to end before the node does.
fn for_good(tasks: &mut Tasks, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        work.await;
        Some(what)
    });
}

/// Whether the node was told to go by /clock; if so, it does from here on.
fn simulated_time(node: &mut Node) -> Result<bool, NodeError> {
    let given =
        node.params.lock().ok().and_then(|given| given.get(USE_SIM_TIME).map(|one| one.value.clone()));
    match given {
        None | Some(ParameterValue::Bool(false)) => Ok(false),
        Some(ParameterValue::Bool(true)) => {
            let source = node.get_time_source();
            source.enable_sim_time(node)?;
            Ok(true)
        }
        Some(_) => {
            let reason = "it is not true or false".to_owned();
            Err(NodeError::Config(ConfigError::Parameter { name: USE_SIM_TIME.to_owned(), reason }))
        }
    }
}

fn robot_reset(node: &mut Node, config: &Config) -> Result<Option<Arc<RobotReset>>, NodeError> {
    if config.reset.service.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(RobotReset::new(node, &config.reset)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_ends_the_node_with_an_error() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { panic!("on purpose") });
        let error = check(tasks.join_next().await.unwrap()).unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
        tasks.spawn_blocking(|| panic!("on purpose, in a thread"));
        assert!(check(tasks.join_next().await.unwrap()).is_err());
        for_good(&mut tasks, "the drum", async {});
        let error = check(tasks.join_next().await.unwrap()).unwrap_err();
        assert!(error.to_string().contains("the drum ended"), "{error}");
        assert_eq!(format!("{:?}", error.exit_code()), format!("{:?}", ExitCode::from(70)));
    }

    #[tokio::test]
    async fn a_task_that_is_done_or_not_wanted_any_more_does_not() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { None });
        assert!(check(tasks.join_next().await.unwrap()).is_ok());
        tasks.spawn(std::future::pending()).abort();
        assert!(check(tasks.join_next().await.unwrap()).is_ok());
    }
}
