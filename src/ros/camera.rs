//! From the subscription to frames: one task only takes messages out of r2r's short queue, a thread of its own decodes
//! them. Neither waits for inference.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tokio::task::AbortHandle;

use super::driver::{Input, Inputs, Tasks};
use super::image_msg::CameraMessage;
use crate::config::{CameraSource, Transport};
use crate::episode::DropReason;

/// The message type of a transport, as the graph writes it.
pub fn message_type(transport: Transport) -> &'static str {
    match transport {
        Transport::Raw => "sensor_msgs/msg/Image",
        Transport::Compressed => "sensor_msgs/msg/CompressedImage",
    }
}

/// A camera's messages; [`Subscription::open`] begins to take them.
pub enum Subscription {
    Raw(Box<dyn Stream<Item = Image> + Send + Unpin>),
    Compressed(Box<dyn Stream<Item = CompressedImage> + Send + Unpin>),
}

impl Subscription {
    pub fn new(node: &mut Node, source: &CameraSource) -> r2r::Result<Self> {
        // Deeper than sensor data usually is: on a busy machine the executor may have to catch up.
        let qos = QosProfile::sensor_data().keep_last(CAPACITY);
        Ok(match source.transport {
            Transport::Raw => Self::Raw(Box::new(node.subscribe(&source.topic, qos)?)),
            Transport::Compressed => Self::Compressed(Box::new(node.subscribe(&source.topic, qos)?)),
        })
    }

    /// Starts the tasks that take and decode the messages of this camera, by its number.
    pub fn open(self, camera: usize, inputs: &Inputs, tasks: &mut Tasks) -> OpenCamera {
        match self {
            Self::Raw(messages) => open(messages, camera, inputs, tasks),
            Self::Compressed(messages) => open(messages, camera, inputs, tasks),
        }
    }
}

/// A camera that is listened to.
pub struct OpenCamera {
    inbox: Arc<dyn Close>,
    drain: AbortHandle,
}

impl OpenCamera {
    /// Ends the subscription and the decoding; how many messages were still waiting.
    pub fn close(self) -> u64 {
        self.drain.abort();
        self.inbox.close()
    }
}

fn open<M: CameraMessage + WrappedTypesupport>(
    messages: Box<dyn Stream<Item = M> + Send + Unpin>,
    camera: usize,
    inputs: &Inputs,
    tasks: &mut Tasks,
) -> OpenCamera {
    let inbox = Inbox::<M>::new();
    let (for_drain, for_decoding) = (inbox.clone(), inbox.clone());
    let (drain_inputs, decode_inputs) = (inputs.clone(), inputs.clone());
    let drain = tasks.spawn(async move {
        drain(messages, camera, for_drain, drain_inputs).await;
        Some("a camera's subscription")
    });
    tasks.spawn_blocking(move || {
        decode(camera, &for_decoding, &decode_inputs);
        None // it ends when the inbox is closed
    });
    OpenCamera { inbox, drain }
}

/// Messages that may wait to be decoded: a second of a 30 Hz camera.
const CAPACITY: usize = 30;

/// Messages that wait to be decoded; when there are too many, the oldest makes room.
struct Inbox<M> {
    state: Mutex<State<M>>,
    arrived: Condvar,
}

struct State<M> {
    waiting: VecDeque<M>,
    closed: bool,
}

impl<M> Inbox<M> {
    fn new() -> Arc<Self> {
        let state = State { waiting: VecDeque::with_capacity(CAPACITY), closed: false };
        Arc::new(Self { state: Mutex::new(state), arrived: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; gives back the one that is lost for it.
    fn push(&self, message: M) -> Option<M> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let displaced = if state.waiting.len() == CAPACITY { state.waiting.pop_front() } else { None };
        state.waiting.push_back(message);
        drop(state);
        self.arrived.notify_one();
        displaced
    }

    /// Waits for the next message; `None` when the inbox is closed.
    fn pop(&self) -> Option<M> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed { None } else { state.waiting.pop_front() }
    }

    /// Ends [`Inbox::pop`]; gives back how many messages were still waiting.
    fn close(&self) -> u64 {
        let mut state = self.lock();
        state.closed = true;
        let left = state.waiting.len() as u64;
        state.waiting.clear();
        drop(state);
        self.arrived.notify_all();
        left
    }
}

/// Ends the decoding when the node ends; independent of the message type.
trait Close: Send + Sync {
    /// How many messages were still waiting.
    fn close(&self) -> u64;
}

impl<M: Send> Close for Inbox<M> {
    fn close(&self) -> u64 {
        Inbox::close(self)
    }
}

/// Takes messages out of the subscription as they come.
async fn drain<M: CameraMessage>(
    mut messages: impl Stream<Item = M> + Unpin,
    camera: usize,
    inbox: Arc<Inbox<M>>,
    inputs: Inputs,
) {
    while let Some(message) = messages.next().await {
        if inbox.push(message).is_some() {
            inputs.send(Input::FramesLost(camera, DropReason::Overrun, 1));
        }
    }
}

/// Decodes messages until the inbox is closed.
fn decode<M: CameraMessage>(camera: usize, inbox: &Inbox<M>, inputs: &Inputs) {
    while let Some(message) = inbox.pop() {
        inputs.send(match message.frame() {
            Ok(frame) => Input::Frame(camera, frame),
            Err(error) => Input::Undecodable(camera, error),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let inbox = Inbox::new();
        for i in 0..CAPACITY {
            assert_eq!(inbox.push(i), None);
        }
        assert_eq!(inbox.push(CAPACITY), Some(0));
        assert_eq!(inbox.pop(), Some(1));
        assert_eq!(inbox.close(), CAPACITY as u64 - 1);
        assert_eq!(inbox.pop(), None);
    }

    #[test]
    fn closing_wakes_the_one_who_waits() {
        let inbox = Inbox::<u8>::new();
        let waiting = inbox.clone();
        let thread = std::thread::spawn(move || waiting.pop());
        inbox.close();
        assert_eq!(thread.join().unwrap(), None);
    }
}
