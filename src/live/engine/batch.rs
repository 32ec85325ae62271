//! How one camera's waiting requests are worked off, all at once.

use std::time::Instant;

use super::{EngineEvent, PrefixScore, Waiting, new_frames};
use crate::episode::PrefixRequest;
use crate::model::{Probe, VideoVlm, VlmError};
use crate::reward::Reading;

/// Appends the frames of these requests (all of one camera) and scores the newest prefix that is to be scored. Frames
/// behind it are appended after that, so that what is scored does not depend on when they came.
pub fn work_off<V: VideoVlm>(
    probe: &mut Probe<V::Episode>,
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
        sink(match append_and_score(probe, model, &requests, newest, submitted) {
            Ok(score) => EngineEvent::Scored { score, new_frames },
            Err(error) => failed(new_frames, error),
        });
    }
    let frames = new_frames(&behind);
    if frames > 0 {
        sink(match append(probe, model, &behind) {
            Ok(()) => EngineEvent::Appended { camera, frames },
            Err(error) => failed(frames, error),
        });
    }
}

fn append_and_score<V: VideoVlm>(
    probe: &mut Probe<V::Episode>,
    model: &V,
    requests: &[Waiting],
    newest: PrefixRequest,
    submitted: Instant,
) -> Result<PrefixScore, VlmError> {
    let started = Instant::now();
    append(probe, model, requests)?;
    let PrefixRequest { camera, episode_id, instruction, new_frame, stamp_ns, frame_id, .. } = newest;
    let reading = probe.score(model, &instruction)?;
    Ok(PrefixScore {
        camera,
        episode_id,
        instruction,
        stamp_ns,
        frame_id,
        frame: new_frame,
        reading: Reading { age_s: submitted.elapsed().as_secs_f64(), ..reading },
        inference: started.elapsed(),
    })
}

fn append<V: VideoVlm>(
    probe: &mut Probe<V::Episode>,
    model: &V,
    requests: &[Waiting],
) -> Result<(), VlmError> {
    requests.iter().try_for_each(|(request, _)| match &request.new_frame {
        Some(frame) => probe.append(model, &frame.rgb, request.time_s),
        None => Ok(()),
    })
}
