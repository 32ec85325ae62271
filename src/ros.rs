//! The ROS 2 side: the only room that names r2r.
//!
//! [`node`] starts everything, [`driver`] is the one task that owns the [`Session`](crate::session::Session); the
//! camera, the services, the engine and the robot's reset tell it what happened over one channel.

mod arguments;
mod camera;
mod diagnostics;
mod driver;
mod error;
mod executor;
mod graph;
mod image_msg;
mod lifecycle;
mod lifecycle_services;
mod logging;
mod names;
mod node;
mod overlay;
mod parameter_services;
mod params;
mod publish;
mod reset;
mod services;
mod signals;
pub mod time;
mod transitions;

pub use arguments::{context, own_arguments};
pub use error::NodeError;
pub use logging::install as log_through_ros;
pub use node::run;
