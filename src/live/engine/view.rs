//! What one camera has shown of the running episode, and how its requests are worked off.

use std::sync::Arc;
use std::time::Instant;

use super::{Control, EngineEvent, PrefixScore, Waiting, new_frames};
use crate::episode::PrefixRequest;
use crate::model::{LogProbs, VideoVlm, VlmError};
use crate::reward::ProgressReading;

pub struct View<E> {
    episode: E,
    frames: usize,
    wants_control: bool,
    control: Option<StillScene<E>>,
    /// The control lacks frames since then: nothing can be corrected by it in this episode.
    control_failed: bool,
}

/// The control: an episode in which the first frame is repeated.
struct StillScene<E> {
    /// Only the first frame.
    first: E,
    repeated: E,
    /// The first frame's reward, and the instruction that it answers.
    start: Option<(Arc<str>, f64)>,
}

impl<E> View<E> {
    pub fn new(episode: E, wants_control: bool) -> Self {
        Self { episode, frames: 0, wants_control, control: None, control_failed: false }
    }

    /// Appends the frames of these requests (all of this camera) and scores the newest prefix that is to be scored.
    /// Frames behind it are appended after that, so that what is scored does not depend on when they came.
    pub fn work_off<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        camera: usize,
        mut requests: Vec<Waiting>,
        sink: &mut impl FnMut(EngineEvent),
    ) {
        let Some(episode_id) = requests.first().map(|(request, _)| request.episode_id) else { return };
        let failed = |frames, error| EngineEvent::Failed { camera, episode_id, frames, error };
        let asked = requests.iter().rposition(|(request, _)| request.score).map_or(0, |index| index + 1);
        let behind = requests.split_off(asked);
        if let Some((newest, submitted)) = requests.last().cloned() {
            let new_frames = new_frames(&requests);
            sink(match self.append_and_score(model, &requests, newest, submitted) {
                Ok(score) => EngineEvent::Scored { score, new_frames },
                Err(error) => failed(new_frames, error),
            });
        }
        let frames = new_frames(&behind);
        if frames > 0 {
            sink(match self.append(model, &behind) {
                Ok(()) => EngineEvent::Appended { camera, frames },
                Err(error) => failed(frames, error),
            });
        }
    }

    fn append_and_score<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        requests: &[Waiting],
        newest: PrefixRequest,
        submitted: Instant,
    ) -> Result<PrefixScore, VlmError> {
        let started = Instant::now();
        self.append(model, requests)?;
        let PrefixRequest { camera, episode_id, instruction, new_frame, time_s, stamp_ns, frame_id, .. } =
            newest;
        let log_probs = model.score(&mut self.episode, &instruction)?;
        let control = self.control(model, &instruction, log_probs)?;
        Ok(PrefixScore {
            camera,
            episode_id,
            instruction,
            frames: self.frames,
            time_s,
            stamp_ns,
            frame_id,
            frame: new_frame,
            log_probs,
            control,
            latency: submitted.elapsed(),
            inference: started.elapsed(),
        })
    }

    fn append<V: VideoVlm<Episode = E>>(&mut self, model: &V, requests: &[Waiting]) -> Result<(), VlmError> {
        for (request, _) in requests {
            let Some(frame) = &request.new_frame else { continue };
            model.append(&mut self.episode, &frame.rgb, request.time_s)?;
            self.frames += 1;
            if self.wants_control
                && let Err(error) = self.append_to_control(model, request.time_s)
            {
                self.control_failed = true;
                return Err(error);
            }
        }
        Ok(())
    }

    fn append_to_control<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        time_s: f64,
    ) -> Result<(), VlmError> {
        match &mut self.control {
            Some(control) => model.append_first_again(&mut control.repeated, time_s),
            None => {
                let first = model.begin_control(&mut self.episode)?;
                let repeated = model.begin_control(&mut self.episode)?;
                self.control = Some(StillScene { first, repeated, start: None });
                Ok(())
            }
        }
    }

    fn control<V: VideoVlm<Episode = E>>(
        &mut self,
        model: &V,
        instruction: &Arc<str>,
        LogProbs { log_prob_true: reward, log_prob_false }: LogProbs,
    ) -> Result<Option<Control>, VlmError> {
        if self.control_failed {
            let reason = "the static control has failed: this episode cannot be corrected by it any more";
            return Err(VlmError::Inference(reason.to_owned()));
        }
        let Some(control) = &mut self.control else { return Ok(None) };
        let start = match &control.start {
            Some((asked, start)) if asked == instruction => *start,
            _ => {
                let start = model.score(&mut control.first, instruction)?.log_prob_true;
                control.start = Some((instruction.clone(), start));
                start
            }
        };
        let log_prob_true = model.score(&mut control.repeated, instruction)?.log_prob_true;
        let climb = Some(log_prob_true - start);
        let corrected_nats = ProgressReading::controlled(reward, log_prob_false, climb).corrected;
        Ok(Some(Control { log_prob_true, corrected_nats }))
    }
}
