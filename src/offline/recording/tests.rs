use std::sync::Arc;

use ::image::{Rgb, RgbImage};

use super::*;

/// Frames at these times, in seconds; each one's pixel is its number. A frame at a broken place is no picture.
struct Scripted {
    times_s: Vec<f64>,
    broken: Option<usize>,
}

impl Footage for Scripted {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        for (number, time_s) in self.times_s.iter().enumerate() {
            let broken = self.broken == Some(number);
            let decode = move || match broken {
                true => Err(ImageError::Empty { width: 0, height: 7 }),
                false => Ok(RgbImage::from_pixel(1, 1, Rgb([number as u8; 3]))),
            };
            let stamp_ns = 1_700_000_000_000_000_000 + (time_s * 1e9).round() as i64;
            if show(CameraFrame::new(stamp_ns, Arc::from("camera"), None, decode)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn sampled(times_s: &[f64], broken: Option<usize>) -> Result<Sampled, RecordingError> {
    sample(&Scripted { times_s: times_s.to_vec(), broken }, "an episode", 2.0)
}

#[test]
fn samples_are_chosen_by_the_frames_own_times() {
    // An uneven stream: due at 0, 0.5 and 1 s.
    let found = sampled(&[0.0, 0.1, 0.45, 0.8, 1.0, 1.2], None).unwrap();
    assert_eq!(found.numbers, [0, 2, 4]);
    let pixels: Vec<u8> = found.frames.iter().map(|frame| frame.rgb.get_pixel(0, 0).0[0]).collect();
    assert_eq!(pixels, [0, 2, 4]);
    let times_s: Vec<f64> = found.frames.iter().map(|frame| frame.time_s).collect();
    assert_eq!(times_s, [0.0, 0.45, 1.0]);
    assert_eq!(found.recorded_s, [0.0, 0.1, 0.45, 0.8, 1.0, 1.2]);
}

#[test]
fn only_the_samples_must_be_pictures() {
    assert_eq!(sampled(&[0.0, 0.1, 0.5], Some(1)).unwrap().numbers, [0, 2]);
    let error = sampled(&[0.0, 0.1, 0.5], Some(2)).unwrap_err().to_string();
    assert!(error.contains("frame 2 at 0.500 s") && error.contains("0×7"), "{error}");
}

#[test]
fn what_is_no_episode_is_named() {
    let backwards = sampled(&[0.0, 0.5, 0.25], None).unwrap_err().to_string();
    assert!(backwards.contains("frame 2") && backwards.contains("0.250 s before"), "{backwards}");
    let empty = sampled(&[], None).unwrap_err().to_string();
    assert_eq!(empty, "an episode has no frames");
}

#[test]
fn times_that_cannot_be_are_refused() {
    let day_s = 86_400.0;
    let jump = sampled(&[0.0, 0.5, day_s, day_s + 0.5], None).unwrap_err().to_string();
    assert!(jump.contains("frame 2") && jump.contains("86400.000 s after the first"), "{jump}");
    assert_eq!(sampled(&[0.0, 0.5, 60.0], None).unwrap().numbers, [0, 1, 2], "a pause may be");
    let still = sampled(&[0.0, 0.0, 0.0, 0.5], None).unwrap();
    assert_eq!((still.numbers, still.recorded_s.len()), (vec![0, 3], 4));
    let still = sampled(&[0.0, 0.0, 0.0, 0.0, 0.5], None).unwrap_err().to_string();
    assert!(still.contains("3 of its 5 frames") && still.contains("--stamps receipt"), "{still}");
}
