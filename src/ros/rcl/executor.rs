//! The one thread that spins the node. What needs the node while it spins is handed to that thread as a job.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use r2r::Node;

/// The longest that one wait for ROS takes, and so how soon a job or the end is noticed.
pub const SPIN: Duration = Duration::from_millis(50);

pub type Job = Box<dyn FnOnce(&mut Node) + Send>;

/// Hands jobs to the thread. Cheap to clone, never waits.
#[derive(Clone)]
pub struct Executor(Sender<Job>);

impl Executor {
    pub fn new() -> (Self, Receiver<Job>) {
        let (sender, jobs) = channel();
        (Self(sender), jobs)
    }

    pub fn run(&self, job: impl FnOnce(&mut Node) + Send + 'static) {
        // Nobody spins any more when the node is ending.
        let _ = self.0.send(Box::new(job));
    }
}

/// Spins until `stopped`.
pub fn spin(mut node: Node, jobs: &Receiver<Job>, stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        for job in jobs.try_iter() {
            job(&mut node);
        }
        node.spin_once(SPIN);
    }
}
