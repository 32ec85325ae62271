//! The ROS 2 node.

use std::process::ExitCode;

fn main() -> ExitCode {
    topreward::ros::run()
}
