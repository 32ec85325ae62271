//! Several cameras.

use super::*;

fn two_cameras(fusion: Fusion) -> Bench {
    let cameras = vec!["wrist".into(), "front".into()];
    Bench::new(&Config { cameras, fusion, ..config("/robot/reset") })
}

#[test]
fn cameras_are_scored_one_by_one_and_judged_together() {
    let mut bench = two_cameras(Fusion::Min);
    for step in 0..3 {
        bench.reward = -5.0 + f64::from(step);
        bench.frame_of(0, f64::from(step) * 0.5);
        assert_eq!(
            bench.session.running().unwrap().scores.len(),
            step as usize,
            "the other camera is missing"
        );
        bench.reward = -1.0;
        bench.frame_of(1, 100.0 + f64::from(step) * 0.5);
    }
    assert_eq!(bench.by_camera, [(0, -5.0), (1, -1.0), (0, -4.0), (1, -1.0), (0, -3.0), (1, -1.0)]);
    let running = bench.session.running().unwrap();
    assert_eq!(
        running.scores.iter().map(|prefix| prefix.reading.log_prob_true).collect::<Vec<_>>(),
        [-5.0, -4.0, -3.0]
    );
    assert_eq!(
        running.scores.iter().map(|prefix| prefix.reading.time_s).collect::<Vec<_>>(),
        [0.0, 0.5, 1.0]
    );
    let newest = &running.newest.as_ref().unwrap().score;
    assert_eq!((newest.reading.frames, newest.camera, running.frames), (3, 1, 6));
    assert_eq!(bench.account(), "6 offered = 6 scored + 0 coalesced + 0 skipped + 0 dropped");
}

#[test]
fn a_camera_that_stops_keeps_success_from_being_called() {
    let mut bench = two_cameras(Fusion::Max);
    for i in 0..5 {
        bench.reward = -5.0;
        bench.frame_of(0, f64::from(i) * 0.5);
        bench.frame_of(1, f64::from(i) * 0.5);
    }
    bench.reward = -0.1;
    for i in 5..15 {
        bench.frame_of(0, f64::from(i) * 0.5);
    }
    assert_eq!(bench.log, ["started"]);
    assert_eq!(bench.session.running().unwrap().scores.len(), 5);
    for i in 15..25 {
        bench.frame_of(0, f64::from(i) * 0.5);
        bench.frame_of(1, f64::from(i) * 0.5);
    }
    assert_eq!(bench.log, ["started", "success", "ended", "reset"]);
}

#[test]
fn a_new_instruction_is_asked_of_every_camera_and_old_scores_do_not_mix_with_new_ones() {
    let mut bench = two_cameras(Fusion::Mean);
    bench.frame_of(0, 0.0);
    bench.frame_of(1, 0.0);
    bench.frame_of(0, 0.5);
    bench.hold_back = true;
    bench.session.set_instruction("close the lid").unwrap();
    bench.settle();
    assert_eq!(bench.held.iter().map(|request| request.camera).collect::<Vec<_>>(), [0, 1]);
    let event = bench.scored(bench.held[1].clone());
    bench.session.engine(event);
    bench.settle();
    assert!(bench.session.running().unwrap().scores.is_empty(), "camera 0 was not asked about the new one");
    let event = bench.scored(bench.held[0].clone());
    bench.session.engine(event);
    bench.settle();
    assert_eq!(bench.session.running().unwrap().scores.len(), 1);
}

#[test]
fn cameras_that_disagree_hold_success_back() {
    let mut bench = two_cameras(Fusion::Max);
    let mut both = |range: std::ops::Range<i32>, wrist: f64, front: f64| {
        for i in range {
            bench.reward = wrist;
            bench.frame_of(0, f64::from(i) * 0.5);
            bench.reward = front;
            bench.frame_of(1, f64::from(i) * 0.5);
        }
        (bench.session.verdict().as_str(), bench.log.clone())
    };
    both(0..5, -5.0, -5.0);
    assert_eq!(both(5..12, -0.1, -5.0), ("cameras_disagree", vec!["started"]));
    assert_eq!(both(12..17, -0.1, -0.2).1, ["started", "success", "ended", "reset"]);
}
