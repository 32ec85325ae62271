//! What becomes of a camera's frames.

use super::*;
use crate::episode::image::ImageError;
use crate::episode::{Applied, CameraFrame, DecodedFrame, DueFrame, PrefixRequest, is_black};

impl Session {
    /// A frame from one of the cameras. What comes back is due and to be decoded, wherever that suits the caller;
    /// [`Session::decoded`] is to be given it before the camera's next frame.
    ///
    /// # Errors
    /// Why its image cannot be used; that is counted.
    pub fn frame(&mut self, camera: usize, frame: CameraFrame) -> Result<Option<DueFrame>, ImageError> {
        if let Some(received_ns) = frame.received_ns {
            self.pass_time(received_ns);
        }
        self.cameras[camera].account.offered += 1;
        self.cameras[camera].watch.heard(self.passing.now_ns());
        self.look_at(camera, frame)
    }

    /// The frame that was due, decoded. Where it begins a new episode, it is due once more.
    ///
    /// # Errors
    /// As for [`Session::frame`].
    pub fn decoded(&mut self, camera: usize, frame: DecodedFrame) -> Result<Option<DueFrame>, ImageError> {
        let stamp_ns = frame.stamp_ns();
        let applied = self.cameras[camera].buffer.decoded(frame, &self.instruction);
        self.apply(camera, stamp_ns, applied)
    }

    fn look_at(&mut self, camera: usize, frame: CameraFrame) -> Result<Option<DueFrame>, ImageError> {
        let stamp_ns = frame.stamp_ns;
        let applied = self.cameras[camera].buffer.frame(frame);
        self.apply(camera, Some(stamp_ns), applied)
    }

    fn apply(
        &mut self,
        index: usize,
        stamp_ns: Option<i64>,
        applied: Applied,
    ) -> Result<Option<DueFrame>, ImageError> {
        let camera = &mut self.cameras[index];
        match applied {
            Applied::Due(due) => return Ok(Some(due)),
            Applied::Request(request) => self.sampled(index, request),
            Applied::Skipped => {
                camera.account.skipped += 1;
                camera.watch.well();
            }
            Applied::Dropped(reason) => {
                camera.account.drop_frames(reason, 1);
                self.left_out(index, reason, stamp_ns);
            }
            Applied::Undecodable(error) => {
                camera.account.drop_frames(DropReason::Undecodable, 1);
                self.left_out(index, DropReason::Undecodable, None);
                return Err(error);
            }
            Applied::ClockStep(frame, step) => {
                self.begin_anew(EndReason::TimeJump, index, Notice::ClockStep(step));
                return self.look_at(index, frame);
            }
            Applied::Resized(frame, step) => {
                self.begin_anew(EndReason::SizeChanged, index, Notice::Resized(step));
                return self.look_at(index, frame);
            }
        }
        Ok(None)
    }

    /// The model is to be given a frame.
    fn sampled(&mut self, index: usize, request: PrefixRequest) {
        let camera = &mut self.cameras[index];
        camera.watch.sampled(request.new_frame.as_ref().is_some_and(|frame| is_black(&frame.rgb)));
        if let Some(running) = report::running(&mut self.episode) {
            running.frames += 1;
        }
        if let Some(doubted_s) = camera.buffer.doubted_s() {
            self.judge.doubt(doubted_s);
        }
        self.passing.first_frame();
        self.effects.push(Effect::Submit(request));
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
