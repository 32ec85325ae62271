//! One episode: a video, an animated picture, a folder of pictures.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::findings::{Findings, counted};
use crate::episode::{Admission, Sampler};
use crate::offline::recording::{Animation, Footage, Pictures, Video, VideoStream};

pub fn video(file: &Path, sample_fps: f64) -> Result<Findings> {
    let stream = Video::open(file)?.stream()?;
    let stamps_ns = stream.packets(file)?.stamps_ns;
    let mut found = Findings::new("video", "a video");
    found.plain("container", stream.container.as_str());
    found.plain("codec", stream.codec.as_str());
    found.plain("pixel_format", stream.pixel_format.as_str());
    size(&mut found, &stream);
    if !stream.timed {
        found.add("timed", false, "no: it carries no times, and its frames are taken at a constant rate");
    }
    times(&mut found, &stamps_ns, sample_fps)?;
    Ok(found)
}

fn size(found: &mut Findings, stream: &VideoStream) {
    let (width, height) = (stream.width, stream.height);
    found.add("size", json!([width, height]), format!("{width}×{height} pixels"));
    if stream.rotation != 0 {
        let shown = format!("{}° clockwise: scored as it is shown", stream.rotation);
        found.add("rotation_degrees", stream.rotation, shown);
    }
    if let Some(aspect) = stream.pixel_aspect.filter(|aspect| aspect.num != aspect.den) {
        let text = format!("{}:{}", aspect.num, aspect.den);
        let shown = format!("{text}: its pixels are not square, and are scored as they are stored");
        found.add("pixel_aspect", text, shown);
    }
}

pub fn animation(animation: &Animation, sample_fps: f64) -> Result<Findings> {
    let mut found = Findings::new("animation", format!("an animated {}", animation.format()));
    let (mut stamps_ns, mut first_size) = (Vec::new(), None);
    animation.play(&mut |frame| {
        stamps_ns.push(frame.stamp_ns);
        first_size = first_size.or(frame.size);
        ControlFlow::Continue(())
    })?;
    if let Some((width, height)) = first_size {
        found.add("size", json!([width, height]), format!("{width}×{height} pixels"));
    }
    times(&mut found, &stamps_ns, sample_fps)?;
    Ok(found)
}

pub fn pictures(folder: &Path, fps: Option<f64>, sample_fps: f64) -> Result<Findings> {
    let pictures = Pictures::open(folder, fps.unwrap_or(1.0))?;
    let mut found = Findings::new("pictures", "a folder of pictures");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files = pictures.files();
    if let [first, .., last] = files {
        found.plain("first", name(first));
        found.plain("last", name(last));
    }
    let mut sizes: Vec<(u32, u32)> = Vec::new();
    for file in files {
        // Only the header is read.
        let size = dimensions(file).with_context(|| name(file))?;
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let shown: Vec<String> = sizes.iter().map(|(width, height)| format!("{width}×{height}")).collect();
    let warning = if sizes.len() > 1 { ": frames of one episode must have one size" } else { " pixels" };
    found.add("sizes", json!(sizes), format!("{}{warning}", shown.join(", ")));
    match fps {
        Some(_) => {
            let mut stamps_ns = Vec::new();
            pictures.play(&mut |frame| {
                stamps_ns.push(frame.stamp_ns);
                ControlFlow::Continue(())
            })?;
            times(&mut found, &stamps_ns, sample_fps)?;
        }
        None => found.add("frames", files.len(), format!("{} (give --fps to see their times)", files.len())),
    }
    Ok(found)
}

/// Frames, their rate, and which of them the model would see.
fn times(found: &mut Findings, stamps_ns: &[i64], sample_fps: f64) -> Result<()> {
    found.plain("frames", stamps_ns.len());
    let (Some(first), Some(last)) = (stamps_ns.first(), stamps_ns.last()) else { return Ok(()) };
    let seconds = |ns: i64| ns as f64 / 1e9;
    let length_s = seconds(last.saturating_sub(*first));
    found.add("last_frame_s", length_s, format!("{length_s:.3} s after the first"));
    let intervals: Vec<i64> = stamps_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    if let (Some(least), Some(most)) = (intervals.iter().min(), intervals.iter().max()) {
        let average = intervals.len() as f64 / length_s;
        // Stamps are rounded to nanoseconds.
        let fixed = most - least <= 2;
        let shown = match fixed {
            true => format!("{average:.3} frames a second, fixed"),
            false => format!(
                "{average:.3} frames a second on average, variable: {:.1} to {:.1} ms apart",
                *least as f64 / 1e6,
                *most as f64 / 1e6
            ),
        };
        found.add("frame_rate", json!({ "average": average, "fixed": fixed }), shown);
    }
    samples(found, stamps_ns, sample_fps)
}

fn samples(found: &mut Findings, stamps_ns: &[i64], sample_fps: f64) -> Result<()> {
    let mut sampler = Sampler::new(sample_fps)?;
    let taken: Vec<usize> = stamps_ns
        .iter()
        .enumerate()
        .filter(|(_, stamp_ns)| sampler.admit(**stamp_ns, None) == Admission::Take)
        .map(|(number, _)| number)
        .collect();
    let begin: Vec<String> = taken.iter().take(8).map(ToString::to_string).collect();
    let more = if taken.len() > begin.len() { ", …" } else { "" };
    let count = counted(taken.len(), "frame", "frames");
    let shown = format!("{count} at {sample_fps} a second: {}{more}", begin.join(", "));
    let value: Value = json!({ "rate_hz": sample_fps, "frames": taken });
    found.add("samples", value, shown);
    Ok(())
}

/// Width and height by the picture's own header, whatever its name says.
fn dimensions(file: &Path) -> Result<(u32, u32)> {
    Ok(::image::ImageReader::open(file)?.with_guessed_format()?.into_dimensions()?)
}
