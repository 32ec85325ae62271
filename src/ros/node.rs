//! Starts the node's parts, runs them, and ends them in order.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::{Node, ParameterValue, QosProfile};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::arguments::{context, own_arguments};
use super::camera::{self, Close, Inbox};
use super::diagnostics::Diagnostics;
use super::driver::{Driver, Input, Inputs, Tasks};
use super::image_msg::CameraMessage;
use super::params::{Parameters, USE_SIM_TIME, configure};
use super::publish::Outputs;
use super::reset::RobotReset;
use super::{NodeError, logging, parameter_services, services, signals};
use crate::config::{Config, ConfigError, NODE_NAME, Transport};
use crate::engine::Engine;
use crate::session::Session;
use crate::vlm::qwen3_vl::{LoadOptions, Qwen3Vl};

r2r::assert_compiled_with_use_sim_time_support!();

/// Requests that may wait for the engine: half a minute at two samples a second.
const ENGINE_QUEUE: usize = 64;
const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// The longest that one wait for ROS takes, and so how soon its thread notices the end.
const SPIN: Duration = Duration::from_millis(50);
/// How long the end waits for an inference that is under way.
const PATIENCE: Duration = Duration::from_millis(1500);

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
    camera: Arc<dyn Close>,
}

impl Parts {
    fn build(node: &mut Node, config: &Config, runtime: &Runtime) -> Result<Self, NodeError> {
        let _in_runtime = runtime.enter();
        let (sender, received) = unbounded_channel();
        let inputs = Inputs(sender);
        let mut tasks = Tasks::new();

        let use_sim_time = simulated_time(node)?;
        let parameters = Arc::new(Mutex::new(Parameters::new(config, use_sim_time)?));
        let offered = parameter_services::offer(node, parameters.clone(), inputs.clone())?;
        tasks.spawn(async move {
            offered.await;
            Some("the parameter services")
        });
        let offered = services::offer(node, inputs.clone())?;
        tasks.spawn(async move {
            offered.await;
            Some("the services")
        });
        let texts = signals::instructions(node, inputs.clone())?;
        tasks.spawn(async move {
            texts.await;
            Some("the instruction topic")
        });
        if !config.episode.signal_topic.is_empty() {
            let episodes = signals::episodes(node, &config.episode.signal_topic, inputs.clone())?;
            tasks.spawn(async move {
                episodes.await;
                Some("the episode signals")
            });
        }
        let camera = match config.image.transport {
            Transport::Raw => subscribe::<Image>(node, "image_raw", &inputs, &mut tasks)?,
            Transport::Compressed => {
                subscribe::<CompressedImage>(node, "image_raw/compressed", &inputs, &mut tasks)?
            }
        };
        let driver = Driver {
            session: Session::new(config)?,
            engine: spawn_engine(config, inputs.clone())?,
            outputs: Outputs::new(node)?,
            diagnostics: Diagnostics {
                name: node.fully_qualified_name()?,
                camera: camera_topic(config.image.transport).to_owned(),
                clock: node.get_ros_clock(),
                model: None,
                offered_before: 0,
            },
            reset: robot_reset(node, config)?,
            resetting: None,
            settle: Duration::from_secs_f64(config.reset.settle_s),
            instruction: config.instruction.trim().into(),
            parameters,
            inputs,
            tasks,
            last_image_error: None,
            engine_stopped: false,
        };
        driver.publish_declared();
        Ok(Self { driver, received, camera })
    }

    fn run(mut self, mut node: Node, runtime: &Runtime) -> Result<(), NodeError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let _in_runtime = runtime.enter();
        let spin = runtime.spawn_blocking(move || {
            while !stopped.load(Ordering::Relaxed) {
                node.spin_once(SPIN);
            }
        });
        runtime.block_on(async {
            let spin = self.driver.tasks.spawn(async move {
                // A panic in there ends this task too.
                let _ = spin.await;
                Some("the ROS executor")
            });
            let result = self.serve().await;
            self.end().await;
            stop.store(true, Ordering::Relaxed);
            let deadline = Instant::now() + 4 * SPIN;
            while !spin.is_finished() && Instant::now() < deadline {
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
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                Some(ended) = self.driver.tasks.join_next() => match ended {
                    Ok(None) => {}
                    Ok(Some(task)) => return Err(NodeError::Internal(format!("{task} ended"))),
                    Err(error) if error.is_cancelled() => {} // a reset that is not wanted any more
                    Err(error) => return Err(NodeError::Internal(format!("a task failed: {error}"))),
                },
                _ = tick.tick() => self.driver.publish_diagnostics(),
                Some(input) = self.received.recv() => self.driver.handle(input)?,
            }
        }
    }

    /// No frame comes in any more; what the engine still reports is counted.
    async fn end(&mut self) {
        use crate::episode::DropReason::Shutdown;
        let waiting = self.camera.close();
        self.driver.session.frames_lost(Shutdown, waiting);
        self.driver.engine.request_stop();
        let deadline = Instant::now() + PATIENCE;
        while !self.driver.engine_stopped {
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

fn camera_topic(transport: Transport) -> &'static str {
    match transport {
        Transport::Raw => "image_raw",
        Transport::Compressed => "image_raw/compressed",
    }
}

fn subscribe<M>(
    node: &mut Node,
    topic: &str,
    inputs: &Inputs,
    tasks: &mut Tasks,
) -> Result<Arc<dyn Close>, NodeError>
where
    M: CameraMessage + r2r::WrappedTypesupport,
{
    // Deeper than sensor data usually is: on a busy machine the executor may have to catch up.
    let qos = QosProfile::sensor_data().keep_last(camera::CAPACITY);
    let messages = node.subscribe::<M>(topic, qos)?;
    let inbox = Inbox::<M>::new();
    let (for_drain, for_decoding) = (inbox.clone(), inbox.clone());
    let (drain_inputs, decode_inputs) = (inputs.clone(), inputs.clone());
    tasks.spawn(async move {
        camera::drain(messages, for_drain, drain_inputs).await;
        Some("the camera's subscription")
    });
    tasks.spawn_blocking(move || {
        camera::decode(&for_decoding, &decode_inputs);
        Some("the decoder")
    });
    Ok(inbox)
}

fn spawn_engine(config: &Config, inputs: Inputs) -> Result<Engine, NodeError> {
    let options = LoadOptions {
        path: config.model.path.clone().into(),
        chat_template: config.model.chat_template,
        max_pixels: config.max_pixels(),
        max_instruction_tokens: config.model.max_instruction_tokens,
    };
    let load = move || Qwen3Vl::load(&options);
    Ok(Engine::spawn(load, ENGINE_QUEUE, move |event| inputs.send(Input::Engine(event)))?)
}

fn robot_reset(node: &mut Node, config: &Config) -> Result<Option<Arc<RobotReset>>, NodeError> {
    if config.reset.service.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(RobotReset::new(node, &config.reset)?)))
}
