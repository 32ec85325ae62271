//! `~/overlay`: what the model sees with what it makes of it, drawn only while someone looks.

use std::sync::Arc;

use ::image::{RgbImage, imageops};
use r2r::sensor_msgs::msg::Image;
use r2r::std_msgs::msg::Header;
use r2r::{Publisher, QosProfile};

use super::rcl::time::stamp_from_ns;
use crate::episode::EndReason;
use crate::live::engine::PrefixScore;
use crate::live::session::{Effect, Phase, Session};
use crate::picture::overlay::{Overlay, draw};

/// Keeps what there is to draw, and publishes it.
pub struct OverlayOutput {
    publisher: Publisher<Image>,
    /// The newest scored frame of each camera.
    frames: Vec<Option<Arc<RgbImage>>>,
    header: Header,
    /// Whether anything has changed since it was drawn.
    changed: bool,
    viewers: usize,
}

impl OverlayOutput {
    pub fn new(node: &mut r2r::Node, cameras: usize) -> r2r::Result<Self> {
        let qos = QosProfile::default().reliable().keep_last(1);
        Ok(Self {
            publisher: node.create_publisher("~/overlay", qos)?,
            frames: vec![None; cameras],
            header: Header::default(),
            changed: false,
            viewers: 0,
        })
    }

    /// A camera's frame was scored.
    pub fn scored(&mut self, score: &PrefixScore) {
        let Some(frame) = &score.frame else { return };
        self.frames[score.camera] = Some(frame.rgb.clone());
        self.header = Header { stamp: stamp_from_ns(score.stamp_ns), frame_id: score.frame_id.to_string() };
        self.changed = true;
    }

    /// Follows what the session does.
    pub fn note(&mut self, effect: &Effect) {
        self.changed |= !matches!(effect, Effect::Submit(_) | Effect::CameraProgress(_) | Effect::Notice(..));
    }

    /// Something else that is drawn has changed.
    pub fn redraw(&mut self) {
        self.changed = true;
    }

    /// Draws and publishes, if someone looks and there is something new for them. An error is what could not be published.
    pub fn publish(&mut self, session: &Session) -> r2r::Result<()> {
        let viewers = self.publisher.get_inter_process_subscription_count()?;
        let newcomer = viewers > std::mem::replace(&mut self.viewers, viewers);
        if viewers == 0 || !(self.changed || newcomer) {
            return Ok(());
        }
        let Some(frame) = side_by_side(&self.frames) else { return Ok(()) };
        self.changed = false;
        let episode = session.newest_episode();
        let success = episode.is_some_and(|episode| episode.end_reason == Some(EndReason::Success));
        let picture = draw(&Overlay {
            frame: &frame,
            instruction: session.instruction(),
            episode_id: episode.map_or(0, |episode| episode.episode_id),
            state: state(session, success),
            success,
            threshold_nats: session.threshold_nats(),
            curve: episode.map_or(&[], |episode| &episode.scores),
        });
        let (width, height) = picture.dimensions();
        self.publisher.publish(&Image {
            header: self.header.clone(),
            height,
            width,
            encoding: "rgb8".to_owned(),
            is_bigendian: 0,
            step: width * 3,
            data: picture.into_raw(),
        })
    }
}

/// Short enough for a glance.
fn state(session: &Session, success: bool) -> &'static str {
    match session.phase() {
        Phase::Inactive => "not active",
        Phase::NoInstruction => "no instruction",
        Phase::Running => "running",
        Phase::Resetting => "resetting",
        Phase::Settling => "settling",
        Phase::ResetFailed(_) => "reset failed",
        Phase::Idle if success => "success",
        Phase::Idle => "idle",
    }
}

/// The cameras' frames in one row, as tall as the first; `None` before the first frame.
fn side_by_side(frames: &[Option<Arc<RgbImage>>]) -> Option<Arc<RgbImage>> {
    let there: Vec<&Arc<RgbImage>> = frames.iter().flatten().collect();
    let (first, others) = there.split_first()?;
    if others.is_empty() {
        return Some(Arc::clone(first));
    }
    let height = first.height();
    let scaled = |frame: &RgbImage| {
        let width = (f64::from(frame.width()) * f64::from(height) / f64::from(frame.height())).round();
        imageops::resize(frame, (width as u32).max(1), height, imageops::FilterType::Triangle)
    };
    let row: Vec<RgbImage> = there.iter().map(|frame| scaled(frame)).collect();
    let mut joined = RgbImage::new(row.iter().map(RgbImage::width).sum(), height);
    let mut left = 0;
    for frame in &row {
        imageops::replace(&mut joined, frame, left, 0);
        left += i64::from(frame.width());
    }
    Some(Arc::new(joined))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::Rgb;

    fn plain(width: u32, height: u32, value: u8) -> Option<Arc<RgbImage>> {
        Some(Arc::new(RgbImage::from_pixel(width, height, Rgb([value; 3]))))
    }

    #[test]
    fn cameras_stand_side_by_side_at_one_height() {
        assert!(side_by_side(&[None, None]).is_none());
        assert_eq!(side_by_side(&[None, plain(8, 6, 1)]).unwrap().dimensions(), (8, 6));
        let joined = side_by_side(&[plain(8, 6, 10), plain(32, 12, 200)]).unwrap();
        assert_eq!(joined.dimensions(), (24, 6));
        assert_eq!((joined.get_pixel(7, 3)[0], joined.get_pixel(8, 3)[0]), (10, 200));
    }
}
