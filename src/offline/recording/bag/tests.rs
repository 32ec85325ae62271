//! Bags are made here of the frames of the recorded episodes, as rosbag2 and other writers make them.

mod choosing;
mod cutting;
mod fixtures;
mod storages;
