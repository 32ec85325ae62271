use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Metadata, Record};
use r2r::rcl_interfaces::msg::Log;
use r2r::{Clock, LogSeverity, Node, Publisher, QosProfile};

use crate::printable;

/// Passes on what the program logs with the `log` crate: to the ROS logger, which filters by `--log-level` and writes to
/// the terminal, and to /rosout, which r2r leaves out.
struct RosLog {
    logger: String,
}

/// Where /rosout is, once there is a node that publishes it.
static ROSOUT: OnceLock<Rosout> = OnceLock::new();

struct Rosout {
    publisher: Mutex<Publisher<Log>>,
    clock: Arc<Mutex<Clock>>,
}

/// Logs through ROS from now on, under the node's name. Only the first call counts.
pub fn install(logger: &str) {
    if log::set_boxed_logger(Box::new(RosLog { logger: logger.to_owned() })).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// What is logged from now on, from INFO up, goes to /rosout too. Only the first call counts.
pub fn publish(node: &mut Node) -> r2r::Result<()> {
    // As rcl has it: whoever joins late reads what was logged in the last ten seconds.
    let qos = QosProfile::default().reliable().transient_local().keep_last(1000);
    let qos = qos.lifespan(Duration::from_secs(10));
    let publisher = Mutex::new(node.create_publisher("/rosout", qos)?);
    let rosout = Rosout { publisher, clock: node.get_ros_clock() };
    // A second node in one process would log under the first one's name.
    let _ = ROSOUT.set(rosout);
    Ok(())
}

impl log::Log for RosLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // r2r logs while it holds the lock that its own log function takes.
        metadata.target().starts_with("topreward")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // What images and parameters name may hold what a terminal obeys, and a NUL, at which C's strings end.
        let text = printable::message(&record.args().to_string());
        let file = record.file().unwrap_or_default();
        let line = record.line().unwrap_or_default();
        let (severity, level) = match record.level() {
            Level::Error => (LogSeverity::Error, Some(Log::ERROR as u8)),
            Level::Warn => (LogSeverity::Warn, Some(Log::WARN as u8)),
            Level::Info => (LogSeverity::Info, Some(Log::INFO as u8)),
            Level::Debug | Level::Trace => (LogSeverity::Debug, None),
        };
        r2r::log(&text, &self.logger, file, line, severity);
        if let (Some(level), Some(rosout)) = (level, ROSOUT.get()) {
            rosout.publish(Log {
                level,
                name: self.logger.clone(),
                msg: text,
                file: file.to_owned(),
                line,
                ..Default::default()
            });
        }
    }

    fn flush(&self) {}
}

impl Rosout {
    fn publish(&self, message: Log) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = clock.get_now().map(|now| Clock::to_builtin_time(&now)).unwrap_or_default();
        drop(clock);
        // The failure cannot be logged: this is the log.
        let _ =
            self.publisher.lock().unwrap_or_else(PoisonError::into_inner).publish(&Log { stamp, ..message });
    }
}
