//! Starts the node's parts, runs them, and ends them in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use r2r::{Node, ParameterValue};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::background::Background;
use super::camera;
use super::diagnostics::CameraHealth;
use super::driver::Driver;
use super::ending::{Signals, leave};
use super::inbox::{Input, Inputs};
use super::params::{USE_SIM_TIME, configure};
use super::rcl::arguments::{context, own_arguments};
use super::rcl::executor::{Executor, Job, SPIN, spin};
use super::rcl::graph::Listening;
use super::rcl::logging;
use super::rcl::names::Names;
use super::{NodeError, signals};
use crate::config::{Config, ConfigError, NODE_NAME};

r2r::assert_compiled_with_use_sim_time_support!();

/// How often the session is told how late it is.
const PULSE: Duration = Duration::from_millis(100);
/// How often the graph is asked who publishes what the node listens to.
const GRAPH_PERIOD: Duration = Duration::from_secs(3);
/// How long the end waits for an inference that is under way.
const PATIENCE: Duration = Duration::from_millis(1000);
/// How long the end, from its beginning, waits until the node has taken leave of the others and removed its shared memory.
const FAREWELL: Duration = Duration::from_millis(1200);

const HELP: &str = "\
usage: topreward_node [--help | --version] [--ros-args [-p NAME:=VALUE]... [--params-file FILE]... [-r FROM:=TO]...]

Scores the progress of a robot arm's task from a camera topic. Every parameter is explained in config/topreward.yaml.
";

/// Runs the node until a signal ends it, and ends the process.
pub fn run() -> ! {
    leave(match own_arguments(std::env::args()).first().map(String::as_str) {
        Some("--help" | "-h") => {
            print!("{HELP}");
            0
        }
        Some("--version" | "-V") => {
            println!("topreward {}", env!("CARGO_PKG_VERSION"));
            0
        }
        Some(other) => {
            eprintln!("topreward_node: unknown argument \"{other}\": see --help");
            2
        }
        None => match start() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("topreward_node: {error}");
                error.exit_code()
            }
        },
    })
}

fn start() -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let signals = Signals::listen(&runtime)?;
    let mut node = Node::create(context()?, NODE_NAME, "")?;
    logging::install(node.logger());
    logging::publish(&mut node)?;
    let overrides = node.params.lock().map(|parameters| configure(&parameters));
    let config =
        overrides.map_err(|_| NodeError::Internal("the parameters' lock is poisoned".to_owned()))??;
    let result =
        Parts::build(&mut node, &config, &runtime).and_then(|parts| parts.run(node, &runtime, signals));
    // An inference that is under way may hold its thread for longer than anyone wants to wait.
    runtime.shutdown_background();
    result
}

struct Parts {
    driver: Driver,
    received: UnboundedReceiver<Input>,
    jobs: Receiver<Job>,
    listening: Vec<Listening>,
    diagnostics_period: Duration,
}

impl Parts {
    fn build(node: &mut Node, config: &Config, runtime: &Runtime) -> Result<Self, NodeError> {
        let _in_runtime = runtime.enter();
        let (sender, received) = unbounded_channel();
        let (executor, jobs) = Executor::new();
        let use_sim_time = simulated_time(node)?;
        let names = Names::new(&node.namespace()?, &node.name()?, std::env::args());
        let sources = config.camera_sources();
        let mut listening = camera::listening(&sources, |topic| names.resolve(topic));
        let cameras = sources.into_iter().zip(&listening);
        let cameras =
            cameras.map(|(source, listening)| CameraHealth::new(source, listening.topic.clone())).collect();
        listening.extend(signals::listening(&config.episode.signal_topic, &names));
        let background = Background::new(Inputs(sender), executor);
        let mut driver = Driver::new(node, config, use_sim_time, cameras, background)?;
        driver.offer(node)?;
        driver.publish_declared();
        let diagnostics_period = Duration::from_secs_f64(config.diagnostics.period_s);
        Ok(Self { driver, received, jobs, listening, diagnostics_period })
    }

    fn run(mut self, node: Node, runtime: &Runtime, signals: Signals) -> Result<(), NodeError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let jobs = std::mem::replace(&mut self.jobs, std::sync::mpsc::channel().1);
        let _in_runtime = runtime.enter();
        let spinning = runtime.spawn_blocking(move || spin(node, &jobs, &stopped));
        runtime.block_on(async {
            let spinning = self.driver.background().spawn_for_good("the ROS executor", async move {
                // A panic in there ends this task too.
                let _ = spinning.await;
            });
            let result = self.serve(signals).await;
            let deadline = Instant::now() + FAREWELL;
            self.end().await;
            stop.store(true, Ordering::Relaxed);
            // Its thread drops the node last: subscriptions, services, publishers, and with them DDS's own threads.
            while !spinning.is_finished() && Instant::now() < deadline {
                tokio::time::sleep(SPIN / 10).await;
            }
            result
        })
    }

    async fn serve(&mut self, mut signals: Signals) -> Result<(), NodeError> {
        let mut tick = interval(self.diagnostics_period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look = interval(GRAPH_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.driver.autostart()?;
        loop {
            tokio::select! {
                biased;
                () = signals.come() => return Ok(()),
                ended = self.driver.background().ended() => ended?,
                _ = tick.tick() => self.driver.publish_diagnostics(),
                _ = pulse.tick() => self.driver.pass_time(),
                _ = look.tick() => self.driver.look_at_graph(self.listening.clone()),
                Some(input) = self.received.recv() => self.driver.handle(input)?,
            }
        }
    }

    /// No frame comes in any more; what the engine still reports is counted.
    async fn end(&mut self) {
        self.driver.leave();
        let deadline = Instant::now() + PATIENCE;
        while self.driver.has_model_thread() {
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

/// Whether `use_sim_time` is set; if so, the node goes by /clock from here on.
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
        Some(_) => Err(NodeError::Config(ConfigError::parameter(USE_SIM_TIME, "it is not true or false"))),
    }
}
