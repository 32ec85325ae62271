//! Episodes: which frames belong to one, which of them are scored, and what became of every frame offered.
//! Pure state machines: no clock, no channel, no thread.

mod account;
mod buffer;
mod change;
mod frame;
pub mod image;
mod sampler;
mod signal;
mod stamps;

pub use account::{DropReason, FrameAccount};
pub use buffer::{
    Applied, DecodedFrame, DueFrame, EndReason, EpisodeBuffer, EpisodeLimits, PrefixRequest, SizeStep,
};
pub use change::{Change, ChangeMeter, is_black};
pub use frame::{CameraFrame, Frame};
pub use sampler::{Admission, Sampler, SamplerError};
pub use signal::{Recorder, Signal};
pub use stamps::{
    Believed, ClockStep, Judgement, MAX_STEP_S, NoStampSource, StampRule, StampSource, YEAR_2000_NS, believed,
};
