use std::collections::{BTreeSet, HashSet};
use std::mem::Discriminant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use r2r::std_msgs::msg::Header;
use r2r::{Clock, builtin_interfaces::msg::Time};

use super::rcl::graph::Seen;
use super::rcl::lifecycle::State;
use super::rcl::time::stamp_to_ns;
use crate::config::CameraSource;
use crate::episode::FrameAccount;
use crate::episode::image::ImageError;
use crate::live::session::{Camera, Phase, Session, Trouble};
use crate::model::ModelInfo;
use crate::printable;

/// What is known of the model.
#[derive(Debug, Clone)]
pub enum ModelState {
    NotLoaded,
    /// What is being done about it.
    Loading(String),
    Ready(ModelInfo),
    /// Why the last attempt to load it failed.
    Failed(String),
}

/// What is known of one camera, beside what the session counts.
pub struct CameraHealth {
    pub source: CameraSource,
    /// Its full name.
    pub topic: String,
    /// When the last image came, and its stamp in nanoseconds if it had one.
    pub last_image: Option<(Instant, Option<i64>)>,
    /// Why the last image could not be used.
    pub error: Option<ImageError>,
    /// Publishers on the topic, and why their messages do not arrive.
    pub publishers: usize,
    pub obstacles: Vec<String>,
    offered_before: u64,
    /// Which kinds of errors were logged.
    logged: HashSet<Discriminant<ImageError>>,
    /// Whether it was logged how far its stamps are from the node's clock.
    logged_offset: bool,
}

impl CameraHealth {
    pub fn new(source: CameraSource, topic: String) -> Self {
        Self {
            source,
            topic,
            last_image: None,
            error: None,
            publishers: 0,
            obstacles: Vec::new(),
            offered_before: 0,
            logged: HashSet::new(),
            logged_offset: false,
        }
    }

    /// It is listened to from now on.
    pub fn begin(&mut self) {
        (self.last_image, self.error, self.logged_offset) = (None, None, false);
        self.logged.clear();
    }

    /// Says once how far the stamps are from the node's clock.
    fn look_at_offset(&mut self, ros_now_ns: i64) {
        let Some((_, Some(stamp_ns))) = self.last_image else { return };
        let behind_s = ros_now_ns.saturating_sub(stamp_ns) as f64 / 1e9;
        if behind_s.abs() > FAR_S && !self.logged_offset {
            self.logged_offset = true;
            log::info!(
                "camera {}: its stamps are {:.1} s {} the node's clock, and are taken as they are: a recording is \
                 played, or one of the clocks is not set (docs/time.md)",
                self.source.name,
                behind_s.abs(),
                if behind_s > 0.0 { "behind" } else { "ahead of" }
            );
        }
    }
}

/// Makes the node's report on /diagnostics.
pub struct Diagnostics {
    /// The node's full name, e.g. `/arm/topreward`.
    pub name: String,
    clock: Arc<Mutex<Clock>>,
    pub model: ModelState,
    pub cameras: Vec<CameraHealth>,
    last_report: Option<Instant>,
    /// What was warned about in the graph.
    warned: BTreeSet<String>,
}

/// An image that is late by this much is missed. Slow cameras send one a second.
const MISSED_AFTER: Duration = Duration::from_secs(2);

/// Stamps that are so many seconds from the node's clock are of another time.
const FAR_S: f64 = 10.0;

type Level = i8;
const OK: Level = DiagnosticStatus::OK as Level;
const WARN: Level = DiagnosticStatus::WARN as Level;
const ERROR: Level = DiagnosticStatus::ERROR as Level;

impl Diagnostics {
    pub fn new(name: String, clock: Arc<Mutex<Clock>>, cameras: Vec<CameraHealth>) -> Self {
        Self {
            name,
            clock,
            model: ModelState::NotLoaded,
            cameras,
            last_report: None,
            warned: BTreeSet::new(),
        }
    }

    /// `queued` requests wait for the model.
    pub fn report(&mut self, session: &Session, state: State, queued: usize) -> DiagnosticArray {
        let now = Instant::now();
        let since = self.last_report.replace(now).map(|before| now.duration_since(before));
        let mut status = vec![
            self.model_status(session, state),
            self.episode_status(session),
            self.frames_status(session),
            self.latency_status(session, queued),
        ];
        let ros_now_ns = stamp_to_ns(&self.now());
        self.cameras.iter_mut().for_each(|health| health.look_at_offset(ros_now_ns));
        for (number, (health, camera)) in self.cameras.iter().zip(session.cameras()).enumerate() {
            let rate_hz = since
                .map(|since| (camera.account().offered - health.offered_before) as f64 / since.as_secs_f64());
            let trouble = session.trouble(number);
            status.push(self.camera_status((health, camera), trouble, state, rate_hz, ros_now_ns));
        }
        for (health, camera) in self.cameras.iter_mut().zip(session.cameras()) {
            health.offered_before = camera.account().offered;
        }
        DiagnosticArray { header: Header { stamp: self.now(), frame_id: String::new() }, status }
    }

    /// A camera has sent an image. `well`: nothing is wrong with it as far as anyone looks.
    pub fn image_arrived(&mut self, camera: usize, stamp_ns: i64, well: bool) {
        let health = &mut self.cameras[camera];
        health.last_image = Some((Instant::now(), Some(stamp_ns)));
        if well {
            health.error = None;
        }
    }

    /// An image was decoded, which alone shows that a camera whose images could not be used is well again.
    pub fn decoded(&mut self, camera: usize) {
        self.cameras[camera].error = None;
    }

    /// An image cannot be used. A broken camera is logged once and not 30 times a second.
    pub fn undecodable(&mut self, camera: usize, error: ImageError) {
        let health = &mut self.cameras[camera];
        health.last_image = Some((Instant::now(), None));
        // However good and bad images alternate.
        if health.logged.insert(std::mem::discriminant(&error)) {
            log::error!(
                "{}: an image cannot be decoded (later ones are only counted): {error}",
                health.topic
            );
        }
        health.error = Some(error);
    }

    /// Logs a warning, unless it was logged before.
    pub fn warn_once(&mut self, warning: &str) {
        if self.warned.insert(warning.to_owned()) {
            log::warn!("{warning}");
        }
    }

    /// What the graph says of the topics; each obstacle is logged once.
    pub fn graph(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            for obstacle in &seen.obstacles {
                self.warn_once(obstacle);
            }
            if let Some(health) = self.cameras.iter_mut().find(|camera| camera.topic == seen.topic) {
                health.publishers = seen.publishers;
                health.obstacles = seen.obstacles;
            }
        }
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
            // Names and values of others are in it.
            message: printable::message(message),
            hardware_id: self.name.clone(),
            values: values
                .into_iter()
                .map(|(key, value)| KeyValue { key, value: printable::message(&value) })
                .collect(),
        }
    }

    fn model_status(&self, session: &Session, state: State) -> DiagnosticStatus {
        let mut values = vec![pair("lifecycle", state.label())];
        let info = match &self.model {
            ModelState::NotLoaded => return self.status("model", WARN, "not loaded", values),
            ModelState::Loading(what) => return self.status("model", WARN, what, values),
            ModelState::Failed(why) => return self.status("model", ERROR, why, values),
            ModelState::Ready(info) => info,
        };
        values.extend([
            pair("path", &info.path),
            pair("fingerprint", &info.fingerprint),
            pair("parameters", info.parameters),
            pair("max_pixels", info.max_pixels),
            pair("dtype", info.dtype),
            pair("chat_template", info.chat_template),
        ]);
        match session.last_error() {
            Some(error) => self.status("model", ERROR, error, values),
            None => self.status("model", OK, "ready", values),
        }
    }

    fn episode_status(&self, session: &Session) -> DiagnosticStatus {
        let mut values = vec![
            pair("instruction", session.instruction()),
            pair("verdict", session.verdict().as_str()),
            pair("verdict_explained", session.verdict()),
            pair("mean_nats", or_dash(session.verdict().mean_nats().map(|nats| format!("{nats:.4}")))),
        ];
        if let Some(running) = session.running() {
            values.push(pair("episode_id", running.episode_id));
            values.push(pair("frames", running.frames));
            if let Some(newest) = &running.newest {
                values.push(pair("progress", format!("{:.3}", newest.progress)));
                values.push(pair("log_prob_true", format!("{:.4}", newest.score.reading.log_prob_true)));
            }
        }
        match session.phase() {
            Phase::ResetFailed(reason) => {
                let message = format!("the robot was not reset: {reason}; ~/start_episode goes on");
                self.status("episode", ERROR, &message, values)
            }
            phase @ (Phase::NoInstruction | Phase::Inactive) => {
                self.status("episode", WARN, phase.as_str(), values)
            }
            phase => match troubles(session) {
                troubles if troubles.is_empty() => self.status("episode", OK, phase.as_str(), values),
                troubles => {
                    let message = format!("{}; {troubles}", phase.as_str());
                    self.status("episode", WARN, &message, values)
                }
            },
        }
    }

    fn frames_status(&self, session: &Session) -> DiagnosticStatus {
        let account = session.account();
        let values = account_values(&account);
        match account.pending() {
            None => self.status("frames", ERROR, "the account does not add up: please report this", values),
            Some(_) => self.status("frames", OK, "accounted for", values),
        }
    }

    fn camera_status(
        &self,
        (health, camera): (&CameraHealth, &Camera),
        trouble: Option<Trouble>,
        state: State,
        rate_hz: Option<f64>,
        ros_now_ns: i64,
    ) -> DiagnosticStatus {
        let age = health.last_image.map(|(arrival, _)| arrival.elapsed());
        let stamp_age = health.last_image.and_then(|(_, stamp_ns)| Some(ros_now_ns - stamp_ns?));
        let mut values = vec![
            pair("topic", &health.topic),
            pair("publishers", health.publishers),
            pair("rate_hz", or_dash(rate_hz.map(|rate| format!("{rate:.1}")))),
            pair("age_s", or_dash(age.map(|age| format!("{:.2}", age.as_secs_f64())))),
            pair("stamp_age_s", or_dash(stamp_age.map(|age| format!("{:.2}", age as f64 / 1e9)))),
        ];
        values.extend(account_values(camera.account()));
        let late = age.filter(|age| *age > MISSED_AFTER);
        let (level, message) = match (&health.error, late) {
            _ if state != State::Active => (OK, "not listened to".to_owned()),
            _ if !health.obstacles.is_empty() => (ERROR, health.obstacles.join("; ")),
            (Some(error), _) => (ERROR, format!("its images cannot be used: {error}")),
            _ if age.is_none() => (WARN, format!("no image has arrived on {}", health.topic)),
            (None, Some(age)) => (WARN, format!("no image for {:.0} s", age.as_secs_f64())),
            (None, None) => match trouble {
                Some(trouble) => (WARN, trouble.to_string()),
                None => (OK, "images come".to_owned()),
            },
        };
        self.status(&format!("camera {}", camera.name), level, &message, values)
    }

    fn latency_status(&self, session: &Session, queued: usize) -> DiagnosticStatus {
        let shown = |share| or_dash(session.latencies().percentile(share).map(milliseconds));
        let values = vec![
            pair("queued", queued),
            pair("p50_ms", shown(0.5)),
            pair("p95_ms", shown(0.95)),
            pair("p99_ms", shown(0.99)),
        ];
        self.status("latency", OK, "from the moment a frame is handed to the model to its score", values)
    }
}

/// What is wrong with the cameras of the running episode.
fn troubles(session: &Session) -> String {
    let named = session.cameras().iter().enumerate();
    let troubles = named.filter_map(|(number, camera)| Some((camera, session.trouble(number)?)));
    troubles
        .map(|(camera, trouble)| format!("camera {}: {trouble}", camera.name))
        .collect::<Vec<_>>()
        .join("; ")
}

fn account_values(account: &FrameAccount) -> Vec<(String, String)> {
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
    values
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
