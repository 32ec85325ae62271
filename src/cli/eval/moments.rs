//! The frames of an episode that the page shows.

use anyhow::{Context, Result};

use crate::offline::SampledFrame;
use crate::picture::plot::Thumbnail;
use crate::reward::Reading;

const WIDTH: u32 = 200;
const JPEG_QUALITY: u8 = 70;

/// One frame of an episode.
#[derive(Debug)]
pub struct Moment {
    pub name: &'static str,
    pub time_s: f64,
    /// Of the prefix that ends here, if it was scored, nats.
    pub reward: Option<f64>,
    pub picture: Thumbnail,
}

/// Start, quarter, half, three quarters and end, and the frame at which success would be called.
///
/// # Errors
/// A frame that cannot be encoded.
pub fn of(frames: &[SampledFrame], curve: &[Reading], called_at_s: Option<f64>) -> Result<Vec<Moment>> {
    let Some(last) = frames.len().checked_sub(1) else { return Ok(Vec::new()) };
    let names = ["start", "quarter", "half", "three quarters", "end"];
    let mut chosen: Vec<(usize, &'static str)> =
        names.into_iter().enumerate().map(|(part, name)| ((last * part + 2) / 4, name)).collect();
    // A short episode has one frame for several of them.
    let mut seen = Vec::new();
    chosen.retain(|&(place, name)| match name {
        "start" => true,
        "end" => last > 0,
        _ if place == 0 || place == last || seen.contains(&place) => false,
        _ => {
            seen.push(place);
            true
        }
    });
    let called = called_at_s.and_then(|at| frames.iter().position(|frame| frame.time_s == at));
    chosen.extend(called.map(|place| (place, "success called")));
    chosen.sort_by_key(|&(place, _)| place);
    chosen.into_iter().map(|(place, name)| moment(&frames[place], place, name, curve)).collect()
}

fn moment(frame: &SampledFrame, place: usize, name: &'static str, curve: &[Reading]) -> Result<Moment> {
    let picture = Thumbnail::of(&frame.rgb, WIDTH, JPEG_QUALITY).context("a picture for the report")?;
    let scored = curve.iter().find(|point| point.frames == place + 1);
    Ok(Moment { name, time_s: frame.time_s, reward: scored.map(|point| point.log_prob_true), picture })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::RgbImage;
    use std::sync::Arc;

    fn chosen(count: usize, called_at_s: Option<f64>) -> Vec<(&'static str, f64)> {
        let frames: Vec<SampledFrame> = (0..count)
            .map(|i| SampledFrame { rgb: Arc::new(RgbImage::new(300, 200)), time_s: i as f64 * 0.5 })
            .collect();
        of(&frames, &[], called_at_s).unwrap().iter().map(|t| (t.name, t.time_s)).collect()
    }

    #[test]
    fn the_moments_are_evenly_spread() {
        let expected =
            [("start", 0.0), ("quarter", 1.0), ("half", 2.0), ("three quarters", 3.0), ("end", 4.0)];
        assert_eq!(chosen(9, None), expected);
        assert_eq!(chosen(9, Some(3.5))[4], ("success called", 3.5));
    }

    #[test]
    fn short_episodes_show_each_frame_once() {
        assert_eq!(chosen(1, None), [("start", 0.0)]);
        assert_eq!(chosen(2, None), [("start", 0.0), ("end", 0.5)]);
        assert_eq!(chosen(3, None), [("start", 0.0), ("quarter", 0.5), ("end", 1.0)]);
        assert!(chosen(0, None).is_empty());
    }

    #[test]
    fn a_moment_tells_the_reward_of_the_prefix_that_ends_there() {
        let frames = [SampledFrame { rgb: Arc::new(RgbImage::new(400, 300)), time_s: 0.0 }];
        let point = Reading { frames: 1, ..Reading::of(-2.0, -0.1, None) };
        let moments = of(&frames, &[point], None).unwrap();
        assert_eq!((moments[0].picture.width, moments[0].reward), (200, Some(-2.0)));
    }
}
