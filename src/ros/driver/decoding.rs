//! Images are decoded beside the driver, one of each camera at a time: a large one must not keep services waiting.

use std::collections::VecDeque;

use super::*;
use crate::episode::DueFrame;
use crate::episode::image::ImageError;
use crate::ros::inbox::Ticket;

/// The frames of one camera that have arrived, in their order.
#[derive(Default)]
pub(super) struct Arrivals {
    /// Whether one is being decoded. The others wait for it: whether they are due depends on it.
    decoding: bool,
    waiting: VecDeque<(CameraFrame, Ticket)>,
}

impl Driver {
    pub(super) fn frame(&mut self, camera: usize, frame: CameraFrame, ticket: Ticket) {
        // While no episode runs nobody decodes it: what was checked when it came has to do.
        let well = self.session.running().is_none();
        self.diagnostics.image_arrived(camera, frame.stamp_ns, well);
        self.arrivals[camera].waiting.push_back((frame, ticket));
        self.look_at_arrivals(camera);
    }

    /// An image that was due is decoded, or cannot be.
    pub(super) fn decoded(&mut self, camera: usize, frame: DecodedFrame) {
        self.arrivals[camera].decoding = false;
        let before = self.session.cameras()[camera].samples();
        let due = self.session.decoded(camera, frame);
        if self.session.cameras()[camera].samples() > before {
            self.diagnostics.decoded(camera);
        }
        self.decode_if_due(camera, due);
        // What a frame makes the session do comes before the next one.
        self.carry_out();
        self.look_at_arrivals(camera);
    }

    /// The newest episode's.
    pub(super) fn episode_id(&self) -> Option<u64> {
        self.session.newest_episode().map(|episode| episode.episode_id)
    }

    /// An episode has begun that these frames came before.
    pub(super) fn drop_arrivals(&mut self) {
        for (camera, arrivals) in self.arrivals.iter_mut().enumerate() {
            let frames = arrivals.waiting.drain(..).count() as u64;
            if frames > 0 {
                self.session.frames_lost(camera, DropReason::NoEpisode, frames);
            }
        }
    }

    fn look_at_arrivals(&mut self, camera: usize) {
        while !self.arrivals[camera].decoding
            && let Some((frame, _)) = self.arrivals[camera].waiting.pop_front()
        {
            let due = self.session.frame(camera, frame);
            self.decode_if_due(camera, due);
            self.carry_out();
        }
    }

    fn decode_if_due(&mut self, camera: usize, due: Result<Option<DueFrame>, ImageError>) {
        match due {
            Ok(Some(frame)) => {
                self.arrivals[camera].decoding = true;
                self.background.decode(camera, frame);
            }
            Ok(None) => {}
            Err(error) => self.diagnostics.undecodable(camera, error),
        }
    }
}
