//! From the subscription to frames: a task takes messages out of r2r's short queue and hands them on, undecoded.

use futures::{Stream, StreamExt};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tokio::task::AbortHandle;

use super::background::Background;
use super::clock::NodeClock;
use super::image_msg::CameraMessage;
use super::inbox::{CameraMessages, Input, Inputs, Ticket};
use super::rcl::graph::Listening;
use crate::config::{CameraSource, Transport};
use crate::episode::{CameraFrame, DropReason, StampSource};

/// Messages that may wait for the driver: a second of a 30 Hz camera.
const CAPACITY: usize = 30;

/// The message type of a transport, as the graph writes it.
fn message_type(transport: Transport) -> &'static str {
    match transport {
        Transport::Raw => "sensor_msgs/msg/Image",
        Transport::Compressed => "sensor_msgs/msg/CompressedImage",
    }
}

/// What the cameras' part of the graph is to be watched for.
pub fn listening(sources: &[CameraSource], full_name: impl Fn(&str) -> String) -> Vec<Listening> {
    let listening = |source: &CameraSource| Listening {
        topic: full_name(&source.topic),
        message_type: message_type(source.transport),
        reliable: false,
    };
    sources.iter().map(listening).collect()
}

/// Subscribes to a camera; its messages wait until [`OpenCamera::new`] begins to take them.
pub fn subscribe(node: &mut Node, source: &CameraSource) -> r2r::Result<CameraMessages> {
    // Deeper than sensor data usually is: on a busy machine the executor may have to catch up.
    let qos = QosProfile::sensor_data().keep_last(CAPACITY);
    Ok(match source.transport {
        Transport::Raw => CameraMessages::Raw(Box::new(node.subscribe(&source.topic, qos)?)),
        Transport::Compressed => CameraMessages::Compressed(Box::new(node.subscribe(&source.topic, qos)?)),
    })
}

/// When a camera's images come, and whether that is the time they are given.
#[derive(Clone)]
pub struct Arrival {
    pub clock: NodeClock,
    pub stamps: StampSource,
}

impl Arrival {
    fn of(&self, frame: CameraFrame) -> CameraFrame {
        let mut frame = frame.received(self.clock.elapsed_ns());
        if self.stamps == StampSource::Receipt {
            frame.stamp_ns = self.clock.stamp_ns();
        }
        frame
    }
}

/// A subscription whose messages are taken.
pub struct OpenCamera {
    drain: AbortHandle,
}

impl OpenCamera {
    /// Starts the task that takes the messages of a camera, by its number.
    pub fn new(
        messages: CameraMessages,
        camera: usize,
        arrival: Arrival,
        background: &mut Background,
    ) -> Self {
        match messages {
            CameraMessages::Raw(messages) => open(messages, camera, arrival, background),
            CameraMessages::Compressed(messages) => open(messages, camera, arrival, background),
        }
    }

    /// Ends the subscription.
    pub fn close(self) {
        self.drain.abort();
    }
}

fn open<M: CameraMessage + WrappedTypesupport>(
    messages: Box<dyn Stream<Item = M> + Send + Unpin>,
    camera: usize,
    arrival: Arrival,
    background: &mut Background,
) -> OpenCamera {
    let work = drain(messages, camera, arrival, background.inputs());
    OpenCamera { drain: background.spawn_for_good("a camera's subscription", work) }
}

/// Takes messages out of the subscription as they come and hands them to the driver. When the driver has too many of
/// them before it, which only happens where the machine is overloaded, a message is lost and counted.
async fn drain<M: CameraMessage>(
    mut messages: impl Stream<Item = M> + Unpin,
    camera: usize,
    arrival: Arrival,
    inputs: Inputs,
) {
    let ticket = Ticket::default();
    while let Some(message) = messages.next().await {
        inputs.send(match message.frame() {
            _ if ticket.held() > CAPACITY => Input::FramesLost(camera, DropReason::Overrun, 1),
            Ok(frame) => Input::Frame(camera, arrival.of(frame), ticket.clone()),
            Err(error) => Input::Undecodable(camera, error),
        });
    }
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

    #[test]
    fn a_camera_that_does_not_stamp_gets_the_time_of_receipt() {
        let clock = NodeClock::steady();
        for (stamps, stamped) in [(StampSource::Header, false), (StampSource::Receipt, true)] {
            let arrival = Arrival { clock: clock.clone(), stamps };
            let frame = arrival.of(Message.frame().unwrap());
            assert_eq!(frame.stamp_ns > 0, stamped);
            assert!(frame.received_ns.is_some());
        }
    }

    #[tokio::test]
    async fn what_the_driver_cannot_keep_up_with_is_lost_and_counted() {
        let (sender, mut received) = unbounded_channel();
        let messages = futures::stream::iter((0..CAPACITY + 3).map(|_| Message));
        let arrival = Arrival { clock: NodeClock::steady(), stamps: StampSource::Header };
        drain(messages, 0, arrival, Inputs(sender)).await;
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
