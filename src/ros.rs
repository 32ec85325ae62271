//! The ROS 2 side: the only room that names r2r.
//!
//! [`node`] starts everything, [`driver`] is the one task that owns the [`Session`](crate::live::session::Session); the
//! camera, the services, the engine and the robot's reset tell it what happened over one channel.

mod camera;
mod diagnostics;
mod driver;
mod error;
mod image_msg;
mod node;
mod overlay;
mod params;
mod publish;
mod rcl;
mod reset;
mod services;
mod signals;
mod transitions;

pub use error::NodeError;
pub use node::run;
pub use rcl::arguments::{context, own_arguments};
pub use rcl::logging::install as log_through_ros;
pub use rcl::time;
