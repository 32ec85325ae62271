//! From the subscription to frames: one task only takes messages out of r2r's short queue, a thread of its own decodes
//! them. Neither waits for inference.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};

use super::driver::{Input, Inputs};
use super::image_msg::CameraMessage;
use crate::episode::DropReason;

/// Messages that may wait to be decoded: a second of a 30 Hz camera.
pub const CAPACITY: usize = 30;

/// Messages that wait to be decoded; when there are too many, the oldest makes room.
pub struct Inbox<M> {
    state: Mutex<State<M>>,
    arrived: Condvar,
}

struct State<M> {
    waiting: VecDeque<M>,
    closed: bool,
}

impl<M> Inbox<M> {
    pub fn new() -> Arc<Self> {
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
pub trait Close: Send + Sync {
    /// How many messages were still waiting.
    fn close(&self) -> u64;
}

impl<M: Send> Close for Inbox<M> {
    fn close(&self) -> u64 {
        Inbox::close(self)
    }
}

/// Takes messages out of the subscription as they come.
pub async fn drain<M: CameraMessage>(
    mut messages: impl Stream<Item = M> + Unpin,
    inbox: Arc<Inbox<M>>,
    inputs: Inputs,
) {
    while let Some(message) = messages.next().await {
        if inbox.push(message).is_some() {
            inputs.send(Input::FramesLost(DropReason::Overrun, 1));
        }
    }
}

/// Decodes messages until the inbox is closed.
pub fn decode<M: CameraMessage>(inbox: &Inbox<M>, inputs: &Inputs) {
    while let Some(message) = inbox.pop() {
        inputs.send(match message.frame() {
            Ok(frame) => Input::Frame(frame),
            Err(error) => Input::Undecodable(error),
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
