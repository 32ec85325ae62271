//! From the subscription to frames: a task takes messages out of r2r's short queue and hands them on, undecoded.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tokio::task::AbortHandle;

use super::driver::{Input, Inputs, Tasks};
use super::image_msg::CameraMessage;
use crate::config::{CameraSource, Transport};
use crate::episode::DropReason;

/// Messages that may wait for the driver: a second of a 30 Hz camera.
const CAPACITY: usize = 30;

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

    /// Starts the task that takes the messages of this camera, by its number.
    pub fn open(self, camera: usize, inputs: &Inputs, tasks: &mut Tasks) -> OpenCamera {
        match self {
            Self::Raw(messages) => open(messages, camera, inputs, tasks),
            Self::Compressed(messages) => open(messages, camera, inputs, tasks),
        }
    }
}

/// A camera that is listened to.
pub struct OpenCamera {
    drain: AbortHandle,
}

impl OpenCamera {
    /// Ends the subscription.
    pub fn close(self) {
        self.drain.abort();
    }
}

fn open<M: CameraMessage + WrappedTypesupport>(
    messages: Box<dyn Stream<Item = M> + Send + Unpin>,
    camera: usize,
    inputs: &Inputs,
    tasks: &mut Tasks,
) -> OpenCamera {
    let inputs = inputs.clone();
    let drain = tasks.spawn(async move {
        drain(messages, camera, inputs).await;
        Some("a camera's subscription")
    });
    OpenCamera { drain }
}

/// Takes messages out of the subscription as they come and hands them to the driver. When the driver has too many of
/// them before it, which only happens where the machine is overloaded, a message is lost and counted.
async fn drain<M: CameraMessage>(mut messages: impl Stream<Item = M> + Unpin, camera: usize, inputs: Inputs) {
    let waiting = Arc::new(());
    while let Some(message) = messages.next().await {
        inputs.send(match message.frame() {
            _ if Arc::strong_count(&waiting) > CAPACITY => Input::FramesLost(camera, DropReason::Overrun, 1),
            Ok(frame) => Input::Frame(camera, frame, Ticket { _waiting: waiting.clone() }),
            Err(error) => Input::Undecodable(camera, error),
        });
    }
}

/// Held for as long as a frame waits for the driver.
pub struct Ticket {
    _waiting: Arc<()>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::CameraFrame;
    use crate::episode::image::ImageError;
    use tokio::sync::mpsc::unbounded_channel;

    struct Message;

    impl CameraMessage for Message {
        fn frame(self) -> Result<CameraFrame, ImageError> {
            let undecoded = || Err(ImageError::Empty { width: 0, height: 0 });
            Ok(CameraFrame::new(0, "camera".into(), None, undecoded))
        }
    }

    #[tokio::test]
    async fn what_the_driver_cannot_keep_up_with_is_lost_and_counted() {
        let (sender, mut received) = unbounded_channel();
        let messages = futures::stream::iter((0..CAPACITY + 3).map(|_| Message));
        drain(messages, 0, Inputs(sender)).await;
        let (mut frames, mut lost) = (0, 0);
        while let Ok(input) = received.try_recv() {
            match input {
                Input::Frame(0, ..) => frames += 1,
                Input::FramesLost(0, DropReason::Overrun, 1) => lost += 1,
                _ => panic!("neither a frame nor a lost one"),
            }
        }
        assert_eq!((frames, lost), (CAPACITY, 3));
    }
}
