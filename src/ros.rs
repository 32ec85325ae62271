//! The ROS 2 side: the only room that names r2r.
