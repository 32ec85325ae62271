//! The progress curve on its axes.

use super::canvas::{Canvas, Colour, Rect};
use crate::picture::text::Style;
use crate::reward::ScoredPrefix;

/// The time axis is at least this long, so that the first seconds of an episode do not fill it.
const SHORTEST_S: f64 = 5.0;
/// Later times are drawn at the end of the axis.
const LONGEST_S: f64 = 1e7;
const MOST_TICKS: f64 = 6.0;

/// How a curve is drawn: `ink` for labels and grid, `unit` pixels for one pixel of the design.
#[derive(Clone, Copy)]
pub(super) struct PlotStyle {
    pub labels: Style,
    pub ink: Colour,
    pub curve: Colour,
    pub unit: f32,
}

/// From seconds and progress to pixels.
struct Axes {
    area: Rect,
    step_s: f64,
    end_s: f64,
}

impl Axes {
    fn new(area: Rect, newest_s: f64) -> Self {
        let newest_s = newest_s.clamp(SHORTEST_S, LONGEST_S);
        let step_s = nice_step(newest_s / MOST_TICKS);
        Self { area, step_s, end_s: (newest_s / step_s).ceil() * step_s }
    }

    fn x(&self, time_s: f64) -> f32 {
        self.area.left + self.area.width() * (time_s / self.end_s).clamp(0.0, 1.0) as f32
    }

    fn y(&self, progress: f64) -> f32 {
        self.area.bottom - self.area.height() * progress.clamp(0.0, 1.0) as f32
    }
}

/// Draws the curve, 0 to 1 over the seconds of the episode, inside `place`. Points that are NaN are left out, as
/// are points that go back in time.
pub(super) fn draw_plot(canvas: &mut Canvas, place: Rect, curve: &[ScoredPrefix], style: PlotStyle) {
    let unit = style.unit;
    let is_finite = |prefix: &&ScoredPrefix| prefix.reading.time_s.is_finite() && prefix.progress.is_finite();
    let finite: Vec<_> = curve.iter().filter(is_finite).collect();
    let newest_s = finite.iter().map(|prefix| prefix.reading.time_s).fold(0.0, f64::max);
    let area = Rect::new(
        place.left + 26.0 * unit,
        place.top + 7.0 * unit,
        place.right - 12.0 * unit,
        place.bottom - 18.0 * unit,
    );
    let axes = Axes::new(area, newest_s);
    draw_grid(canvas, &axes, style);
    let line = polyline(&axes, &finite);
    fill_below(canvas, &line, area.bottom, style.curve);
    canvas.stroke(&line, 2.5 * unit, style.curve, 1.0);
    if let Some(&newest) = line.last() {
        canvas.fill_disc(newest, 5.0 * unit, [255; 3]);
        canvas.fill_disc(newest, 3.5 * unit, style.curve);
    }
}

fn draw_grid(canvas: &mut Canvas, axes: &Axes, PlotStyle { labels, ink, unit, .. }: PlotStyle) {
    let (area, thin) = (axes.area, unit.round().max(1.0));
    for (progress, label) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let y = axes.y(progress).round();
        let alpha = if progress == 0.0 { 0.7 } else { 0.3 };
        canvas.fill(Rect::new(area.left, y, area.right, y + thin), ink, alpha);
        let right = area.left - 6.0 * unit - labels.width(label);
        labels.draw(canvas, (right, y + 4.5 * unit), label, ink);
    }
    let limit = area.right + 12.0 * unit;
    let mut free_from = f32::MIN;
    for tick in 0..=(axes.end_s / axes.step_s).round() as u32 {
        let time_s = f64::from(tick) * axes.step_s;
        let x = axes.x(time_s).round();
        canvas.fill(Rect::new(x, area.top, x + thin, area.bottom), ink, 0.14);
        canvas.fill(Rect::new(x, area.bottom, x + thin, area.bottom + 4.0 * unit), ink, 0.7);
        let label = format!("{time_s} s");
        let width = labels.width(&label);
        let left = (x - width / 2.0).min(limit - width);
        if left >= free_from {
            free_from = labels.draw(canvas, (left, area.bottom + 15.0 * unit), &label, ink) + 4.0 * unit;
        }
    }
}

/// The smallest of 1, 2, 5, 10, 20, 50, … that is not below `least`.
fn nice_step(least: f64) -> f64 {
    let mut decade = 1.0;
    loop {
        for step in [decade, 2.0 * decade, 5.0 * decade] {
            if step >= least {
                return step;
            }
        }
        decade *= 10.0;
    }
}

/// The curve in pixels. Of the points in one column of pixels only the lowest and the highest are kept, and the newest
/// of all: thousands of points look the same and cost no more than the plot is wide.
fn polyline(axes: &Axes, points: &[&ScoredPrefix]) -> Vec<(f32, f32)> {
    let mut line: Vec<(f32, f32)> = Vec::new();
    let mut column: Option<[(f32, f32); 2]> = None;
    let mut newest = None;
    for point in points {
        let place = (axes.x(point.reading.time_s), axes.y(point.progress));
        if newest.is_some_and(|(x, _)| place.0 < x) {
            continue;
        }
        newest = Some(place);
        column = match column {
            Some([low, high]) if low.0.min(high.0).floor() == place.0.floor() => {
                Some([if place.1 > low.1 { place } else { low }, if place.1 < high.1 { place } else { high }])
            }
            full => {
                line.extend(full.into_iter().flat_map(in_time));
                Some([place, place])
            }
        };
    }
    line.extend(column.into_iter().flat_map(in_time));
    line.extend(newest);
    line.dedup();
    line
}

fn in_time([first, second]: [(f32, f32); 2]) -> [(f32, f32); 2] {
    if first.0 <= second.0 { [first, second] } else { [second, first] }
}

/// Tints what lies between the curve and the axis.
fn fill_below(canvas: &mut Canvas, line: &[(f32, f32)], bottom: f32, colour: Colour) {
    let (Some(first), Some(last)) = (line.first(), line.last()) else { return };
    let mut segment = 0;
    let left = first.0.round();
    let heights: Vec<f32> = (0..(last.0.round() - left).max(0.0) as usize)
        .map(|column| {
            let x = left + column as f32 + 0.5;
            while segment + 2 < line.len() && line[segment + 1].0 < x {
                segment += 1;
            }
            height_at(x, line[segment], line[(segment + 1).min(line.len() - 1)])
        })
        .collect();
    let top = line.iter().map(|place| place.1).fold(bottom, f32::min);
    canvas.cover(Rect::new(left, top, last.0.round(), bottom.round()), colour, 0.28, |x, y| {
        let height = heights.get((x - left) as usize).copied().unwrap_or(bottom);
        (y - height + 0.5).clamp(0.0, 1.0)
    });
}

fn height_at(x: f32, start: (f32, f32), end: (f32, f32)) -> f32 {
    let share = if end.0 > start.0 { ((x - start.0) / (end.0 - start.0)).clamp(0.0, 1.0) } else { 1.0 };
    start.1 + share * (end.1 - start.1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::prefix;
    use super::*;

    fn axes(newest_s: f64) -> Axes {
        Axes::new(Rect::new(100.0, 10.0, 300.0, 110.0), newest_s)
    }

    fn points(rows: &[(f64, f64)]) -> Vec<ScoredPrefix> {
        rows.iter().map(|&(time_s, progress)| prefix(time_s, progress)).collect()
    }

    #[test]
    fn the_time_axis_ends_at_a_round_tick_after_the_newest_point() {
        for (newest_s, step_s, end_s) in
            [(0.0, 1.0, 5.0), (6.1, 2.0, 8.0), (30.0, 5.0, 30.0), (31.0, 10.0, 40.0), (1e300, 2e6, 1e7)]
        {
            let axes = axes(newest_s);
            assert_eq!((axes.step_s, axes.end_s), (step_s, end_s), "{newest_s}");
        }
    }

    #[test]
    fn seconds_run_right_and_progress_up() {
        let axes = axes(10.0);
        assert_eq!((axes.x(0.0), axes.x(5.0), axes.x(99.0)), (100.0, 200.0, 300.0));
        assert_eq!((axes.y(0.0), axes.y(0.25), axes.y(7.0)), (110.0, 85.0, 10.0));
    }

    #[test]
    fn thousands_of_points_become_a_few_for_each_column_and_keep_their_peaks() {
        let mut rows: Vec<_> = (0..9000).map(|i| (f64::from(i) / 900.0, 0.5)).collect();
        rows[4321].1 = 1.0;
        rows[4322].1 = 0.0;
        let curve = points(&rows);
        let line = polyline(&axes(10.0), &curve.iter().collect::<Vec<_>>());
        assert!(line.len() <= 2 * 201, "{}", line.len());
        assert!(line.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert_eq!(line.iter().map(|place| place.1).fold(f32::MAX, f32::min), 10.0);
        assert_eq!(line.iter().map(|place| place.1).fold(0.0, f32::max), 110.0);
    }

    #[test]
    fn points_back_in_time_are_left_out() {
        let curve = points(&[(0.0, 0.0), (6.0, 0.5), (2.0, 0.9), (10.0, 1.0)]);
        let line = polyline(&axes(10.0), &curve.iter().collect::<Vec<_>>());
        assert_eq!(line, [(100.0, 110.0), (220.0, 60.0), (300.0, 10.0)]);
    }

    #[test]
    fn only_what_lies_below_the_curve_is_tinted() {
        let mut canvas = Canvas::new(::image::RgbImage::new(400, 120));
        fill_below(&mut canvas, &[(100.0, 110.0), (200.0, 110.0), (300.0, 10.0)], 110.0, [255; 3]);
        let picture = canvas.into_picture();
        let tinted = |x, y| picture.get_pixel(x, y).0[0] > 0;
        assert!(tinted(250, 65) && tinted(299, 20) && tinted(299, 109));
        assert!(!tinted(250, 55) && !tinted(150, 105) && !tinted(301, 109) && !tinted(250, 110));
    }
}
