//! The charts of the page, as SVG.

use std::fmt::Write;

use super::Examined;
use crate::evaluation::CurveMeasures;
use crate::reward::RocPoint;

/// The drawing's size and the plot's place in it.
struct Frame {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        let (from, to) = self.x;
        self.left + (value - from) / (to - from) * (self.width - self.left - self.right)
    }

    fn y(&self, value: f64) -> f64 {
        let (from, to) = self.y;
        self.height - self.bottom - (value - from) / (to - from) * (self.height - self.top - self.bottom)
    }

    fn begin(&self, class: &str, label: &str) -> String {
        let Self { width, height, .. } = self;
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(label)
        )
    }

    fn vertical_grid(&self, svg: &mut String, unit: &str) {
        for value in ticks(self.x) {
            let (x, top, bottom) = (self.x(value), self.top, self.height - self.bottom);
            put(svg, format_args!("<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>"));
            put(
                svg,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"x\">{value}{unit}</text>",
                    bottom + 15.0
                ),
            );
        }
    }

    fn horizontal_grid(&self, svg: &mut String) {
        for value in ticks(self.y) {
            let (y, left, right) = (self.y(value), self.left, self.width - self.right);
            put(svg, format_args!("<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>"));
            put(
                svg,
                format_args!("<text x=\"{:.1}\" y=\"{:.1}\" class=\"y\">{value}</text>", left - 6.0, y + 4.0),
            );
        }
    }
}

/// Writing to a string cannot fail.
fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = svg.write_fmt(text);
}

/// Round numbers inside the range, about five.
fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let span = to - from;
    if !(span > 0.0 && span.is_finite()) {
        return Vec::new();
    }
    let rough = span / 5.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(span);
    let (first, last) = ((from / step).ceil() as i64, (to / step).floor() as i64);
    // Rounded once more: 3 · 0.1 shall not be shown with its error.
    (first..=last).map(|place| (place as f64 * step * 1e6).round() / 1e6 + 0.0).collect()
}

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// An episode's rewards over time.
pub fn episode(episode: &Examined, judged: &CurveMeasures, threshold_nats: f64) -> String {
    let curves = &episode.curves;
    let wrong = curves.wrong.as_ref().map(|(wrong, _)| wrong.as_slice()).unwrap_or_default();
    let last_s = curves.reward.last().map_or(0.0, |point| point.time_s);
    // The control may go on for longer than the episode.
    let control = curves.control.as_ref().map(|control| control.curve.as_slice()).unwrap_or_default();
    let control = &control[..control.partition_point(|point| point.time_s <= last_s)];
    let lines = [("control", control), ("wrong", wrong), ("reward", curves.reward.as_slice())];
    let points = || lines.iter().flat_map(|(_, line)| line.iter());
    let lowest = points().map(|point| point.log_prob_true).fold(threshold_nats, f64::min);
    let frame = Frame {
        width: 480.0,
        height: 220.0,
        left: 42.0,
        right: 12.0,
        top: 10.0,
        bottom: 24.0,
        x: (0.0, last_s.max(0.5)),
        y: (lowest * 1.05 - 0.05, 0.0),
    };
    let mut svg = frame.begin("curve", &format!("rewards of {}", episode.episode));
    frame.vertical_grid(&mut svg, " s");
    frame.horizontal_grid(&mut svg);
    let (y, left, right) = (frame.y(threshold_nats), frame.left, frame.width - frame.right);
    put(&mut svg, format_args!("<path class=\"threshold\" d=\"M{left} {y:.1}H{right}\"/>"));
    for (class, at_s) in [("completed", episode.completed_s), ("called", judged.called_at_s)] {
        if let Some(at_s) = at_s {
            let (x, top, bottom) = (frame.x(at_s), frame.top, frame.height - frame.bottom);
            put(&mut svg, format_args!("<path class=\"{class}\" d=\"M{x:.1} {top}V{bottom}\"/>"));
        }
    }
    for (class, line) in lines {
        let place = |point: &crate::offline::CurvePoint| {
            format!("{:.1},{:.1}", frame.x(point.time_s), frame.y(point.log_prob_true))
        };
        let places: Vec<String> = line.iter().map(place).collect();
        put(&mut svg, format_args!("<polyline class=\"{class}\" points=\"{}\"/>", places.join(" ")));
    }
    for point in &curves.reward {
        let (x, y) = (frame.x(point.time_s), frame.y(point.log_prob_true));
        put(
            &mut svg,
            format_args!(
                "<circle class=\"reward\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"><title>{:.2} s: {:.3} nats</title></circle>",
                point.time_s, point.log_prob_true
            ),
        );
    }
    svg + "</svg>"
}

/// An episode's rewards alone, as small as a word.
pub fn spark(episode: &Examined) -> String {
    let curve = &episode.curves.reward;
    let lowest = curve.iter().map(|point| point.log_prob_true).fold(-1.0, f64::min);
    let last_s = curve.last().map_or(1.0, |point| point.time_s).max(0.5);
    let place = |point: &crate::offline::CurvePoint| {
        format!("{:.1},{:.1}", point.time_s / last_s * 88.0 + 1.0, point.log_prob_true / lowest * 22.0 + 1.0)
    };
    let places: Vec<String> = curve.iter().map(place).collect();
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 90 24\" aria-hidden=\"true\"><polyline class=\"reward\" points=\"{}\"/></svg>",
        places.join(" ")
    )
}

/// One row of success scores for each name: (name, (success, nats)).
pub fn strips(rows: &[(String, Vec<(bool, f64)>)], threshold_nats: f64) -> String {
    const ROW: f64 = 26.0;
    let lowest =
        rows.iter().flat_map(|(_, scores)| scores).map(|(_, nats)| *nats).fold(threshold_nats, f64::min);
    let frame = Frame {
        width: 480.0,
        height: rows.len() as f64 * ROW + 34.0,
        left: 96.0,
        right: 12.0,
        top: 6.0,
        bottom: 24.0,
        x: (lowest * 1.03 - 0.05, 0.0),
        y: (rows.len() as f64, 0.0),
    };
    let mut svg = frame.begin("strips", "success scores of all episodes by group");
    frame.vertical_grid(&mut svg, "");
    let (x, bottom) = (frame.x(threshold_nats), frame.height - frame.bottom);
    put(&mut svg, format_args!("<path class=\"threshold\" d=\"M{x:.1} {}V{bottom}\"/>", frame.top));
    for (index, (name, scores)) in rows.iter().enumerate() {
        let middle = frame.y(index as f64 + 0.5);
        put(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"y\">{}</text>",
                frame.left - 8.0,
                middle + 4.0,
                escape(&cut(name, 13))
            ),
        );
        for (place, (success, nats)) in scores.iter().enumerate() {
            // Equal scores shall not hide each other; seven is prime to the usual numbers of episodes.
            let aside = ((place * 7) % 11) as f64 - 5.0;
            let class = if *success { "good" } else { "bad" };
            put(
                &mut svg,
                format_args!(
                    "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                    frame.x(*nats),
                    middle + aside * 1.5
                ),
            );
        }
    }
    svg + "</svg>"
}

fn cut(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

/// The ROC curve.
pub fn roc(points: &[RocPoint]) -> String {
    let frame = Frame {
        width: 300.0,
        height: 284.0,
        left: 42.0,
        right: 12.0,
        top: 10.0,
        bottom: 28.0,
        x: (0.0, 1.0),
        y: (0.0, 1.0),
    };
    let mut svg = frame.begin("roc", "ROC curve: failures called to the right, successes called upwards");
    frame.vertical_grid(&mut svg, "");
    frame.horizontal_grid(&mut svg);
    let mut path = format!("M{:.1} {:.1}", frame.x(0.0), frame.y(0.0));
    for point in points {
        let (x, y) = (frame.x(point.false_positive_rate), frame.y(point.true_positive_rate));
        put(&mut path, format_args!("L{x:.1} {y:.1}"));
    }
    put(&mut svg, format_args!("<path class=\"reward\" d=\"{path}\"/>"));
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks((-3.1, 0.0)), [-3.0, -2.0, -1.0, 0.0]);
        assert_eq!(ticks((0.0, 1.0)), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks((0.0, 8.5)), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert!(ticks((1.0, 1.0)).is_empty());
    }

    #[test]
    fn text_cannot_become_tags() {
        assert_eq!(escape("<b>\"a\" & 'b'"), "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("short", 16), "short");
        assert_eq!(cut("a name that is long", 8), "a name …");
    }
}
