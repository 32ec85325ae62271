//! The curve of an episode with its frames under it.

use super::axes::{Axes, ticks};
use super::drawing::{Drawing, DrawingError};
use super::range::{Nats, Place};
use super::sheet::{LegendEntry, MARGIN, SMALL, Sheet, Sign, WIDTH};
use super::svg::{escape, number, points, put};
use super::{ScoredEpisode, Thumbnail};
use crate::offline::SampledFrame;
use crate::picture::text::Style;
use crate::reward::{Reading, ScoredPrefix};

const REWARD_HEIGHT: f64 = 200.0;
const PROGRESS_HEIGHT: f64 = 96.0;
/// A single frame has no time to speak of: the axis is at least this long, seconds.
const SHORTEST_S: f64 = 1.0;
/// More points than this have no dots of their own.
const MOST_DOTS: usize = 100;

/// Draws reward and progress over time, with frames under the times that they were taken at. `frames` are what the
/// model saw, oldest first; of them six to eight are shown.
///
/// # Errors
/// A frame that cannot be made a thumbnail.
pub fn episode(scored: &ScoredEpisode<'_>, frames: &[SampledFrame]) -> Result<Drawing, DrawingError> {
    let mut sheet = Sheet::new();
    sheet.title(scored.instruction);
    sheet.subtitle(scored.model, &measures(scored));
    let last_s = last_s(scored, frames);
    let rewards = scored.prefixes.iter().map(|prefix| prefix.reading.log_prob_true);
    let nats = Nats::of(rewards.chain(control(scored).map(|(_, nats)| nats)), scored.threshold_nats);
    sheet.legend(&legend(scored, nats.threshold));
    let left = left_of([(nats.from, nats.to), (0.0, 1.0)]);
    let panel = |top: f64, height: f64, y: (f64, f64)| Axes {
        width: WIDTH,
        height: top + height,
        left,
        right: MARGIN,
        top,
        bottom: 0.0,
        x: (0.0, last_s),
        y,
    };
    let axes = panel(sheet.y, REWARD_HEIGHT, (nats.from, nats.to));
    reward_panel(&mut sheet, &axes, scored, nats.threshold);
    let axes = panel(axes.height + 16.0, PROGRESS_HEIGHT, (0.0, 1.0));
    progress_panel(&mut sheet, &axes, scored);
    sheet.y = axes.height + 22.0;
    film_strip(&mut sheet, &axes, frames, scored.called_s)?;
    Ok(sheet.finish(&format!("Reward and progress over time: {}", scored.instruction)))
}

fn measures(scored: &ScoredEpisode<'_>) -> String {
    let voc = scored.voc.map_or_else(|| "undefined".to_owned(), |voc| number(voc, 3));
    let success = match scored.called_s {
        Some(at_s) => format!("success called at {} s", number(at_s, 1)),
        None => "success not called".to_owned(),
    };
    format!(" · VOC {voc} · {success}")
}

/// The rewards of the first frame repeated, (seconds, nats), where the control was scored.
fn control<'a>(scored: &'a ScoredEpisode<'_>) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    let still = |prefix: &ScoredPrefix| Some((prefix.reading.time_s, prefix.reading.control?.log_prob_true));
    scored.prefixes.iter().filter_map(still)
}

/// Where the axis of time ends, seconds.
fn last_s(scored: &ScoredEpisode<'_>, frames: &[SampledFrame]) -> f64 {
    let scored_s = scored.prefixes.iter().map(|prefix| prefix.reading.time_s);
    let times = scored_s.chain(frames.iter().map(|frame| frame.time_s));
    let times = times.chain(scored.called_s).chain(scored.completed_s);
    times.filter(|time_s| time_s.is_finite()).fold(SHORTEST_S, f64::max)
}

/// Room for the widest value of the axes and for their names.
fn left_of(ranges: [(f64, f64); 2]) -> f64 {
    let style = Style::regular(SMALL as f32);
    let values = ranges.into_iter().flat_map(ticks);
    let widest = values.map(|(_, text)| f64::from(style.width(&text))).fold(24.0, f64::max);
    (MARGIN + 20.0 + widest + 6.0).ceil()
}

fn legend(scored: &ScoredEpisode<'_>, threshold: Place) -> Vec<LegendEntry> {
    let entry = |class, sign, text: String| LegendEntry { class, sign, text };
    let mut entries = vec![entry("reward", Sign::LineWithDot, "reward".to_owned())];
    if control(scored).next().is_some() {
        entries.push(entry("control", Sign::Line, "reward of the first frame repeated".to_owned()));
    }
    let place = match threshold {
        Place::Above => ", above the plot",
        Place::Below => ", below the plot",
        Place::Shown | Place::Nowhere => "",
    };
    if threshold != Place::Nowhere {
        let text = format!("success threshold {} nats{place}", number(scored.threshold_nats, 2));
        entries.push(entry("threshold", Sign::Line, text));
    }
    if let Some(at_s) = scored.called_s {
        entries.push(entry("called", Sign::Upright, format!("success called, {} s", number(at_s, 1))));
    }
    if let Some(at_s) = scored.completed_s {
        entries.push(entry("completed", Sign::Upright, format!("task completed, {} s", number(at_s, 1))));
    }
    entries
}

fn reward_panel(sheet: &mut Sheet, axes: &Axes, scored: &ScoredEpisode<'_>, threshold: Place) {
    ground(sheet, axes, "reward, nats");
    let svg = &mut sheet.svg;
    if threshold == Place::Shown {
        let (y, left, right) = (axes.y(scored.threshold_nats), axes.left, axes.width - axes.right);
        put(svg, format_args!("<path class=\"threshold\" d=\"M{left} {y:.1}H{right}\"/>"));
    }
    events(svg, axes, scored);
    let still = points(control(scored).map(|(time_s, nats)| (axes.x(time_s), axes.y(nats))));
    polyline(svg, "control", &still);
    let place = |reading: &Reading| (axes.x(reading.time_s), axes.y(reading.log_prob_true));
    let places = || scored.prefixes.iter().map(|prefix| place(&prefix.reading));
    polyline(svg, "reward", &points(places()));
    if scored.prefixes.len() <= MOST_DOTS {
        for (x, y) in places().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            put(svg, format_args!("<circle class=\"reward\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>"));
        }
    }
}

fn progress_panel(sheet: &mut Sheet, axes: &Axes, scored: &ScoredEpisode<'_>) {
    ground(sheet, axes, "progress");
    let svg = &mut sheet.svg;
    let point = |prefix: &ScoredPrefix| (prefix.reading.time_s, prefix.progress);
    let finite = |(time_s, progress): &(f64, f64)| time_s.is_finite() && progress.is_finite();
    let known: Vec<(f64, f64)> = scored.prefixes.iter().map(point).filter(finite).collect();
    let place = |(time_s, progress): &(f64, f64)| (axes.x(*time_s), axes.y(progress.clamp(0.0, 1.0)));
    let line = points(known.iter().map(place));
    if let [first, .., last] = known[..] {
        let (from, to) = (axes.x(first.0), axes.x(last.0));
        let ground = axes.y(0.0);
        put(
            svg,
            format_args!(
                "<polygon class=\"tint\" points=\"{from:.1},{ground:.1} {line} {to:.1},{ground:.1}\"/>"
            ),
        );
    }
    events(svg, axes, scored);
    polyline(svg, "progress", &line);
    if let [only] = known[..] {
        let (x, y) = place(&only);
        put(svg, format_args!("<circle class=\"reward\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>"));
    }
    axes.x_values(svg, " s");
}

fn ground(sheet: &mut Sheet, axes: &Axes, name: &str) {
    axes.vertical_lines(&mut sheet.svg);
    axes.horizontal_grid(&mut sheet.svg);
    let middle = (axes.top + axes.height - axes.bottom) / 2.0;
    sheet.axis_name((MARGIN + 10.0, middle), name);
    let (left, top, bottom) = (axes.left, axes.top, axes.height - axes.bottom);
    put(
        &mut sheet.svg,
        format_args!("<path class=\"axis\" d=\"M{left} {top}V{bottom}H{}\"/>", axes.width - axes.right),
    );
}

/// A line through points; a single one has no line.
fn polyline(svg: &mut String, class: &str, points: &str) {
    if points.contains(' ') {
        put(svg, format_args!("<polyline class=\"{class}\" points=\"{points}\"/>"));
    }
}

/// When success would be called, and when the task was done.
fn events(svg: &mut String, axes: &Axes, scored: &ScoredEpisode<'_>) {
    for (class, at_s) in [("called", scored.called_s), ("completed", scored.completed_s)] {
        if let Some(at_s) = at_s.filter(|at_s| at_s.is_finite()) {
            let (x, top, bottom) = (axes.x(at_s), axes.top, axes.height - axes.bottom);
            put(svg, format_args!("<path class=\"{class}\" d=\"M{x:.1} {top}V{bottom}\"/>"));
        }
    }
}

/// Frames in a row, each tied to its time on the axis above.
fn film_strip(
    sheet: &mut Sheet,
    axes: &Axes,
    frames: &[SampledFrame],
    called_s: Option<f64>,
) -> Result<(), DrawingError> {
    let Some(first) = frames.first() else { return Ok(()) };
    let (width, height) = first.rgb.dimensions();
    let strip = Strip::new(f64::from(width) / f64::from(height.max(1)), frames.len());
    let times_s: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
    let chosen = evenly_in_time(&times_s, strip.count);
    let (from, top) = (sheet.y, sheet.y + 26.0);
    for (place, &index) in chosen.iter().enumerate() {
        let SampledFrame { rgb, time_s } = &frames[index];
        let failed = |source| DrawingError::Frame { time_s: *time_s, source };
        // Two pixels for each unit, as the PNG has them.
        let picture = Thumbnail::of(rgb, (2.0 * strip.width) as u32, 85).map_err(failed)?;
        let left = strip.left(place, chosen.len());
        let (middle, x) = (left + strip.width / 2.0, axes.x(*time_s));
        let success = called_s.is_some_and(|called_s| *time_s >= called_s);
        put(
            &mut sheet.svg,
            format_args!(
                "<path class=\"tie\" d=\"M{x:.1} {:.1}v4M{x:.1} {from:.1}L{middle:.1} {:.1}\"/>",
                axes.height,
                top - 3.0
            ),
        );
        let (w, h) = (strip.width, strip.height);
        put(
            &mut sheet.svg,
            format_args!(
                "<image x=\"{left:.1}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" \
                 preserveAspectRatio=\"xMidYMid meet\" href=\"{}\"/>\
                 <rect class=\"frame{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"/>\
                 <text class=\"time\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>\n",
                picture.data_uri,
                if success { " success" } else { "" },
                top + h + 17.0,
                escape(&format!("{} s", number(*time_s, 1))),
            ),
        );
    }
    sheet.y = top + strip.height + 17.0;
    Ok(())
}

/// How many frames stand in a row, and how large.
struct Strip {
    count: usize,
    width: f64,
    height: f64,
}

impl Strip {
    const GAP: f64 = 8.0;
    const USABLE: f64 = WIDTH - 2.0 * MARGIN;
    const HIGHEST: f64 = 150.0;

    /// `aspect`: width over height of a frame.
    fn new(aspect: f64, frames: usize) -> Self {
        let most: usize = match aspect {
            wide if wide > 1.6 => 6,
            tall if tall < 1.2 => 8,
            _ => 7,
        };
        let share = (Self::USABLE - Self::GAP * (most as f64 - 1.0)) / most as f64;
        let aspect = aspect.clamp(0.05, 20.0);
        let height = (share / aspect).min(Self::HIGHEST);
        Self { count: most.min(frames), width: height * aspect, height }
    }

    /// The left edge of frame `place` of `count`: spread over the whole width, a single one at the beginning.
    fn left(&self, place: usize, count: usize) -> f64 {
        let share = if count > 1 { place as f64 / (count as f64 - 1.0) } else { 0.0 };
        MARGIN + share * (Self::USABLE - self.width)
    }
}

/// The places of at most `count` frames, evenly spread over the time from the first to the last.
fn evenly_in_time(times_s: &[f64], count: usize) -> Vec<usize> {
    let (Some(first), Some(last)) = (times_s.first(), times_s.last()) else { return Vec::new() };
    let parts = count.max(2) as f64 - 1.0;
    let mut chosen: Vec<usize> = (0..count)
        .map(|part| {
            let wanted = first + (last - first) * part as f64 / parts;
            let after = times_s.partition_point(|time_s| *time_s < wanted).min(times_s.len() - 1);
            let before = after.saturating_sub(1);
            if wanted - times_s[before] <= times_s[after] - wanted { before } else { after }
        })
        .collect();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests;
