use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::episode::PrefixRequest;
use crate::live::engine::{Engine, QueueFull};
use crate::model::Calibration;

/// The thread that owns the model, while there is one, and the calibration in use.
#[derive(Default)]
pub struct Model {
    engine: Option<Engine>,
    calibration: Option<Calibration>,
    leaving: Arc<AtomicBool>,
}

/// Why a request was not taken.
pub enum NotTaken {
    /// There is no model.
    NoModel,
    QueueFull,
}

impl From<QueueFull> for NotTaken {
    fn from(_: QueueFull) -> Self {
        Self::QueueFull
    }
}

impl Model {
    /// Its thread was started.
    pub fn started(&mut self, engine: Engine) {
        self.engine = Some(engine);
    }

    /// Its thread has ended and its memory is free.
    pub fn ended(&mut self) {
        self.engine = None;
    }

    pub fn has_thread(&self) -> bool {
        self.engine.is_some()
    }

    /// Set when the process is about to end: cuts short what the model's thread fetches.
    pub fn leaving(&self) -> Arc<AtomicBool> {
        self.leaving.clone()
    }

    /// The process is about to end.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.request_stop();
    }

    /// Whether there is a thread that ends now.
    pub fn request_stop(&self) -> bool {
        self.engine.as_ref().map(Engine::request_stop).is_some()
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.engine.as_ref().map_or(0, Engine::queued)
    }

    /// Hands a prefix to the model.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn submit(&self, request: PrefixRequest) -> Result<(), NotTaken> {
        let engine = self.engine.as_ref().ok_or(NotTaken::NoModel)?;
        Ok(engine.submit(request)?)
    }

    /// Takes back the requests that wait.
    pub fn forget(&self) -> Vec<PrefixRequest> {
        self.engine.as_ref().map(Engine::forget).unwrap_or_default()
    }

    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    pub fn use_calibration(&mut self, calibration: Calibration) {
        self.calibration = Some(calibration);
    }
}
