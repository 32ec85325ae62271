use super::*;
use std::time::Duration;

use crate::vlm::{LogProbs, ModelInfo, VlmError};
use ::image::RgbImage;

fn config(reset_service: &str) -> Config {
    let mut config = Config { instruction: "lift the cup".into(), ..Config::default() };
    config.success.hold_s = 0.5;
    config.success.min_frames = 4;
    config.episode.max_duration_s = 10.0;
    config.reset.service = reset_service.into();
    config
}

fn ready() -> EngineEvent {
    let info = ModelInfo { path: "none".into(), parameters: 0, max_pixels: 1, chat_template: false };
    EngineEvent::Ready(info)
}

/// A session beside an engine that scores each request at once.
struct Bench {
    session: Session,
    /// Everything that was to be done, by name.
    log: Vec<&'static str>,
    reports: Vec<EpisodeReport>,
    ticket: Option<ResetTicket>,
    reward: f64,
    hold_back: bool,
    held: Vec<PrefixRequest>,
}

impl Bench {
    fn new(config: &Config) -> Self {
        let session = Session::new(config).unwrap();
        let (log, reports, held) = (Vec::new(), Vec::new(), Vec::new());
        let mut bench = Self { session, log, reports, ticket: None, reward: -5.0, hold_back: false, held };
        bench.session.engine(ready());
        bench.settle();
        bench
    }

    fn frame(&mut self, time_s: f64) {
        self.session.frame(Frame {
            stamp_ns: 1_000_000_000 + (time_s * 1e9) as i64,
            frame_id: "camera".into(),
            rgb: Arc::new(RgbImage::new(4, 4)),
        });
        self.settle();
    }

    /// Two samples a second from `from_s` on, all with this reward.
    fn frames(&mut self, from_s: f64, count: usize, reward: f64) {
        self.reward = reward;
        for i in 0..count {
            self.frame(from_s + i as f64 * 0.5);
        }
    }

    fn scored(&self, request: PrefixRequest) -> EngineEvent {
        EngineEvent::Scored {
            new_frames: u64::from(request.new_frame.is_some()),
            score: PrefixScore {
                episode_id: request.episode_id,
                instruction: request.instruction,
                frames: request.frames,
                time_s: request.time_s,
                stamp_ns: request.stamp_ns,
                frame_id: request.frame_id,
                log_probs: LogProbs { log_prob_true: self.reward, log_prob_false: -0.5 },
                latency: Duration::from_millis(3),
                inference: Duration::from_millis(2),
            },
        }
    }

    fn settle(&mut self) {
        loop {
            let effects = self.session.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        self.log.push(match effect {
            Effect::Submit(request) if self.hold_back => {
                self.held.push(request);
                return;
            }
            Effect::Submit(request) => {
                let event = self.scored(request);
                self.session.engine(event);
                return;
            }
            Effect::EpisodeStarted(_) => "started",
            Effect::Progress(_) => return,
            Effect::Success(_) => "success",
            Effect::EpisodeEnded(report) => {
                self.reports.push(report);
                "ended"
            }
            Effect::CallReset(ticket) => {
                self.ticket = Some(ticket);
                "reset"
            }
            Effect::Settle(_) => "settle",
        });
    }

    fn account(&self) -> String {
        self.session.account().to_string()
    }
}

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
    bench.session.reset_answered(bench.ticket.unwrap(), Err("the gripper is stuck".into()));
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
fn a_clock_set_back_begins_the_next_episode_with_that_frame() {
    for auto_start in [true, false] {
        let mut config = config("/robot/reset");
        config.episode.auto_start = auto_start;
        let mut bench = Bench::new(&config);
        if !auto_start {
            bench.session.start_episode().unwrap();
            bench.settle();
        }
        bench.frames(5.0, 6, -5.0);
        bench.frame(0.0);
        assert_eq!(bench.log, ["started", "ended", "started"]);
        assert_eq!(bench.reports[0].end_reason, Some(EndReason::TimeJump));
        let running = bench.session.running().unwrap();
        assert_eq!((running.episode_id, running.frames, running.rewards.len()), (2, 1, 1));
        assert_eq!(bench.account(), "7 offered = 7 scored + 0 coalesced + 0 skipped + 0 dropped");
    }
}

#[test]
fn without_an_instruction_nothing_starts_until_there_is_one() {
    let mut bench = Bench::new(&Config { instruction: " ".into(), ..config("") });
    bench.frame(0.0);
    assert_eq!(*bench.session.phase(), Phase::NoInstruction);
    assert_eq!(bench.session.start_episode(), Err(Refusal::NoInstruction));
    assert_eq!(bench.session.set_instruction("  "), Err(Refusal::EmptyInstruction));
    bench.session.set_instruction("push the drawer shut").unwrap();
    bench.settle();
    assert_eq!(bench.log, ["started"]);
    assert_eq!(&*bench.session.running().unwrap().instruction, "push the drawer shut");
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
    assert_eq!(running.rewards.len(), 1, "the score of the old instruction is not this one's");
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
    assert!(bench.session.running().unwrap().rewards.is_empty());
    assert_eq!(bench.session.account().scored, 1);
}

#[test]
fn until_the_model_is_loaded_nothing_starts() {
    let mut session = Session::new(&config("")).unwrap();
    assert_eq!(session.start_episode(), Err(Refusal::Loading));
    assert_eq!(session.reset_episode(), Err(Refusal::Loading));
    session.engine(ready());
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
    bench.session.frames_lost(DropReason::Undecodable, 1);
    bench.session.frames_lost(DropReason::Overrun, 2);
    let refused = bench.held.pop().unwrap();
    bench.session.queue_full(&refused);
    let failed = VlmError::Inference("no memory".into());
    bench.session.engine(EngineEvent::Failed { episode_id: 1, frames: 1, error: failed });
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
