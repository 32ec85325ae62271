//! What a fetch reports to its caller, and how the caller stops it.

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::HubError;

/// Time between two reports while bytes flow.
const BEAT: Duration = Duration::from_millis(100);

/// What a fetch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Asking the hub for the list of files.
    Asking,
    /// Another process brings the same model.
    WaitingForOther,
    /// Reading what an earlier start has left of a file.
    Checking,
    Downloading,
}

/// How far a fetch has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub activity: Activity,
    /// The file being brought; empty before the first.
    pub file: String,
    /// Bytes of this file that are here.
    pub file_bytes: u64,
    /// Bytes that it will have.
    pub file_total: u64,
    /// Bytes of the model that are here, from this start or an earlier one.
    pub bytes: u64,
    /// Bytes that the model will have; 0 before the hub has answered.
    pub total: u64,
}

impl fmt::Display for Progress {
    /// One line for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.activity {
            Activity::Asking => return f.write_str("asking the hub for the model's files"),
            Activity::WaitingForOther => return f.write_str("another process is downloading the model"),
            Activity::Checking => write!(f, "checking what has been downloaded of {}", self.file)?,
            Activity::Downloading => write!(f, "downloading {}", self.file)?,
        }
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        write!(f, ": {:.1} of {:.1} MB of the model", megabytes(self.bytes), megabytes(self.total))
    }
}

/// The caller's ear and its stop, throttled.
pub(super) struct Watch<'a> {
    report: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    progress: Progress,
    finished_bytes: u64,
    last: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub fn new(report: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Self {
        let progress = Progress {
            activity: Activity::Asking,
            file: String::new(),
            file_bytes: 0,
            file_total: 0,
            bytes: 0,
            total: 0,
        };
        Self { report, progress, finished_bytes: 0, last: None }
    }

    /// Sets the bytes of the whole model.
    pub fn expect(&mut self, total: u64) {
        self.progress.total = total;
    }

    pub fn begin_file(&mut self, name: &str, total: u64) {
        name.clone_into(&mut self.progress.file);
        self.progress.file_total = total;
        self.set_file_bytes(0);
    }

    pub fn end_file(&mut self) {
        self.set_file_bytes(self.progress.file_total);
        self.finished_bytes += self.progress.file_total;
    }

    fn set_file_bytes(&mut self, bytes: u64) {
        self.progress.file_bytes = bytes;
        self.progress.bytes = self.finished_bytes + bytes;
    }

    /// Reports at once.
    pub fn now(&mut self, activity: Activity, file_bytes: u64) -> Result<(), HubError> {
        self.last = None;
        self.at(activity, file_bytes)
    }

    /// Reports when it is time to.
    pub fn at(&mut self, activity: Activity, file_bytes: u64) -> Result<(), HubError> {
        self.progress.activity = activity;
        self.set_file_bytes(file_bytes);
        self.beat()
    }

    /// Reports the same again when it is time to, so that the caller can say stop.
    pub fn beat(&mut self) -> Result<(), HubError> {
        if self.last.is_some_and(|last| last.elapsed() < BEAT) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        match (self.report)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(HubError::Cancelled),
        }
    }

    /// Sleeps, with reports.
    pub fn sleep(&mut self, time: Duration) -> Result<(), HubError> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.beat()?;
            std::thread::sleep(left.min(BEAT));
        }
        self.beat()
    }
}
