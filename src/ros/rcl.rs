//! What r2r lacks of a ROS 2 client library: lifecycle, parameter services, names, logging, the graph, arguments.

pub mod arguments;
pub mod executor;
pub mod graph;
pub mod lifecycle;
pub mod lifecycle_services;
pub mod logging;
pub mod names;
pub mod parameter_services;
pub mod time;
