//! The messages of the one channel on which everything reaches the driver.
//!
//! They stand apart from who sends them and from the driver, so that both know this file and it knows neither.

use std::sync::Arc;

use futures::Stream;
use r2r::ServiceRequest;
use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::std_srvs::srv::Trigger;
use r2r::topreward::srv::SetInstruction;
use tokio::sync::mpsc::UnboundedSender;

use super::rcl::graph::Seen;
use super::rcl::lifecycle_services::ChangeRequest;
use super::robot_reset::ResetError;
use crate::config::Config;
use crate::episode::image::ImageError;
use crate::episode::{CameraFrame, DecodedFrame, DropReason, Signal};
use crate::live::engine::EngineEvent;
use crate::live::session::ResetTicket;

/// Something that has happened.
pub enum Input {
    /// A camera, by its number, has sent a frame.
    Frame(usize, CameraFrame, Ticket),
    /// A frame that was due is decoded.
    Decoded(usize, DecodedFrame),
    /// An image of a camera cannot be used.
    Undecodable(usize, ImageError),
    /// Images of a camera never became frames, for a reason.
    FramesLost(usize, DropReason, u64),
    Engine(EngineEvent),
    /// How far the loading of the model has come, in words.
    Loading(String),
    /// Someone asks for a transition.
    ChangeState(ChangeRequest),
    /// The cameras are subscribed to, in their order, or not.
    Subscribed(r2r::Result<Vec<CameraMessages>>),
    /// What the graph says of the topics that the node listens to.
    Graph(Vec<Seen>),
    Call(Call),
    /// The parameters of these names were set; the configuration with them.
    Configured(Box<Config>, Vec<String>),
    /// A text came on ~/instruction.
    InstructionTopic(String),
    /// A recorder's signal.
    Signal(Signal),
    ResetAnswered(ResetTicket, Result<(), ResetError>),
    /// The time to settle after a reset is over.
    Settled(ResetTicket),
}

/// A request to one of the node's services.
pub enum Call {
    StartEpisode(ServiceRequest<Trigger::Service>),
    EndEpisode(ServiceRequest<Trigger::Service>),
    ResetEpisode(ServiceRequest<Trigger::Service>),
    ScoreNow(ServiceRequest<Trigger::Service>),
    SetInstruction(ServiceRequest<SetInstruction::Service>),
}

/// The messages of a subscription to a camera.
pub enum CameraMessages {
    Raw(Box<dyn Stream<Item = Image> + Send + Unpin>),
    Compressed(Box<dyn Stream<Item = CompressedImage> + Send + Unpin>),
}

/// Held for as long as a frame waits for the driver: the clones are counted.
#[derive(Clone, Default)]
pub struct Ticket(Arc<()>);

impl Ticket {
    /// How many frames hold one, with the one that is cloned for them.
    pub fn held(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// Sends to the driver. Cheap to clone, never waits.
#[derive(Clone)]
pub struct Inputs(pub UnboundedSender<Input>);

impl Inputs {
    pub fn send(&self, input: Input) {
        // Nobody receives any more when the node is ending.
        let _ = self.0.send(input);
    }
}
