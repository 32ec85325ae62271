use log::{Level, LevelFilter, Metadata, Record};
use r2r::LogSeverity;

/// Passes what the program logs with the `log` crate to the ROS logger, which filters by `--log-level`.
struct RosLog {
    logger: String,
}

/// Logs through ROS from now on, under the node's name. Only the first call counts.
pub fn install(logger: &str) {
    if log::set_boxed_logger(Box::new(RosLog { logger: logger.to_owned() })).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
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
        let severity = match record.level() {
            Level::Error => LogSeverity::Error,
            Level::Warn => LogSeverity::Warn,
            Level::Info => LogSeverity::Info,
            Level::Debug | Level::Trace => LogSeverity::Debug,
        };
        // C's strings end at the first NUL.
        let text = record.args().to_string().replace('\0', "\u{fffd}");
        let file = record.file().unwrap_or_default();
        r2r::log(&text, &self.logger, file, record.line().unwrap_or_default(), severity);
    }

    fn flush(&self) {}
}
