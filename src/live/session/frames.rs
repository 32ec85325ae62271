//! What becomes of a camera's frames.

use super::*;
use crate::episode::image::ImageError;
use crate::episode::{Applied, CameraFrame, PrefixRequest, is_black};

impl Session {
    /// A frame from one of the cameras.
    ///
    /// # Errors
    /// Why its image cannot be used; that is counted.
    pub fn frame(&mut self, camera: usize, frame: CameraFrame) -> Result<(), ImageError> {
        if let Some(received_ns) = frame.received_ns {
            self.pass_time(received_ns);
        }
        self.cameras[camera].account.offered += 1;
        self.cameras[camera].watch.heard(self.passing.now_ns());
        self.take(camera, frame)
    }

    fn take(&mut self, index: usize, frame: CameraFrame) -> Result<(), ImageError> {
        let camera = &mut self.cameras[index];
        let stamp_ns = frame.stamp_ns;
        match camera.buffer.frame(frame, &self.instruction) {
            Applied::Request(request) => {
                let black = request.new_frame.as_ref().is_some_and(|frame| is_black(&frame.rgb));
                camera.watch.sampled(black);
                if let Some(running) = report::running(&mut self.episode) {
                    running.frames += 1;
                }
                if let Some(doubted_s) = camera.buffer.doubted_s() {
                    self.judge.doubt(doubted_s);
                }
                self.passing.first_frame();
                self.effects.push(Effect::Submit(request));
            }
            Applied::Skipped => {
                camera.account.skipped += 1;
                camera.watch.well();
            }
            Applied::Dropped(reason) => {
                camera.account.drop_frames(reason, 1);
                self.left_out(index, reason, Some(stamp_ns));
            }
            Applied::Undecodable(error) => {
                camera.account.drop_frames(DropReason::Undecodable, 1);
                self.left_out(index, DropReason::Undecodable, None);
                return Err(error);
            }
            Applied::ClockStep(frame, step) => {
                self.begin_anew(EndReason::TimeJump, index, Notice::ClockStep(step));
                return self.take(index, frame);
            }
            Applied::Resized(frame, step) => {
                self.begin_anew(EndReason::SizeChanged, index, Notice::Resized(step));
                return self.take(index, frame);
            }
        }
        Ok(())
    }

    /// What the camera sends is of another stream from now on. That is no outcome of the episode: nothing is reset.
    fn begin_anew(&mut self, reason: EndReason, camera: usize, why: Notice) {
        self.effects.push(Effect::Notice(camera, why));
        self.end(reason);
        // A stream that changes again and again is not to fill the log.
        let said = std::mem::take(&mut self.said);
        self.start();
        self.said = said;
    }

    /// Images of a camera that never became frames, for a reason.
    pub fn frames_lost(&mut self, camera: usize, reason: DropReason, frames: u64) {
        let account = &mut self.cameras[camera].account;
        account.offered += frames;
        account.drop_frames(reason, frames);
        self.cameras[camera].watch.heard(self.passing.now_ns());
        self.left_out(camera, reason, None);
    }

    /// The engine did not take a request.
    pub fn queue_full(&mut self, request: &PrefixRequest) {
        self.not_scored(request, DropReason::QueueFull);
    }

    /// A request that nobody scores any more.
    pub fn not_scored(&mut self, request: &PrefixRequest, reason: DropReason) {
        let frames = u64::from(request.new_frame.is_some());
        self.cameras[request.camera].account.drop_frames(reason, frames);
    }
}
