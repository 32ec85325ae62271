//! The ROS 2 side: the only room that names r2r.
//!
//! [`node`] starts everything. [`driver`] is the one task that owns the [`Session`](crate::live::session::Session): the
//! cameras, the services, the engine and the robot's reset send it what happened over one channel, whose messages are in
//! [`inbox`].

mod background;
mod camera;
mod clock;
mod diagnostics;
mod driver;
mod ending;
mod error;
mod image_msg;
mod inbox;
mod node;
mod overlay;
mod parameter_store;
mod params;
mod publish;
mod rcl;
mod robot_reset;
mod services;
mod signals;

pub use error::NodeError;
pub use node::run;
pub use rcl::arguments::{context, own_arguments};
pub use rcl::logging::install as log_through_ros;
pub use rcl::time;
