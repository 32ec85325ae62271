use super::*;
use ::image::RgbImage;

fn buffer() -> EpisodeBuffer {
    scoring_every(1)
}

fn scoring_every(score_every: usize) -> EpisodeBuffer {
    let limits = EpisodeLimits { max_duration_s: 10.0, score_every };
    EpisodeBuffer::new(0, Sampler::new(2.0).unwrap(), limits)
}

fn frame(time_s: f64, width: u32) -> CameraFrame {
    let frame = Frame {
        stamp_ns: 5_000_000_000 + (time_s * 1e9) as i64,
        frame_id: "camera".into(),
        rgb: Arc::new(RgbImage::new(width, 4)),
    };
    frame.into()
}

fn offer(buffer: &mut EpisodeBuffer, frame: CameraFrame) -> Applied {
    match buffer.frame(frame) {
        Applied::Due(due) => buffer.decoded(due.decode(), &"lift the cup".into()),
        other => other,
    }
}

fn request(applied: Applied) -> PrefixRequest {
    match applied {
        Applied::Request(request) => request,
        other => panic!("expected a request, got {other:?}"),
    }
}

#[test]
fn frames_without_an_episode_are_dropped_by_name() {
    assert!(matches!(offer(&mut buffer(), frame(0.0, 8)), Applied::Dropped(DropReason::NoEpisode)));
}

#[test]
fn a_prefix_grows_by_the_sampled_frames() {
    let mut buffer = buffer();
    buffer.start();
    assert!(buffer.waiting_for_first_frame());
    let first = request(offer(&mut buffer, frame(0.0, 8)));
    assert_eq!((first.episode_id, first.frames, first.time_s), (1, 1, 0.0));
    assert!(matches!(offer(&mut buffer, frame(0.1, 8)), Applied::Skipped));
    assert!(matches!(offer(&mut buffer, frame(0.1, 8)), Applied::Dropped(DropReason::Duplicate)));
    assert!(matches!(offer(&mut buffer, frame(0.05, 8)), Applied::Dropped(DropReason::OutOfOrder)));
    let second = request(offer(&mut buffer, frame(0.5, 8)));
    assert_eq!((second.frames, second.time_s, second.stamp_ns), (2, 0.5, 5_500_000_000));
    assert_eq!(buffer.frames(), 2);
}

#[test]
fn every_frame_is_handed_on_and_every_kth_prefix_scored() {
    let scored = |every| -> Vec<bool> {
        let mut buffer = scoring_every(every);
        buffer.start();
        let mut one = |i: i32| request(offer(&mut buffer, frame(f64::from(i) * 0.5, 8))).score;
        (0..6).map(&mut one).collect()
    };
    assert_eq!(scored(1), [true; 6]);
    assert_eq!(scored(3), [false, false, true, false, false, true]);
    assert_eq!(scored(0), [false; 6]);
    let mut buffer = scoring_every(0);
    buffer.start();
    let instruction = "lift the cup".into();
    assert!(buffer.ask_again(&instruction).is_none(), "there is no frame yet");
    request(offer(&mut buffer, frame(0.0, 8)));
    let asked = buffer.ask_again(&instruction).unwrap();
    assert!(asked.score && asked.new_frame.is_none());
}

#[test]
fn another_size_is_dropped_and_does_not_disturb_the_schedule() {
    let mut buffer = buffer();
    buffer.start();
    request(offer(&mut buffer, frame(0.0, 8)));
    assert!(matches!(offer(&mut buffer, frame(0.5, 16)), Applied::Dropped(DropReason::SizeChanged)));
    assert_eq!(request(offer(&mut buffer, frame(0.5, 8))).frames, 2);
}

/// A frame whose size shows only when it is decoded.
fn undecoded(
    time_s: f64,
    decode: impl FnOnce() -> Result<RgbImage, ImageError> + Send + 'static,
) -> CameraFrame {
    let stamp_ns = 5_000_000_000 + (time_s * 1e9) as i64;
    CameraFrame::new(stamp_ns, "camera".into(), None, decode)
}

#[test]
fn only_samples_are_decoded_and_one_that_cannot_be_leaves_its_place_to_the_next() {
    let mut buffer = buffer();
    buffer.start();
    let broken = || Err(ImageError::Empty { width: 0, height: 0 });
    assert!(matches!(offer(&mut buffer, undecoded(0.0, broken)), Applied::Undecodable(_)));
    assert_eq!(request(offer(&mut buffer, undecoded(0.1, || Ok(RgbImage::new(8, 4))))).time_s, 0.0);
    assert!(matches!(offer(&mut buffer, undecoded(0.2, || panic!("not to be decoded"))), Applied::Skipped));
    assert!(matches!(offer(&mut buffer, undecoded(0.6, broken)), Applied::Undecodable(_)));
    let small = || Ok(RgbImage::new(4, 4));
    assert!(matches!(offer(&mut buffer, undecoded(0.65, small)), Applied::Dropped(DropReason::SizeChanged)));
    assert_eq!(request(offer(&mut buffer, frame(0.7, 8))).frames, 2);
}

#[test]
fn a_new_instruction_keeps_the_frames_and_asks_again() {
    let mut buffer = buffer();
    assert!(buffer.ask_again(&"a".into()).is_none(), "no episode runs");
    buffer.start();
    assert!(buffer.ask_again(&"b".into()).is_none(), "there is no frame yet");
    request(offer(&mut buffer, frame(0.0, 8)));
    request(offer(&mut buffer, frame(0.5, 8)));
    let again = buffer.ask_again(&"c".into()).unwrap();
    assert_eq!((&*again.instruction, again.frames, again.time_s), ("c", 2, 0.5));
    assert!(again.new_frame.is_none());
}

/// As the camera and the receiver have it: the frame's own time, and when it came.
fn received(stamp_s: f64, received_s: f64) -> CameraFrame {
    frame(stamp_s, 8).received((received_s * 1e9) as i64)
}

#[test]
fn a_clock_that_was_set_ends_the_episode_and_the_frame_begins_the_next() {
    for set_to_s in [-300.0, 300.0] {
        let mut buffer = buffer();
        buffer.start();
        request(offer(&mut buffer, received(5.0, 0.0)));
        assert!(matches!(offer(&mut buffer, received(3.0, 0.1)), Applied::Dropped(DropReason::OutOfOrder)));
        for frame in [received(set_to_s, 0.2), received(set_to_s + 0.1, 0.3)] {
            assert!(matches!(offer(&mut buffer, frame), Applied::Dropped(DropReason::StampStep)));
        }
        let third = received(set_to_s + 0.2, 0.4);
        let Applied::ClockStep(frame, step) = offer(&mut buffer, third) else { panic!("no step") };
        assert_eq!(step.from_ns, 10_000_000_000);
        assert_eq!(buffer.episode_id(), None);
        buffer.start();
        let first = request(offer(&mut buffer, frame));
        assert_eq!((first.episode_id, first.frames, first.time_s), (2, 1, 0.0));
    }
}

#[test]
fn a_pause_that_the_receiver_saw_too_is_no_step() {
    let mut buffer = buffer();
    buffer.start();
    request(offer(&mut buffer, received(0.0, 0.0)));
    let paused = request(offer(&mut buffer, received(40.0, 40.0)));
    assert_eq!((paused.time_s, buffer.doubted_s()), (40.0, None));
    // A second and a half that nobody else saw is believed, and doubted.
    request(offer(&mut buffer, received(41.6, 40.1)));
    assert_eq!(buffer.doubted_s(), Some(41.6));
}

#[test]
fn a_camera_that_changes_its_size_begins_anew_and_an_odd_frame_does_not() {
    let mut buffer = buffer();
    buffer.start();
    request(offer(&mut buffer, frame(0.0, 16)));
    let dropped = |applied| matches!(applied, Applied::Dropped(DropReason::SizeChanged));
    for time_s in [0.1, 0.2] {
        assert!(dropped(offer(&mut buffer, frame(time_s, 8))));
    }
    assert!(matches!(offer(&mut buffer, frame(0.3, 16)), Applied::Skipped));
    // Whether the size shows before decoding or after.
    let late = |time_s| undecoded(time_s, || Ok(RgbImage::new(8, 4)));
    assert!(dropped(offer(&mut buffer, frame(0.4, 8))) && dropped(offer(&mut buffer, late(0.5))));
    let Applied::Resized(first, step) = offer(&mut buffer, late(0.6)) else { panic!("no new size") };
    assert_eq!(step, SizeStep { from: (16, 4), to: (8, 4) });
    assert_eq!(buffer.episode_id(), None);
    buffer.start();
    assert_eq!(request(offer(&mut buffer, first)).frames, 1);
}

#[test]
fn a_new_episode_counts_on() {
    let mut buffer = buffer();
    buffer.start();
    request(offer(&mut buffer, frame(0.0, 8)));
    buffer.start();
    let first = request(offer(&mut buffer, frame(20.0, 16)));
    assert_eq!((first.episode_id, first.frames, first.time_s), (2, 1, 0.0));
    buffer.end();
    assert!(matches!(offer(&mut buffer, frame(20.5, 16)), Applied::Dropped(DropReason::NoEpisode)));
}

#[test]
fn a_frame_whose_episode_ends_while_it_is_decoded_is_of_no_other() {
    let mut buffer = buffer();
    buffer.start();
    request(offer(&mut buffer, frame(0.0, 8)));
    for start in [true, false] {
        let Applied::Due(due) = buffer.frame(frame(0.5, 8)) else { panic!("not due") };
        if start {
            buffer.start();
        } else {
            buffer.end();
        }
        let late = buffer.decoded(due.decode(), &"lift the cup".into());
        assert!(matches!(late, Applied::Dropped(DropReason::NoEpisode)));
        assert_eq!(buffer.frames(), 0);
    }
}
