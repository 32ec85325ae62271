//! Episodes: which frames belong to one, which of them are scored, and what became of every frame offered.
//! Pure state machines: no clock, no channel, no thread.

mod account;
mod buffer;
mod change;
mod frame;
pub mod image;
mod sampler;
mod signal;

pub use account::{DropReason, FrameAccount};
pub use buffer::{Applied, EndReason, EpisodeBuffer, EpisodeEvent, EpisodeLimits, PrefixRequest};
pub use change::{Change, ChangeMeter};
pub use frame::{CameraFrame, Frame};
pub use sampler::{Admission, Sampler, SamplerError, TIME_JUMP_NS};
pub use signal::{Recorder, Signal};
