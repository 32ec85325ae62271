use r2r::diagnostic_msgs::msg::DiagnosticArray;
use r2r::lifecycle_msgs::msg::TransitionEvent;
use r2r::rcl_interfaces::msg::ParameterEvent;
use r2r::std_msgs::msg::{Bool, Float32, Header};
use r2r::topreward::msg;
use r2r::{Publisher, QosProfile};

use super::rcl::time::{duration_msg, seconds_msg, stamp_from_ns};
use crate::episode::EndReason;
use crate::live::engine::PrefixScore;
use crate::live::session::{EpisodeReport, ProgressReport, SuccessReport};

/// Everything the node publishes.
pub struct Outputs {
    progress: Publisher<msg::Progress>,
    /// Of one camera each; empty with a single camera.
    camera_progress: Vec<Publisher<msg::Progress>>,
    progress_value: Publisher<Float32>,
    success: Publisher<msg::SuccessDetection>,
    success_flag: Publisher<Bool>,
    episode: Publisher<msg::EpisodeSummary>,
    diagnostics: Publisher<DiagnosticArray>,
    parameter_events: Publisher<ParameterEvent>,
    transition_event: Publisher<TransitionEvent>,
}

impl Outputs {
    pub fn new(node: &mut r2r::Node, cameras: &[String]) -> r2r::Result<Self> {
        let reliable = || QosProfile::default().reliable();
        // Whoever joins late learns the last verdict.
        let latched = || QosProfile::default().reliable().transient_local().keep_last(1);
        let mut camera_progress = Vec::new();
        for camera in cameras.iter().filter(|_| cameras.len() > 1) {
            camera_progress.push(node.create_publisher(&format!("~/{camera}/progress"), reliable())?);
        }
        Ok(Self {
            camera_progress,
            progress: node.create_publisher("~/progress", reliable())?,
            progress_value: node.create_publisher("~/progress_value", reliable())?,
            success: node.create_publisher("~/success", latched())?,
            success_flag: node.create_publisher("~/success_flag", latched())?,
            episode: node.create_publisher("~/episode", reliable())?,
            diagnostics: node.create_publisher("/diagnostics", reliable())?,
            parameter_events: node.create_publisher("/parameter_events", reliable().keep_last(1000))?,
            transition_event: node.create_publisher("~/transition_event", reliable())?,
        })
    }

    pub fn progress(&self, report: &ProgressReport) {
        log_failure(self.progress.publish(&progress_msg(report)));
        log_failure(self.progress_value.publish(&Float32 { data: report.progress as f32 }));
    }

    /// One of several cameras was scored.
    pub fn camera_progress(&self, report: &ProgressReport) {
        if let Some(publisher) = self.camera_progress.get(report.score.camera) {
            log_failure(publisher.publish(&progress_msg(report)));
        }
    }

    pub fn transition(&self, event: &TransitionEvent) {
        log_failure(self.transition_event.publish(event));
    }

    pub fn success(&self, report: &SuccessReport) {
        log_failure(self.success.publish(&success_msg(report)));
        log_failure(self.success_flag.publish(&Bool { data: true }));
    }

    /// A new episode has not succeeded.
    pub fn episode_started(&self) {
        log_failure(self.success_flag.publish(&Bool { data: false }));
    }

    pub fn episode_ended(&self, report: &EpisodeReport, instruction: &str) {
        log_failure(self.episode.publish(&summary_msg(report, instruction)));
    }

    pub fn parameters(&self, event: &ParameterEvent) {
        log_failure(self.parameter_events.publish(event));
    }

    pub fn diagnostics(&self, report: &DiagnosticArray) {
        log_failure(self.diagnostics.publish(report));
    }
}

/// The one place where a failure to publish is handled: there is nobody to hand it to.
fn log_failure(result: r2r::Result<()>) {
    if let Err(error) = result {
        log::error!("cannot publish: {error}");
    }
}

fn header(score: &PrefixScore) -> Header {
    Header { stamp: stamp_from_ns(score.stamp_ns), frame_id: score.frame_id.to_string() }
}

fn count(frames: usize) -> u32 {
    u32::try_from(frames).unwrap_or(u32::MAX)
}

fn progress_msg(ProgressReport { score, progress, verdict }: &ProgressReport) -> msg::Progress {
    let reading = &score.reading;
    msg::Progress {
        header: header(score),
        episode_id: score.episode_id,
        instruction: score.instruction.to_string(),
        log_prob_true: reading.log_prob_true,
        log_prob_false: reading.log_prob_false,
        control: reading.control.map_or(f64::NAN, |control| control.log_prob_true),
        corrected: reading.corrected,
        progress: *progress,
        verdict: verdict.as_str().to_owned(),
        frames: count(reading.frames),
        episode_time: seconds_msg(reading.time_s),
        latency: duration_msg(score.latency()),
        inference: duration_msg(score.inference),
    }
}

fn success_msg(report: &SuccessReport) -> msg::SuccessDetection {
    let score = &report.score;
    msg::SuccessDetection {
        header: header(score),
        episode_id: score.episode_id,
        instruction: score.instruction.to_string(),
        mean_log_prob_true: report.mean_nats,
        threshold: report.threshold_nats,
        frames: count(score.reading.frames),
        episode_time: seconds_msg(score.reading.time_s),
    }
}

fn summary_msg(report: &EpisodeReport, instruction: &str) -> msg::EpisodeSummary {
    let newest = report.newest.as_ref();
    let score = newest.map(|newest| &newest.score);
    msg::EpisodeSummary {
        header: score.map(header).unwrap_or_default(),
        episode_id: report.episode_id,
        instruction: instruction.to_owned(),
        success: report.end_reason == Some(EndReason::Success),
        end_reason: report.end_reason.map_or("", EndReason::as_str).to_owned(),
        frames: count(report.frames),
        prefixes: count(report.scores.len()),
        times: report.scores.iter().map(|prefix| prefix.reading.time_s).collect(),
        rewards: report.scores.iter().map(|prefix| prefix.reading.log_prob_true).collect(),
        log_prob_true: score.map_or(f64::NAN, |score| score.reading.log_prob_true),
        progress: newest.map_or(0.0, |newest| newest.progress),
        voc: report.voc().unwrap_or(f64::NAN),
        episode_time: seconds_msg(score.map_or(0.0, |score| score.reading.time_s)),
    }
}
