mod bench;
mod cameras;
mod time;

use super::*;
use crate::model::instruction::InstructionError;
use crate::model::{InstructionCheck, VlmError};
use crate::reward::{Control, Reading};

use bench::{Bench, config};

#[test]
fn a_success_resets_once_and_the_next_episode_begins() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 8, -0.1);
    assert_eq!(bench.log, ["started", "success", "ended", "reset"]);
    assert_eq!(*bench.session.phase(), Phase::Resetting);
    let report = &bench.reports[0];
    assert_eq!((report.episode_id, report.end_reason), (1, Some(EndReason::Success)));
    assert_eq!(report.newest.as_ref().unwrap().progress, 1.0);
    assert!(report.voc().unwrap() > 0.8);

    let ticket = bench.ticket.unwrap();
    bench.session.reset_answered(ticket, Ok(()));
    bench.session.reset_answered(ticket, Ok(()));
    bench.settle();
    bench.session.settled(ticket);
    bench.session.settled(ticket);
    bench.settle();
    assert_eq!(bench.log[4..], ["settle", "started"]);
    assert_eq!(bench.session.running().unwrap().episode_id, 2);
    assert!(bench.account().ends_with("dropped (no_episode 4)"), "{}", bench.account());
}

#[test]
fn without_a_reset_service_success_ends_the_episode_and_waits() {
    let mut bench = Bench::new(&config(""));
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 8, -0.1);
    assert_eq!(bench.log, ["started", "success", "ended"]);
    assert_eq!(*bench.session.phase(), Phase::Idle);
    assert_eq!(bench.session.start_episode(), Ok(2));
}

#[test]
fn a_reset_that_fails_is_said_and_nothing_is_called_again() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 8, -0.1);
    bench.session.reset_answered(bench.ticket.unwrap(), Err(ResetFailed("the gripper is stuck".into())));
    bench.frames(8.0, 8, -0.1);
    assert_eq!(bench.log, ["started", "success", "ended", "reset"]);
    assert_eq!(*bench.session.phase(), Phase::ResetFailed("the gripper is stuck".into()));
    assert_eq!(bench.session.start_episode(), Ok(2));
}

#[test]
fn an_answer_that_comes_after_a_start_by_hand_changes_nothing() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 8, -0.1);
    let ticket = bench.ticket.unwrap();
    assert_eq!(bench.session.reset_episode(), Ok(2));
    bench.session.reset_answered(ticket, Ok(()));
    bench.session.settled(ticket);
    bench.settle();
    assert_eq!(bench.session.running().unwrap().episode_id, 2);
    assert_eq!(bench.log[4..], ["started"]);
}

#[test]
fn an_episode_that_is_true_from_the_start_does_not_reset() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 16, -0.1);
    assert_eq!(bench.log, ["started"]);
    assert_eq!(bench.session.verdict().as_str(), "true_from_the_start");
}

#[test]
fn the_longest_episode_ends_and_the_next_begins_without_a_reset() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 22, -5.0);
    assert_eq!(bench.log, ["started", "ended", "started"]);
    assert_eq!(bench.reports[0].end_reason, Some(EndReason::MaxDuration));
    assert_eq!(bench.reports[0].frames, 21);
}

#[test]
fn an_episode_without_room_ends_and_the_next_begins() {
    let mut bench = Bench::new(&config(""));
    bench.frames(0.0, 5, -5.0);
    let failed =
        |episode_id| EngineEvent::Failed { camera: 0, episode_id, frames: 1, error: VlmError::OutOfMemory };
    bench.session.engine(failed(7));
    bench.settle();
    assert_eq!(bench.log, ["started"], "of an episode that is over nothing follows");
    bench.session.engine(failed(1));
    bench.settle();
    assert_eq!(bench.log, ["started", "ended", "started"]);
    assert_eq!(bench.reports[0].end_reason, Some(EndReason::OutOfMemory));
    assert_eq!(bench.session.running().unwrap().episode_id, 2);
    assert!(bench.session.last_error().unwrap().contains("out of memory"));
}

#[test]
fn the_longest_episode_resets_where_that_is_wanted() {
    let mut config = config("/robot/reset");
    config.reset.on_timeout = true;
    let mut bench = Bench::new(&config);
    bench.frames(0.0, 23, -5.0);
    assert_eq!(bench.log, ["started", "ended", "reset"]);
    assert_eq!(bench.reports[0].end_reason, Some(EndReason::MaxDuration));
    assert_eq!(*bench.session.phase(), Phase::Resetting);
    bench.session.reset_answered(bench.ticket.unwrap(), Ok(()));
    bench.session.settled(bench.ticket.unwrap());
    bench.settle();
    assert_eq!(bench.session.running().unwrap().episode_id, 2);
}

#[test]
fn without_an_instruction_nothing_starts_until_there_is_one() {
    let mut bench = Bench::new(&Config { instruction: " ".into(), ..config("") });
    bench.frame(0.0);
    assert_eq!(*bench.session.phase(), Phase::NoInstruction);
    assert_eq!(bench.session.start_episode(), Err(Refusal::NoInstruction));
    assert_eq!(bench.session.set_instruction("  "), Err(Refusal::Instruction(InstructionError::Empty)));
    bench.session.set_instruction("push the drawer shut").unwrap();
    bench.settle();
    assert_eq!(bench.log, ["started"]);
    assert_eq!(&**bench.session.instruction(), "push the drawer shut");
    assert_eq!(bench.account(), "1 offered = 0 scored + 0 coalesced + 0 skipped + 1 dropped (no_episode 1)");
}

#[test]
fn a_new_instruction_is_asked_at_once_and_old_rewards_are_forgotten() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 6, -5.0);
    bench.hold_back = true;
    bench.frame(3.0);
    bench.session.set_instruction("close the lid").unwrap();
    bench.settle();
    let held = std::mem::take(&mut bench.held);
    assert_eq!(held.iter().map(|r| r.new_frame.is_some()).collect::<Vec<_>>(), [true, false]);
    for request in held {
        let event = bench.scored(request);
        bench.session.engine(event);
    }
    let running = bench.session.running().unwrap();
    assert_eq!(running.scores.len(), 1, "the score of the old instruction is not this one's");
    assert_eq!(bench.session.verdict(), Verdict::Gathering);
    assert_eq!(running.newest.as_ref().unwrap().progress, 0.0);
    assert_eq!(bench.account(), "7 offered = 7 scored + 0 coalesced + 0 skipped + 0 dropped");
}

#[test]
fn a_score_of_an_ended_episode_is_counted_and_discarded() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.hold_back = true;
    bench.frame(0.0);
    assert_eq!(bench.session.end_episode(), Ok(1));
    assert_eq!(bench.session.end_episode(), Err(Refusal::NotRunning));
    assert_eq!(bench.session.start_episode(), Ok(2));
    assert_eq!(bench.session.start_episode(), Err(Refusal::Running(2)));
    let request = bench.held.remove(0);
    let event = bench.scored(request);
    bench.session.engine(event);
    assert!(bench.session.running().unwrap().scores.is_empty());
    assert_eq!(bench.session.account().scored, 1);
}

#[test]
fn until_it_is_activated_nothing_starts() {
    let mut session = Session::new(&config("")).unwrap();
    assert_eq!(session.start_episode(), Err(Refusal::Inactive));
    assert_eq!(session.reset_episode(), Err(Refusal::Inactive));
    session.activate();
    assert_eq!(*session.phase(), Phase::Running);
}

#[test]
fn nobody_starts_on_their_own_without_auto_start() {
    let mut config = config("/robot/reset");
    config.episode.auto_start = false;
    let mut bench = Bench::new(&config);
    assert_eq!(*bench.session.phase(), Phase::Idle);
    assert_eq!(bench.session.start_episode(), Ok(1));
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 8, -0.1);
    let ticket = bench.ticket.unwrap();
    bench.session.reset_answered(ticket, Ok(()));
    bench.session.settled(ticket);
    assert_eq!(*bench.session.phase(), Phase::Idle);
}

#[test]
fn every_frame_is_accounted_for_at_the_end() {
    let mut bench = Bench::new(&config(""));
    bench.hold_back = true;
    for i in 0..6 {
        bench.frame(f64::from(i) * 0.25);
    }
    bench.session.frames_lost(0, DropReason::Undecodable, 1);
    bench.session.frames_lost(0, DropReason::Overrun, 2);
    let refused = bench.held.pop().unwrap();
    bench.session.queue_full(&refused);
    let failed = VlmError::Inference("no memory".into());
    bench.session.engine(EngineEvent::Failed { camera: 0, episode_id: 1, frames: 1, error: failed });
    assert_eq!(bench.session.last_error(), Some("inference failed: no memory"));
    assert_eq!(bench.session.account().pending(), Some(1));
    bench.session.shut_down();
    assert_eq!(
        bench.account(),
        "9 offered = 0 scored + 0 coalesced + 3 skipped + 6 dropped \
         (undecodable 1, overrun 2, queue_full 1, inference_failed 1, shutdown 1)"
    );
    assert_eq!(bench.session.take_effects().len(), 1);
}

#[test]
fn deactivation_ends_the_episode_and_activation_goes_on() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 3, -5.0);
    bench.session.deactivate();
    bench.frame(2.0);
    assert_eq!(bench.log, ["started", "ended"]);
    assert_eq!(bench.reports[0].end_reason, Some(EndReason::Deactivated));
    assert_eq!(bench.session.start_episode(), Err(Refusal::Inactive));
    bench.session.activate();
    bench.settle();
    assert_eq!(bench.log, ["started", "ended", "started"]);
    assert_eq!(bench.account(), "4 offered = 3 scored + 0 coalesced + 0 skipped + 1 dropped (no_episode 1)");
}

#[test]
fn a_reset_under_way_when_the_node_is_deactivated_begins_nothing() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 8, -0.1);
    bench.session.deactivate();
    bench.session.reset_answered(bench.ticket.unwrap(), Ok(()));
    bench.session.settled(bench.ticket.unwrap());
    bench.settle();
    assert_eq!(*bench.session.phase(), Phase::Inactive);
    assert_eq!(bench.log, ["started", "success", "ended", "reset"]);
}

#[test]
fn an_instruction_that_is_too_long_for_the_model_is_refused_and_the_old_one_stays() {
    let mut bench = Bench::new(&config(""));
    let model = InstructionCheck::new(|text| match text.len() {
        tokens if tokens > 20 => Err(VlmError::InstructionTooLong { tokens, limit: 20 }),
        _ => Ok(()),
    });
    bench.session.set_rule(InstructionRule { model: Some(model), ..InstructionRule::default() });
    let refusal = bench.session.set_instruction("lift the cup and then put it down").unwrap_err();
    assert!(refusal.to_string().contains("more than the 20 allowed"), "{refusal}");
    assert_eq!(&**bench.session.instruction(), "lift the cup");
    bench.session.set_instruction("close the lid").unwrap();
}

#[test]
fn a_frozen_video_never_succeeds_and_says_why() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frozen = true;
    bench.frames(0.0, 5, -5.0);
    bench.frames(2.5, 12, -0.1);
    assert_eq!(bench.log, ["started"]);
    assert_eq!(bench.session.verdict().as_str(), "unchanged_video");
    let newest = bench.session.running().unwrap().newest.as_ref().unwrap();
    assert_eq!(newest.verdict.as_str(), "unchanged_video");
}

#[test]
fn a_change_that_the_score_has_not_seen_does_not_count() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.frozen = true;
    bench.frames(0.0, 5, -5.0);
    // Five good scores of the frozen picture are still being made when it moves at last.
    bench.hold_back = true;
    bench.frames(2.5, 5, -0.1);
    bench.frozen = false;
    bench.frame(5.0);
    let moved = bench.held.pop().unwrap();
    for request in std::mem::take(&mut bench.held) {
        let event = bench.scored(request);
        bench.session.engine(event);
    }
    assert_eq!(bench.session.verdict().as_str(), "unchanged_video");
    let event = bench.scored(moved);
    bench.session.engine(event);
    assert_ne!(bench.session.verdict().as_str(), "unchanged_video");
}

#[test]
fn an_episode_that_leads_nowhere_has_failed_and_resets_where_that_is_wanted() {
    for on_failure in [false, true] {
        let mut config = config("/robot/reset");
        config.failure.stuck_s = 3.0;
        config.reset.on_failure = on_failure;
        let mut bench = Bench::new(&config);
        // Progress until 1 s, none for the 3 s after.
        for (i, reward) in [-5.0, -4.0, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0].into_iter().enumerate() {
            bench.frames(i as f64 * 0.5, 1, reward);
        }
        assert_eq!(bench.log, ["started"]);
        bench.frames(4.0, 1, -3.0);
        assert_eq!(bench.log[1..], ["ended", if on_failure { "reset" } else { "started" }]);
        assert_eq!(bench.reports[0].end_reason, Some(EndReason::Stuck));
    }
}

#[test]
fn who_begins_an_episode_by_hand_may_vouch_for_it() {
    for trusted in [false, true] {
        let mut config = config("");
        config.episode.trust_manual_start = trusted;
        config.episode.auto_start = false;
        let mut bench = Bench::new(&config);
        bench.session.start_episode().unwrap();
        bench.settle();
        bench.frames(0.0, 10, -0.1);
        assert_eq!(bench.log.contains(&"success"), trusted);
    }
}

#[test]
fn what_length_alone_gives_is_neither_progress_nor_success() {
    let mut bench = Bench::new(&config("/robot/reset"));
    bench.hold_back = true;
    for i in 0..16 {
        bench.frame(f64::from(i) * 0.5);
        let request = bench.held[i as usize].clone();
        let EngineEvent::Scored { mut score, new_frames } = bench.scored(request) else { panic!("no score") };
        // The reward climbs to -0.1, and so does the control: the scene has not gained anything.
        let climbed = -5.0 + 4.9 * (f64::from(i) / 6.0).min(1.0);
        let control = Control { first: -5.0, log_prob_true: climbed, log_prob_false: -0.5 };
        let Reading { frames, time_s, change, .. } = score.reading;
        score.reading = Reading { frames, time_s, change, ..Reading::of(climbed, -0.5, Some(control)) };
        bench.session.engine(EngineEvent::Scored { score, new_frames });
        bench.settle();
    }
    assert_eq!(bench.log, ["started"]);
    let running = bench.session.running().unwrap();
    assert!(running.scores.iter().all(|point| point.progress == 0.0), "{:?}", running.scores);
}

#[test]
fn a_score_may_be_asked_for_where_none_is_due() {
    let mut config = config("");
    config.scoring.every = 0;
    let mut bench = Bench::new(&config);
    assert_eq!(bench.session.score_now(), Err(Refusal::NoFrames));
    bench.hold_back = true;
    bench.frame(0.0);
    bench.frame(0.5);
    assert!(bench.held.iter().all(|request| !request.score));
    assert_eq!(bench.session.score_now(), Ok(1));
    bench.settle();
    let asked = bench.held.last().unwrap();
    assert!(asked.score && asked.new_frame.is_none() && asked.frames == 2);
}
