//! The one thread that owns the model: a bounded queue in, events out, the newest prefix first.
//!
//! Whatever piled up while the model was busy becomes one piece of work: all its frames are appended, only the newest
//! prefix is scored, and the rest is counted as coalesced. Requests of an episode that a newer one has replaced are
//! discarded unseen.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::episode::{DropReason, Frame, PrefixRequest};
use crate::model::{InstructionCheck, ModelInfo, Probe, VideoVlm, VlmError};
use crate::reward::{BiasControl, Reading};

mod batch;

/// A scored prefix of a running episode: the reading, and what it is of.
#[derive(Debug, Clone)]
pub struct PrefixScore {
    pub camera: usize,
    pub episode_id: u64,
    pub instruction: Arc<str>,
    /// Stamp and frame of reference of the newest frame.
    pub stamp_ns: i64,
    pub frame_id: Arc<str>,
    /// The newest frame, where a request brought it.
    pub frame: Option<Frame>,
    /// What the model said. Its age is from the submission of the newest request to this.
    pub reading: Reading,
    /// What of the age was inference, over all frames of the batch.
    pub inference: Duration,
}

impl PrefixScore {
    /// The reading's age.
    pub fn latency(&self) -> Duration {
        Duration::try_from_secs_f64(self.reading.age_s).unwrap_or_default()
    }
}

/// How the engine works.
#[derive(Debug, Clone, Copy)]
pub struct EngineSettings {
    /// Requests that may wait.
    pub capacity: usize,
    /// Whether an unchanged scene is scored beside each episode.
    pub control: BiasControl,
}

/// What the engine reports, in the order of its work.
#[derive(Debug)]
pub enum EngineEvent {
    Ready(ModelInfo, InstructionCheck),
    /// The model could not be loaded; the engine has stopped.
    LoadFailed(VlmError),
    /// A prefix was scored; `new_frames` of the queue went into it (0 when only the instruction was new).
    Scored {
        score: PrefixScore,
        new_frames: u64,
    },
    /// Frames that the model has seen and that were not to be scored.
    Appended {
        camera: usize,
        frames: u64,
    },
    /// A batch failed: its `frames` are not scored, the engine goes on.
    Failed {
        camera: usize,
        episode_id: u64,
        frames: u64,
        error: VlmError,
    },
    /// Frames left the queue unseen.
    Discarded {
        camera: usize,
        frames: u64,
        reason: DropReason,
    },
    /// The engine has stopped, as asked.
    Stopped,
    /// The engine's thread panicked. Nothing more will come; the program should end.
    Died(String),
}

/// The request was not taken: the queue holds as many frames as it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's queue is full ({0} requests)")]
pub struct QueueFull(pub usize);

/// A handle on the engine's thread.
pub struct Engine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Waiting>,
    capacity: usize,
    /// What the model remembers of the episode is to be thrown away.
    forget: bool,
    stop: bool,
}

enum Work {
    Batch(Vec<Waiting>),
    Forget,
    Stop,
}

type Waiting = (PrefixRequest, Instant);

impl Engine {
    /// Starts the thread, which loads the model and then works off the queue. `sink` is called on that thread and
    /// should only pass the event on.
    pub fn spawn<V, L, S>(load: L, settings: EngineSettings, mut sink: S) -> std::io::Result<Self>
    where
        V: VideoVlm,
        L: FnOnce() -> Result<V, VlmError> + Send + 'static,
        S: FnMut(EngineEvent) + Send + 'static,
    {
        let queue = Mutex::new(Queue { capacity: settings.capacity, ..Queue::default() });
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        let on_thread = shared.clone();
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
            let work = AssertUnwindSafe(|| load_and_work(load, settings, &on_thread, &mut sink));
            if let Err(panic) = catch_unwind(work) {
                sink(EngineEvent::Died(panic_text(panic.as_ref())));
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a request. Never waits for inference.
    pub fn submit(&self, request: PrefixRequest) -> Result<(), QueueFull> {
        let mut queue = self.shared.lock();
        if queue.requests.len() >= queue.capacity {
            return Err(QueueFull(queue.capacity));
        }
        queue.requests.push_back((request, Instant::now()));
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// Takes back the requests that wait, and asks the thread to free the episode's memory after the inference under
    /// way. The model stays. Does not wait.
    pub fn forget(&self) -> Vec<PrefixRequest> {
        let mut queue = self.shared.lock();
        queue.forget = true;
        let waiting = queue.requests.drain(..).map(|(request, _)| request).collect();
        drop(queue);
        self.shared.changed.notify_one();
        waiting
    }

    /// Asks the thread to stop after the inference under way; [`EngineEvent::Stopped`] follows. Does not wait.
    pub fn request_stop(&self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
    }

    /// Asks the thread to stop and waits for it.
    pub fn stop(mut self) {
        self.request_stop();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported as `Died`.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.request_stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock, and a queue is whole between any two statements.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work.
    fn next(&self) -> Work {
        let mut queue = self.lock();
        while queue.requests.is_empty() && !queue.stop && !queue.forget {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.stop {
            Work::Stop
        } else if std::mem::take(&mut queue.forget) {
            Work::Forget
        } else {
            Work::Batch(queue.requests.drain(..).collect())
        }
    }

    fn drain(&self) -> Vec<Waiting> {
        self.lock().requests.drain(..).collect()
    }
}

fn load_and_work<V: VideoVlm>(
    load: impl FnOnce() -> Result<V, VlmError>,
    settings: EngineSettings,
    shared: &Shared,
    sink: &mut impl FnMut(EngineEvent),
) {
    let model = match load() {
        Ok(model) => model,
        Err(error) => return sink(EngineEvent::LoadFailed(error)),
    };
    sink(EngineEvent::Ready(model.info().clone(), model.instruction_check()));
    let mut episode = Episode { id: 0, cameras: BTreeMap::new() };
    loop {
        match shared.next() {
            Work::Batch(batch) => work_off(&model, settings, &mut episode, batch, sink),
            Work::Forget => episode.cameras.clear(),
            Work::Stop => break,
        }
    }
    discard(shared.drain(), DropReason::Shutdown, sink);
    drop(model); // `Stopped` says that its memory is free
    sink(EngineEvent::Stopped);
}

/// The episode that the model has in memory, by camera.
struct Episode<E> {
    id: u64,
    cameras: BTreeMap<usize, Probe<E>>,
}

/// Scores the newest episode of a batch, camera by camera; requests of replaced episodes are discarded.
fn work_off<V: VideoVlm>(
    model: &V,
    settings: EngineSettings,
    episode: &mut Episode<V::Episode>,
    batch: Vec<Waiting>,
    sink: &mut impl FnMut(EngineEvent),
) {
    let newest = batch.iter().map(|(request, _)| request.episode_id).max().unwrap_or_default();
    let (wanted, replaced): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|(request, _)| request.episode_id == newest);
    discard(replaced, DropReason::EpisodeEnded, sink);
    if episode.id != newest {
        // The old episode's memory is freed before the new one takes its own.
        *episode = Episode { id: newest, cameras: BTreeMap::new() };
    }
    for (camera, requests) in by_camera(wanted) {
        let probe = episode.cameras.entry(camera).or_insert_with(|| Probe::new(model, settings.control));
        batch::work_off(probe, model, camera, requests, sink);
    }
}

fn by_camera(requests: Vec<Waiting>) -> BTreeMap<usize, Vec<Waiting>> {
    let mut cameras: BTreeMap<usize, Vec<Waiting>> = BTreeMap::new();
    for waiting in requests {
        cameras.entry(waiting.0.camera).or_default().push(waiting);
    }
    cameras
}

fn discard(requests: Vec<Waiting>, reason: DropReason, sink: &mut impl FnMut(EngineEvent)) {
    for (camera, requests) in by_camera(requests) {
        let frames = new_frames(&requests);
        if frames > 0 {
            sink(EngineEvent::Discarded { camera, frames, reason });
        }
    }
}

fn new_frames(requests: &[Waiting]) -> u64 {
    requests.iter().filter(|(request, _)| request.new_frame.is_some()).count() as u64
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    (panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests;
