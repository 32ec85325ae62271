//! How a value is distributed.

use super::axes::{Axes, round_step, ticks};
use super::drawing::Drawing;
use super::sheet::{LegendEntry, MARGIN, SMALL, Sheet, Sign, WIDTH};
use super::svg::{number, put};
use crate::picture::text::Style;

const HEIGHT: f64 = 240.0;
/// About so many bars between the smallest and the largest value.
const BARS: f64 = 40.0;

/// What is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Distribution<'a> {
    pub title: &'a str,
    /// The settings that the values were made with.
    pub settings: &'a str,
    /// What one value is called: "weight".
    pub name: &'a str,
    /// What the values are counted in: "frames".
    pub counted: &'a str,
    /// In any order. NaN is left out, and counted in the legend.
    pub values: &'a [f64],
}

/// Draws the share of the values in each of about 40 bars of equal, round width, with mean and median.
pub fn histogram(distribution: &Distribution<'_>) -> Drawing {
    let mut values: Vec<f64> =
        distribution.values.iter().copied().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let mut sheet = Sheet::new();
    sheet.title(distribution.title);
    sheet.subtitle(distribution.settings, "");
    let left_out = distribution.values.len() - values.len();
    sheet.subtitle(&facts(&values, left_out, distribution), "");
    let bars = Bars::of(&values);
    let (mean, median) = (mean(&values), median(&values));
    sheet.legend(&legend(mean, median));
    let highest = bars.shares.iter().copied().fold(0.0, f64::max);
    let y = (0.0, if highest > 0.0 { highest * 1.06 } else { 1.0 });
    let axes = Axes {
        width: WIDTH,
        height: sheet.y + HEIGHT,
        left: left_of(y),
        right: MARGIN,
        top: sheet.y,
        bottom: 0.0,
        x: bars.range(),
        y,
    };
    bars.draw(&mut sheet, &axes, distribution);
    for (class, value) in [("threshold", mean), ("completed", median)] {
        if let Some(value) = value {
            let (x, top) = (axes.x(value), axes.top);
            put(
                &mut sheet.svg,
                format_args!("<path class=\"{class}\" d=\"M{x:.1} {top}V{}\"/>", axes.height),
            );
        }
    }
    axes.x_values(&mut sheet.svg, "");
    let (middle, baseline) = ((axes.left + WIDTH - MARGIN) / 2.0, axes.height + 36.0);
    let name = super::svg::escape(distribution.name);
    put(
        &mut sheet.svg,
        format_args!("<text class=\"x\" x=\"{middle:.1}\" y=\"{baseline:.1}\">{name}</text>"),
    );
    sheet.y = baseline;
    sheet.finish(&format!("Distribution: {}", distribution.title))
}

/// One line about sorted values.
fn facts(values: &[f64], left_out: usize, distribution: &Distribution<'_>) -> String {
    let mut facts = vec![format!("{} {}", values.len(), distribution.counted)];
    if let (Some(&least), Some(&most)) = (values.first(), values.last()) {
        facts.push(format!("from {} to {}", number(least, 3), number(most, 3)));
        // Where values are cut off, many of them are the same.
        for bound in [least, most] {
            let same = values.iter().filter(|value| **value == bound).count() as f64 / values.len() as f64;
            if same >= 0.01 && least < most {
                facts.push(format!("{} % at {}", number(100.0 * same, 1), number(bound, 3)));
            }
        }
    }
    if left_out > 0 {
        facts.push(format!("{left_out} without a value left out"));
    }
    facts.join(" · ")
}

fn legend(mean: Option<f64>, median: Option<f64>) -> Vec<LegendEntry> {
    let entry = |class, name: &str, value: f64| LegendEntry {
        class,
        sign: Sign::Upright,
        text: format!("{name} {}", number(value, 3)),
    };
    let mean = mean.map(|value| entry("threshold", "mean", value));
    mean.into_iter().chain(median.map(|value| entry("completed", "median", value))).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Of sorted values.
fn median(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| (lower + upper) / 2.0)
}

fn left_of(y: (f64, f64)) -> f64 {
    let style = Style::regular(SMALL as f32);
    let widest = ticks(y).into_iter().map(|(_, text)| f64::from(style.width(&text))).fold(24.0, f64::max);
    (MARGIN + 20.0 + widest + 6.0).ceil()
}

/// Bars of equal width.
struct Bars {
    from: f64,
    step: f64,
    /// Per cent of the values in each.
    shares: Vec<f64>,
}

impl Bars {
    /// Of sorted values. Each bar takes its lower bound, the last its upper one as well.
    fn of(values: &[f64]) -> Self {
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
            return Self { from: 0.0, step: 1.0, shares: Vec::new() };
        };
        let step = match round_step((most - least) / BARS) {
            // So narrow that the bounds look the same.
            Some(step) if step > 1e-9 * least.abs().max(most.abs()) => step,
            _ => {
                let step = (0.1 * least.abs()).max(0.1);
                return Self { from: least - step / 2.0, step, shares: vec![100.0] };
            }
        };
        // Errors of rounding must not begin a bar too early or end one too late.
        let first = (least / step + 1e-9).floor();
        let last = (most / step - 1e-9).ceil().max(first + 1.0);
        let mut shares = vec![0.0; (last - first) as usize];
        let of_one = 100.0 / values.len() as f64;
        for value in values {
            let place = (value / step - first + 1e-9).floor().max(0.0) as usize;
            let place = place.min(shares.len() - 1);
            shares[place] += of_one;
        }
        Self { from: first * step, step, shares }
    }

    /// The values at the ends of the axis.
    fn range(&self) -> (f64, f64) {
        let to = self.from + self.step * self.shares.len().max(1) as f64;
        (self.from - self.step, to + self.step)
    }

    fn draw(&self, sheet: &mut Sheet, axes: &Axes, distribution: &Distribution<'_>) {
        axes.vertical_lines(&mut sheet.svg);
        axes.horizontal_grid(&mut sheet.svg);
        let name = super::svg::escape(&format!("% of the {}", distribution.counted));
        sheet.axis_name((MARGIN + 10.0, axes.top + HEIGHT / 2.0), &name);
        for (place, share) in self.shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let from = self.from + place as f64 * self.step;
            let (left, right, top) = (axes.x(from), axes.x(from + self.step), axes.y(*share));
            let (width, height) = ((right - left - 1.0).max(0.5), axes.height - top);
            put(
                &mut sheet.svg,
                format_args!(
                    "<rect class=\"bar\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
                    left + 0.5
                ),
            );
        }
        let (left, bottom) = (axes.left, axes.height);
        put(
            &mut sheet.svg,
            format_args!("<path class=\"axis\" d=\"M{left} {}V{bottom}H{}\"/>", axes.top, WIDTH - MARGIN),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(values: &[f64]) -> Distribution<'_> {
        Distribution {
            title: "TOP-AWR weights <1>",
            settings: "τ 2, at most 2",
            name: "weight",
            counted: "frames",
            values,
        }
    }

    #[test]
    fn bars_have_round_bounds_and_hold_their_values() {
        // 2 / 40 = 0.05 is a round width: 40 bars, the cap of 2 in the last.
        let bars = Bars::of(&[0.0, 0.049, 0.05, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!((bars.from, bars.step, bars.shares.len()), (0.0, 0.05, 40));
        assert_eq!(
            (bars.shares[0], bars.shares[1], bars.shares[20], bars.shares[39]),
            (25.0, 12.5, 12.5, 50.0)
        );
        assert!((bars.shares.iter().sum::<f64>() - 100.0).abs() < 1e-9);
        // (1.62 − 0.11) / 40 = 0.038, the next round width is 0.05: from 0.10 to 1.65.
        let bars = Bars::of(&[0.11, 1.62]);
        assert!((bars.from - 0.10).abs() < 1e-12 && bars.shares.len() == 31, "{}", bars.shares.len());
    }

    #[test]
    fn equal_values_are_one_bar_and_no_values_none() {
        let bars = Bars::of(&[1.0; 7]);
        assert_eq!((bars.from, bars.step, bars.shares), (0.95, 0.1, vec![100.0]));
        assert!(Bars::of(&[]).shares.is_empty());
        assert_eq!(Bars::of(&[1e12, 1e12 + 1e-4]).shares.len(), 1);
    }

    #[test]
    fn mean_median_and_what_is_cut_off_are_told() {
        let values = [0.5, 1.0, 2.0, 2.0];
        assert_eq!(
            (mean(&values), median(&values), median(&values[..3])),
            (Some(1.375), Some(1.5), Some(1.0))
        );
        assert_eq!((mean(&[]), median(&[])), (None, None));
        let shown = facts(&values, 1, &distribution(&values));
        let expected =
            "4 frames · from 0.500 to 2.000 · 25.0 % at 0.500 · 50.0 % at 2.000 · 1 without a value left out";
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_drawing_is_a_picture_whatever_the_values() {
        for values in
            [&[][..], &[f64::NAN, 1.0], &[0.0; 3], &[-1e300, 1e300], &[1e-300, 2e-300], &[0.2, 1.0, 2.0]]
        {
            let drawing = histogram(&distribution(values));
            assert!(
                drawing.svg.contains("TOP-AWR weights &lt;1&gt;") && drawing.svg.contains("τ 2, at most 2")
            );
            assert!(!drawing.svg.contains("NaN") && !drawing.svg.contains("inf"), "{values:?}");
            let picture = ::image::load_from_memory(&drawing.png().unwrap()).unwrap();
            assert_eq!(picture.width(), 1800);
        }
    }
}
