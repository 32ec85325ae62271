use super::*;
use crate::episode::Frame;
use crate::model::LogProbs;
use crate::model::scripted::ScriptedVlm;
use ::image::RgbImage;
use std::sync::mpsc::{Receiver, Sender, channel};

const PATIENCE: Duration = Duration::from_secs(20);
const SETTINGS: EngineSettings = EngineSettings { capacity: 4, control: BiasControl::Off };

fn request(episode_id: u64, index: usize) -> PrefixRequest {
    let frame =
        Frame { stamp_ns: index as i64, frame_id: "camera".into(), rgb: Arc::new(RgbImage::new(4, 4)) };
    PrefixRequest {
        camera: 0,
        episode_id,
        instruction: "lift".into(),
        score: true,
        time_s: index as f64 * 0.5,
        frames: index + 1,
        stamp_ns: frame.stamp_ns,
        frame_id: frame.frame_id.clone(),
        new_frame: Some(frame),
    }
}

/// An engine whose model says when it begins to score and waits for leave to finish.
fn gated() -> (Engine, Receiver<EngineEvent>, Receiver<usize>, Sender<()>) {
    let (events_in, events) = channel();
    let (begun_in, begun) = channel();
    let (leave, leave_out) = channel();
    let load = move || {
        Ok(ScriptedVlm::new(Duration::ZERO, move |frames, instruction| {
            begun_in.send(frames).unwrap();
            leave_out.recv_timeout(PATIENCE).unwrap();
            if instruction == "panic" {
                panic!("told to");
            }
            if instruction == "fail" {
                return Err(VlmError::Inference("told to".into()));
            }
            Ok(LogProbs { log_prob_true: -(frames as f64), log_prob_false: -0.1 })
        }))
    };
    let engine = Engine::spawn(load, SETTINGS, move |event| drop(events_in.send(event))).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), EngineEvent::Ready(..)));
    (engine, events, begun, leave)
}

fn scored(event: EngineEvent) -> (PrefixScore, u64) {
    match event {
        EngineEvent::Scored { score, new_frames } => (score, new_frames),
        other => panic!("expected a score, got {other:?}"),
    }
}

#[test]
fn what_piled_up_is_appended_whole_and_scored_once() {
    let (engine, events, begun, leave) = gated();
    engine.submit(request(1, 0)).unwrap();
    assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), 1);
    for index in 1..4 {
        engine.submit(request(1, index)).unwrap();
    }
    leave.send(()).unwrap();
    assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), 4);
    leave.send(()).unwrap();
    assert_eq!(scored(events.recv_timeout(PATIENCE).unwrap()).1, 1);
    let (score, new_frames) = scored(events.recv_timeout(PATIENCE).unwrap());
    assert_eq!((new_frames, score.reading.frames, score.stamp_ns, score.reading.time_s), (3, 4, 3, 1.5));
    assert_eq!(score.reading.log_prob_true, -4.0);
    assert!(score.latency() >= score.inference);
    engine.stop();
    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), EngineEvent::Stopped));
}

#[test]
fn a_replaced_episode_is_discarded_and_the_next_starts_empty() {
    let (engine, events, begun, leave) = gated();
    engine.submit(request(1, 0)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    engine.submit(request(1, 1)).unwrap();
    engine.submit(request(1, 2)).unwrap();
    engine.submit(request(2, 0)).unwrap();
    leave.send(()).unwrap();
    assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), 1);
    leave.send(()).unwrap();
    assert_eq!(scored(events.recv_timeout(PATIENCE).unwrap()).0.episode_id, 1);
    let discarded = events.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(discarded, EngineEvent::Discarded { frames: 2, reason: DropReason::EpisodeEnded, .. }),
        "{discarded:?}"
    );
    let (score, new_frames) = scored(events.recv_timeout(PATIENCE).unwrap());
    assert_eq!((score.episode_id, score.reading.frames, new_frames), (2, 1, 1));
}

#[test]
fn a_full_queue_refuses_and_a_stop_accounts_for_what_waited() {
    let (engine, events, begun, leave) = gated();
    engine.submit(request(1, 0)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    for index in 1..5 {
        engine.submit(request(1, index)).unwrap();
    }
    assert_eq!(engine.submit(request(1, 5)), Err(QueueFull(4)));
    engine.request_stop();
    leave.send(()).unwrap();
    scored(events.recv_timeout(PATIENCE).unwrap());
    let discarded = events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(discarded, EngineEvent::Discarded { frames: 4, reason: DropReason::Shutdown, .. }));
    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), EngineEvent::Stopped));
}

#[test]
fn each_camera_has_a_prefix_of_its_own_on_the_one_model() {
    let (engine, events, begun, leave) = gated();
    engine.submit(request(1, 0)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    engine.submit(PrefixRequest { camera: 1, ..request(1, 0) }).unwrap();
    engine.submit(request(1, 1)).unwrap();
    engine.submit(PrefixRequest { camera: 1, ..request(1, 1) }).unwrap();
    for _ in 0..3 {
        leave.send(()).unwrap();
    }
    let next = || {
        let (score, new_frames) = scored(events.recv_timeout(PATIENCE).unwrap());
        (score.camera, score.reading.frames, new_frames)
    };
    assert_eq!(next(), (0, 1, 1));
    assert_eq!(next(), (0, 2, 1));
    assert_eq!(next(), (1, 2, 2));
}

#[test]
fn forgetting_gives_back_what_waits_and_keeps_the_model() {
    let (engine, events, begun, leave) = gated();
    engine.submit(request(1, 0)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    engine.submit(request(1, 1)).unwrap();
    assert_eq!(engine.forget().iter().map(|waiting| waiting.frames).collect::<Vec<_>>(), [2]);
    engine.submit(request(1, 2)).unwrap();
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    assert_eq!(scored(events.recv_timeout(PATIENCE).unwrap()).0.reading.frames, 1);
    // The model has not forgotten how to score, but what it had seen.
    assert_eq!(scored(events.recv_timeout(PATIENCE).unwrap()).0.reading.frames, 1);
}

#[test]
fn frames_that_are_not_to_be_scored_are_seen_all_the_same() {
    let (engine, events, begun, leave) = gated();
    engine.submit(request(1, 0)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    for (index, score) in [(1, false), (2, true), (3, false)] {
        engine.submit(PrefixRequest { score, ..request(1, index) }).unwrap();
    }
    leave.send(()).unwrap();
    scored(events.recv_timeout(PATIENCE).unwrap());
    // The prefix of three frames is scored, although a fourth is there.
    assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), 3);
    leave.send(()).unwrap();
    let (score, new_frames) = scored(events.recv_timeout(PATIENCE).unwrap());
    assert_eq!((score.reading.frames, score.reading.time_s, new_frames), (3, 1.0, 2));
    let appended = events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(appended, EngineEvent::Appended { camera: 0, frames: 1 }), "{appended:?}");
}

#[test]
fn a_control_takes_away_what_length_alone_has_given() {
    let (events_in, events) = channel();
    // The longer the video the higher the reward, by a fifth a frame, whatever it shows.
    let load = || {
        Ok(ScriptedVlm::new(Duration::ZERO, |frames, _| {
            Ok(LogProbs { log_prob_true: -5.0 + 0.2 * frames as f64, log_prob_false: -0.1 })
        }))
    };
    let settings = EngineSettings { capacity: 9, control: BiasControl::Static };
    let engine = Engine::spawn(load, settings, move |event| drop(events_in.send(event))).unwrap();
    events.recv_timeout(PATIENCE).unwrap();
    for index in 0..4 {
        engine.submit(request(1, index)).unwrap();
        let (score, _) = scored(events.recv_timeout(PATIENCE).unwrap());
        let reading = score.reading;
        assert_eq!(reading.control.unwrap().log_prob_true, reading.log_prob_true);
        assert!((reading.corrected + 4.8).abs() < 1e-12, "the first frame's reward: {reading:?}");
    }
}

#[test]
fn a_failure_is_reported_and_the_engine_goes_on() {
    let (engine, events, _begun, leave) = gated();
    engine.submit(PrefixRequest { instruction: "fail".into(), ..request(1, 0) }).unwrap();
    leave.send(()).unwrap();
    let failed = events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(failed, EngineEvent::Failed { episode_id: 1, frames: 1, .. }), "{failed:?}");
    engine.submit(PrefixRequest { new_frame: None, ..request(1, 0) }).unwrap();
    leave.send(()).unwrap();
    let (score, new_frames) = scored(events.recv_timeout(PATIENCE).unwrap());
    assert_eq!((score.reading.frames, new_frames), (1, 0));
}

#[test]
fn a_panic_is_reported_as_the_end() {
    let (engine, events, _begun, leave) = gated();
    engine.submit(PrefixRequest { instruction: "panic".into(), ..request(1, 0) }).unwrap();
    leave.send(()).unwrap();
    match events.recv_timeout(PATIENCE).unwrap() {
        EngineEvent::Died(message) => assert_eq!(message, "told to"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_that_cannot_load_is_reported() {
    let (events_in, events) = channel();
    let load = || {
        Err::<ScriptedVlm, _>(VlmError::Load { folder: "nowhere".into(), source: "no such folder".into() })
    };
    let _engine = Engine::spawn(load, SETTINGS, move |event| drop(events_in.send(event))).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), EngineEvent::LoadFailed(_)));
}
