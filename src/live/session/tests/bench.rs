//! A session beside an engine that answers at once, or when the test says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::image::RgbImage;

use crate::config::Config;
use crate::episode::{CameraFrame, ChangeMeter, Frame, PrefixRequest};
use crate::live::engine::{EngineEvent, PrefixScore};
use crate::live::session::*;
use crate::reward::Reading;

pub fn config(reset_service: &str) -> Config {
    let mut config = Config { instruction: "lift the cup".into(), ..Config::default() };
    config.success.hold_s = 0.5;
    config.success.min_frames = 4;
    config.episode.max_duration_s = 10.0;
    config.reset.service = reset_service.into();
    config
}

/// A session beside an engine that scores each request at once.
pub struct Bench {
    pub session: Session,
    /// Everything that was to be done, by name.
    pub log: Vec<&'static str>,
    pub reports: Vec<EpisodeReport>,
    pub ticket: Option<ResetTicket>,
    pub reward: f64,
    pub hold_back: bool,
    pub frozen: bool,
    pub held: Vec<PrefixRequest>,
    /// Cameras and their rewards, as they were reported one by one.
    pub by_camera: Vec<(usize, f64)>,
    /// What was said of a camera.
    pub notices: Vec<String>,
    /// The time of whoever drives the session, seconds.
    pub now_s: f64,
    meters: BTreeMap<usize, ChangeMeter>,
}

impl Bench {
    pub fn new(config: &Config) -> Self {
        let session = Session::new(config).unwrap();
        let (log, reports, held) = (Vec::new(), Vec::new(), Vec::new());
        let mut bench = Self {
            session,
            log,
            reports,
            ticket: None,
            reward: -5.0,
            hold_back: false,
            frozen: false,
            held,
            by_camera: Vec::new(),
            notices: Vec::new(),
            now_s: 0.0,
            meters: BTreeMap::new(),
        };
        bench.session.activate();
        bench.settle();
        bench
    }

    pub fn frame(&mut self, time_s: f64) {
        self.frame_of(0, time_s);
    }

    /// The clocks of the first camera and of the driver go together, that of another camera need not.
    pub fn frame_of(&mut self, camera: usize, time_s: f64) {
        if camera == 0 {
            self.now_s = time_s;
        }
        self.stamped(camera, time_s, time_s);
    }

    /// A frame at a time of the driver's, with a stamp of the camera's.
    pub fn stamped(&mut self, camera: usize, time_s: f64, picture_s: f64) {
        let frame = Frame {
            stamp_ns: 1_000_000_000 + (time_s * 1e9) as i64,
            frame_id: "camera".into(),
            rgb: Arc::new(self.picture(picture_s)),
        };
        let frame = CameraFrame::from(frame).received((self.now_s * 1e9) as i64);
        self.take(camera, frame);
        self.settle();
    }

    /// Decodes at once what is due.
    pub fn take(&mut self, camera: usize, frame: CameraFrame) {
        let mut due = self.session.frame(camera, frame).unwrap();
        while let Some(frame) = due {
            due = self.session.decoded(camera, frame.decode()).unwrap();
        }
    }

    /// Something moves, unless the video is frozen.
    pub fn picture(&self, time_s: f64) -> RgbImage {
        let moved = if self.frozen { 0 } else { (time_s * 40.0) as u8 };
        RgbImage::from_fn(4, 4, |x, _| ::image::Rgb([if x == 0 { moved } else { 0 }; 3]))
    }

    /// Two samples a second from `from_s` on, all with this reward.
    pub fn frames(&mut self, from_s: f64, count: usize, reward: f64) {
        self.reward = reward;
        for i in 0..count {
            self.frame(from_s + i as f64 * 0.5);
        }
    }

    /// The largest change that a camera has shown up to a frame that is scored now.
    fn change(&mut self, camera: usize, frame: Option<&Frame>) -> f64 {
        let meter = self.meters.entry(camera).or_default();
        frame.map_or(meter.newest(), |frame| meter.push(&frame.rgb)).largest
    }

    pub fn scored(&mut self, request: PrefixRequest) -> EngineEvent {
        EngineEvent::Scored {
            new_frames: u64::from(request.new_frame.is_some()),
            score: PrefixScore {
                camera: request.camera,
                episode_id: request.episode_id,
                instruction: request.instruction,
                stamp_ns: request.stamp_ns,
                frame_id: request.frame_id,
                reading: Reading {
                    frames: request.frames,
                    time_s: request.time_s,
                    change: self.change(request.camera, request.new_frame.as_ref()),
                    age_s: 0.003,
                    ..Reading::of(self.reward, -0.5, None)
                },
                frame: request.new_frame,
                inference: Duration::from_millis(2),
            },
        }
    }

    pub fn settle(&mut self) {
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

    pub fn carry_out(&mut self, effect: Effect) {
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
            Effect::EpisodeStarted(_) => {
                self.meters.clear();
                "started"
            }
            Effect::CameraProgress(report) => {
                self.by_camera.push((report.score.camera, report.score.reading.log_prob_true));
                return;
            }
            Effect::Progress(_) => return,
            Effect::Notice(_, notice) => {
                self.notices.push(notice.to_string());
                return;
            }
            Effect::Success(_) => "success",
            Effect::EpisodeEnded(report, _) => {
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

    pub fn account(&self) -> String {
        self.session.account().to_string()
    }
}
