//! The charts of the page, as SVG.

use super::Examined;
use crate::offline::evaluation::CurveMeasures;
use crate::picture::plot::axes::Axes;
use crate::picture::plot::svg::{escape, put};
use crate::reward::{Reading, RocPoint};

/// An episode's rewards over time.
pub fn episode(episode: &Examined, judged: &CurveMeasures, threshold_nats: f64) -> String {
    let curves = &episode.curves;
    let wrong = curves.wrong.as_deref().unwrap_or_default();
    let last_s = curves.episode.last().map_or(0.0, |point| point.time_s);
    // The control may go on for longer than the episode.
    let control = curves.still.as_deref().unwrap_or_default();
    let control = &control[..control.partition_point(|point| point.time_s <= last_s)];
    let lines = [("control", control), ("wrong", wrong), ("reward", curves.episode.as_slice())];
    let points = || lines.iter().flat_map(|(_, line)| line.iter());
    let lowest = points().map(|point| point.log_prob_true).fold(threshold_nats, f64::min);
    let axes = Axes {
        width: 480.0,
        height: 220.0,
        left: 42.0,
        right: 12.0,
        top: 10.0,
        bottom: 24.0,
        x: (0.0, last_s.max(0.5)),
        y: (lowest * 1.05 - 0.05, 0.0),
    };
    let mut svg = axes.begin("curve", &format!("rewards of {}", episode.episode));
    axes.vertical_grid(&mut svg, " s");
    axes.horizontal_grid(&mut svg);
    let (y, left, right) = (axes.y(threshold_nats), axes.left, axes.width - axes.right);
    put(&mut svg, format_args!("<path class=\"threshold\" d=\"M{left} {y:.1}H{right}\"/>"));
    for (class, at_s) in [("completed", episode.completed_s), ("called", judged.called_at_s)] {
        if let Some(at_s) = at_s {
            let (x, top, bottom) = (axes.x(at_s), axes.top, axes.height - axes.bottom);
            put(&mut svg, format_args!("<path class=\"{class}\" d=\"M{x:.1} {top}V{bottom}\"/>"));
        }
    }
    for (class, line) in lines {
        let place =
            |point: &Reading| format!("{:.1},{:.1}", axes.x(point.time_s), axes.y(point.log_prob_true));
        let places: Vec<String> = line.iter().map(place).collect();
        put(&mut svg, format_args!("<polyline class=\"{class}\" points=\"{}\"/>", places.join(" ")));
    }
    for point in &curves.episode {
        let (x, y) = (axes.x(point.time_s), axes.y(point.log_prob_true));
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
    let curve = &episode.curves.episode;
    let lowest = curve.iter().map(|point| point.log_prob_true).fold(-1.0, f64::min);
    let last_s = curve.last().map_or(1.0, |point| point.time_s).max(0.5);
    let place = |point: &Reading| {
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
    let axes = Axes {
        width: 480.0,
        height: rows.len() as f64 * ROW + 34.0,
        left: 96.0,
        right: 12.0,
        top: 6.0,
        bottom: 24.0,
        x: (lowest * 1.03 - 0.05, 0.0),
        y: (rows.len() as f64, 0.0),
    };
    let mut svg = axes.begin("strips", "success scores of all episodes by group");
    axes.vertical_grid(&mut svg, "");
    let (x, bottom) = (axes.x(threshold_nats), axes.height - axes.bottom);
    put(&mut svg, format_args!("<path class=\"threshold\" d=\"M{x:.1} {}V{bottom}\"/>", axes.top));
    for (index, (name, scores)) in rows.iter().enumerate() {
        let middle = axes.y(index as f64 + 0.5);
        put(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"y\">{}</text>",
                axes.left - 8.0,
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
                    axes.x(*nats),
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
    let axes = Axes {
        width: 300.0,
        height: 284.0,
        left: 42.0,
        right: 12.0,
        top: 10.0,
        bottom: 28.0,
        x: (0.0, 1.0),
        y: (0.0, 1.0),
    };
    let mut svg = axes.begin("roc", "ROC curve: failures called to the right, successes called upwards");
    axes.vertical_grid(&mut svg, "");
    axes.horizontal_grid(&mut svg);
    let mut path = format!("M{:.1} {:.1}", axes.x(0.0), axes.y(0.0));
    for point in points {
        let (x, y) = (axes.x(point.false_positive_rate), axes.y(point.true_positive_rate));
        put(&mut path, format_args!("L{x:.1} {y:.1}"));
    }
    put(&mut svg, format_args!("<path class=\"reward\" d=\"{path}\"/>"));
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("short", 16), "short");
        assert_eq!(cut("a name that is long", 8), "a name …");
    }
}
