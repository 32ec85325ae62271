//! What the cache holds is what a full recompute gives.

use super::*;

#[test]
fn the_prefix_cache_is_exact_for_every_prefix() {
    for dtype in [DtypeChoice::F32, DtypeChoice::Q8, DtypeChoice::Q6, DtypeChoice::Q4] {
        let worst = cached_against_recomputed(dtype);
        println!("{dtype:?}, cached against recomputed: off by at most {worst:.2e} nats");
        assert!(worst <= 1e-4, "off by {worst} nats");
    }
}

/// The largest difference of all prefixes and questions, nats.
fn cached_against_recomputed(dtype: DtypeChoice) -> f64 {
    let instructions = [PLAIN, "open the drawer", "Stack the cups, then wait — ½ turn."];
    let mut worst = 0f64;
    for checkpoint in CHECKPOINTS {
        for chat_template in [false, true] {
            let model = model_as(dtype, checkpoint, chat_template, 16_384);
            let frames = aligned();
            let mut growing = model.new_episode();
            for count in 1..=frames.len() {
                let (frame, time_s) = &frames[count - 1];
                model.append(&mut growing, frame, *time_s).unwrap();
                let prefix: Vec<_> = frames[..count].iter().map(|(frame, time_s)| (frame, *time_s)).collect();
                // Several questions at one prefix, the first one asked again: none may leave a trace.
                let first = model.score(&mut growing, instructions[0]).unwrap();
                for instruction in instructions {
                    let cached = model.score(&mut growing, instruction).unwrap();
                    let recomputed = model.score_at_once(&prefix, instruction).unwrap();
                    worst = worst.max(difference(cached, recomputed));
                }
                assert_eq!(model.score(&mut growing, instructions[0]).unwrap(), first);
                assert_eq!(growing.frames(), count);
            }
        }
    }
    worst
}

/// Between two questions pairs wait, and go into the cache many at a time.
#[test]
fn what_was_asked_before_leaves_the_score_as_it_is() {
    let shown = aligned();
    let frames: Vec<_> = (0..40).map(|index| (shown[index * 3 % 7].0.clone(), index as f64 / 2.0)).collect();
    for dtype in [DtypeChoice::F32, DtypeChoice::Q8, DtypeChoice::Q6, DtypeChoice::Q4] {
        let model = model_as(dtype, "tied", false, 16_384);
        let (mut growing, mut last_question, mut unasked) = (model.new_episode(), 0, 0);
        for (index, (frame, time_s)) in frames.iter().enumerate() {
            model.append(&mut growing, frame, *time_s).unwrap();
            let count = index + 1;
            if ![1, 3, 12, 13, 40].contains(&count) {
                continue;
            }
            unasked = growing.cached_tokens() - last_question;
            let cached = model.score(&mut growing, PLAIN).unwrap();
            let prefix: Vec<_> = frames[..count].iter().map(|(frame, time_s)| (frame, *time_s)).collect();
            let recomputed = model.score_at_once(&prefix, PLAIN).unwrap();
            assert!(difference(cached, recomputed) <= 1e-4, "{dtype:?}, {count} frames");
            last_question = growing.cached_tokens();
        }
        assert!(unasked > 0, "between the last two questions enough for a chunk had come");
    }
}

/// Which of so many frames are seen when at most four are remembered: by hand.
const SEEN_OF_FOUR: [&[usize]; 14] = [
    &[0],
    &[0, 1],
    &[0, 1, 2],
    &[0, 1, 2, 3],
    &[0, 2, 4],
    &[0, 2, 4, 5],
    &[0, 2, 4, 6],
    &[0, 2, 4, 6, 7],
    &[0, 4, 8],
    &[0, 4, 8, 9],
    &[0, 4, 8, 10],
    &[0, 4, 8, 11],
    &[0, 4, 8, 12],
    &[0, 4, 8, 12, 13],
];

#[test]
fn long_episodes_are_thinned_out_and_exact_again() {
    let options =
        LoadOptions { max_pixels: Some(16_384), max_samples: Some(4), ..LoadOptions::new(golden("tied")) };
    let (model, whole) = (Qwen3Vl::load(&options).unwrap(), model("tied", false, 16_384));
    let shown = aligned();
    let frames: Vec<_> = (0..14).map(|index| (shown[index * 3 % 7].0.clone(), index as f64 / 2.0)).collect();
    let (mut growing, mut control) = (model.new_episode(), None);
    for (index, (frame, time_s)) in frames.iter().enumerate() {
        model.append(&mut growing, frame, *time_s).unwrap();
        match &mut control {
            None => control = Some(model.begin_control(&mut growing).unwrap()),
            Some(control) => model.append_first_again(control, *time_s).unwrap(),
        }
        let seen = SEEN_OF_FOUR[index].iter().map(|&index| &frames[index]);
        let video: Vec<_> = seen.clone().map(|(frame, time_s)| (frame, *time_s)).collect();
        let still: Vec<_> = seen.map(|(_, time_s)| (&frames[0].0, *time_s)).collect();
        // Twice: a question leaves nothing behind.
        for _ in 0..2 {
            let got = model.score(&mut growing, PLAIN).unwrap();
            assert!(difference(got, whole.score_at_once(&video, PLAIN).unwrap()) < 1e-6, "frame {index}");
            let got = model.score(control.as_mut().unwrap(), PLAIN).unwrap();
            assert!(difference(got, whole.score_at_once(&still, PLAIN).unwrap()) < 1e-6, "frame {index}");
        }
        assert_eq!(growing.frames(), index + 1);
    }
    assert_eq!(growing.stride(), 4);
}

#[test]
fn a_control_is_the_episode_in_which_the_first_frame_is_repeated() {
    let model = model("tied", false, 4096);
    let (first, instruction) = (&aligned()[0].0, "lift the cup");
    let mut episode = model.new_episode();
    model.append(&mut episode, first, 0.0).unwrap();
    let mut control = model.begin_control(&mut episode).unwrap();
    let mut repeated = model.new_episode();
    for index in 0..7 {
        let time_s = f64::from(index) / 2.0;
        model.append(&mut repeated, first, time_s).unwrap();
        if index > 0 {
            model.append_first_again(&mut control, time_s).unwrap();
        }
        // To the last bit: the same tokens at the same places.
        let (fast, whole) = (model.score(&mut control, instruction), model.score(&mut repeated, instruction));
        assert_eq!(fast.unwrap(), whole.unwrap(), "after {} frames", index + 1);
    }
    model.append(&mut episode, first, 0.5).unwrap();
    assert!(model.begin_control(&mut episode).is_err(), "too late: the first frame is not alone any more");
}
