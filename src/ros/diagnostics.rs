use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use r2r::std_msgs::msg::Header;
use r2r::{Clock, builtin_interfaces::msg::Time};

use crate::session::{Phase, Session};
use crate::vlm::ModelInfo;

/// Makes the node's report on /diagnostics.
pub struct Diagnostics {
    /// The node's full name, e.g. `/arm/topreward`.
    pub name: String,
    /// The camera topic.
    pub camera: String,
    pub clock: Arc<Mutex<Clock>>,
    /// `None` until the model is loaded.
    pub model: Option<ModelInfo>,
    /// Frames offered at the last report.
    pub offered_before: u64,
}

type Level = i8;
const OK: Level = DiagnosticStatus::OK as Level;
const WARN: Level = DiagnosticStatus::WARN as Level;
const ERROR: Level = DiagnosticStatus::ERROR as Level;

impl Diagnostics {
    pub fn report(&mut self, session: &Session) -> DiagnosticArray {
        let status = vec![
            self.model_status(session),
            self.episode_status(session),
            self.frames_status(session),
            self.latency_status(session),
        ];
        self.offered_before = session.account().offered;
        DiagnosticArray { header: Header { stamp: self.now(), frame_id: String::new() }, status }
    }

    /// ROS time.
    pub fn now(&self) -> Time {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.get_now().map(|now| Clock::to_builtin_time(&now)).unwrap_or_default()
    }

    fn status(
        &self,
        part: &str,
        level: Level,
        message: &str,
        values: Vec<(String, String)>,
    ) -> DiagnosticStatus {
        DiagnosticStatus {
            level: level as _,
            name: format!("{}: {part}", self.name),
            message: message.to_owned(),
            hardware_id: self.camera.clone(),
            values: values.into_iter().map(|(key, value)| KeyValue { key, value }).collect(),
        }
    }

    fn model_status(&self, session: &Session) -> DiagnosticStatus {
        let Some(info) = &self.model else {
            return self.status("model", WARN, "loading", Vec::new());
        };
        let values = vec![
            pair("path", &info.path),
            pair("parameters", info.parameters),
            pair("max_pixels", info.max_pixels),
            pair("chat_template", info.chat_template),
        ];
        match session.last_error() {
            Some(error) => self.status("model", ERROR, error, values),
            None => self.status("model", OK, "ready", values),
        }
    }

    fn episode_status(&self, session: &Session) -> DiagnosticStatus {
        let mut values = vec![
            pair("instruction", session.instruction()),
            pair("verdict", session.verdict().as_str()),
            pair("mean_nats", or_dash(session.verdict().mean_nats().map(|nats| format!("{nats:.4}")))),
        ];
        if let Some(running) = session.running() {
            values.push(pair("episode_id", running.episode_id));
            values.push(pair("frames", running.frames));
            if let Some(newest) = &running.newest {
                values.push(pair("progress", format!("{:.3}", newest.progress)));
                values.push(pair("log_prob_true", format!("{:.4}", newest.score.log_probs.log_prob_true)));
            }
        }
        match session.phase() {
            Phase::ResetFailed(reason) => {
                let message = format!("the robot was not reset: {reason}; ~/start_episode goes on");
                self.status("episode", ERROR, &message, values)
            }
            phase @ (Phase::NoInstruction | Phase::Loading) => {
                self.status("episode", WARN, phase.as_str(), values)
            }
            phase => self.status("episode", OK, phase.as_str(), values),
        }
    }

    fn frames_status(&self, session: &Session) -> DiagnosticStatus {
        let account = session.account();
        let mut values = vec![
            pair("offered", account.offered),
            pair("scored", account.scored),
            pair("coalesced", account.coalesced),
            pair("skipped", account.skipped),
            pair("dropped", account.dropped()),
            pair("pending", or_dash(account.pending())),
        ];
        let reasons = account.dropped_by_reason();
        values.extend(reasons.map(|(reason, frames)| pair(&format!("dropped.{}", reason.as_str()), frames)));
        let silent = account.offered == self.offered_before && *session.phase() == Phase::Running;
        match account.pending() {
            None => self.status("frames", ERROR, "the account does not add up: please report this", values),
            Some(_) if silent => self.status("frames", WARN, "no frame came since the last report", values),
            Some(_) => self.status("frames", OK, "accounted for", values),
        }
    }

    fn latency_status(&self, session: &Session) -> DiagnosticStatus {
        let shown = |share| or_dash(session.latencies().percentile(share).map(milliseconds));
        let values =
            vec![pair("p50_ms", shown(0.5)), pair("p95_ms", shown(0.95)), pair("p99_ms", shown(0.99))];
        self.status("latency", OK, "from a frame's hand-over to the model to its score", values)
    }
}

fn milliseconds(latency: Duration) -> String {
    format!("{:.1}", latency.as_secs_f64() * 1e3)
}

fn pair(key: &str, value: impl ToString) -> (String, String) {
    (key.to_owned(), value.to_string())
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
