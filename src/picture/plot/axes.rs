//! Where values lie on a drawing, and the grid behind them.

use super::svg::{escape, number, put};

/// The drawing's size and the plot's place in it, in the drawing's units.
pub(crate) struct Axes {
    pub width: f64,
    pub height: f64,
    /// The distances of the plot to the drawing's edges.
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    /// The values at the left and the right edge of the plot.
    pub x: (f64, f64),
    /// The values at its lower and its upper edge.
    pub y: (f64, f64),
}

impl Axes {
    pub fn x(&self, value: f64) -> f64 {
        let (from, to) = self.x;
        self.left + (value - from) / (to - from) * (self.width - self.left - self.right)
    }

    pub fn y(&self, value: f64) -> f64 {
        let (from, to) = self.y;
        self.height - self.bottom - (value - from) / (to - from) * (self.height - self.top - self.bottom)
    }

    /// Opens the drawing.
    pub fn begin(&self, class: &str, label: &str) -> String {
        let Self { width, height, .. } = self;
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(label)
        )
    }

    /// Lines at round values of x, without their values.
    pub fn vertical_lines(&self, svg: &mut String) {
        for (value, _) in self.x_ticks() {
            let (x, top, bottom) = (self.x(value), self.top, self.height - self.bottom);
            put(svg, format_args!("<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>"));
        }
    }

    /// Round values of x below the plot.
    pub fn x_values(&self, svg: &mut String, unit: &str) {
        let baseline = self.height - self.bottom + 15.0;
        for (value, text) in self.x_ticks() {
            let x = self.x(value);
            put(svg, format_args!("<text x=\"{x:.1}\" y=\"{baseline:.1}\" class=\"x\">{text}{unit}</text>"));
        }
    }

    /// As many as there is room for, five or more.
    fn x_ticks(&self) -> Vec<(f64, String)> {
        let room = ((self.width - self.left - self.right) / 85.0).floor();
        ticks_of(self.x, room.max(5.0))
    }

    pub fn vertical_grid(&self, svg: &mut String, unit: &str) {
        self.vertical_lines(svg);
        self.x_values(svg, unit);
    }

    pub fn horizontal_grid(&self, svg: &mut String) {
        for (value, text) in ticks(self.y) {
            let (y, left, right) = (self.y(value), self.left, self.width - self.right);
            put(svg, format_args!("<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>"));
            put(
                svg,
                format_args!("<text x=\"{:.1}\" y=\"{:.1}\" class=\"y\">{text}</text>", left - 6.0, y + 4.0),
            );
        }
    }
}

/// Round numbers inside the range, about five, and how they are written.
pub(crate) fn ticks(range: (f64, f64)) -> Vec<(f64, String)> {
    ticks_of(range, 5.0)
}

fn ticks_of((from, to): (f64, f64), about: f64) -> Vec<(f64, String)> {
    let Some(step) = round_step((to - from) / about) else { return Vec::new() };
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((from / step).ceil(), (to / step).floor());
    let furthest = first.abs().max(last.abs());
    if furthest.is_nan() || furthest >= 1e9 {
        // Values that differ only where they can no longer be written.
        return Vec::new();
    }
    let tick = |place: i64| {
        let text = number(place as f64 * step, decimals);
        (place as f64 * step, text)
    };
    (first as i64..=last as i64).map(tick).collect()
}

/// The smallest of …, 0.1, 0.2, 0.5, 1, 2, 5, … that is not below `least`; none for what is not above 0.
pub(crate) fn round_step(least: f64) -> Option<f64> {
    if !(least > 0.0 && least.is_finite()) {
        return None;
    }
    let magnitude = 10f64.powf(least.log10().floor());
    // An error of rounding in the power must not double the step.
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(range: (f64, f64)) -> Vec<String> {
        ticks(range).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(texts((-3.1, 0.0)), ["−3", "−2", "−1", "0"]);
        assert_eq!(texts((0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts((0.0, 8.5)), ["0", "2", "4", "6", "8"]);
        assert_eq!(texts((-0.001, 0.0)), ["−0.0010", "−0.0008", "−0.0006", "−0.0004", "−0.0002", "0.0000"]);
        assert_eq!(texts((-31.0, 0.0)), ["−30", "−20", "−10", "0"]);
        assert_eq!(texts((1.0, 0.0)), Vec::<String>::new());
        assert!(ticks((1.0, 1.0)).is_empty() && ticks((f64::NAN, 1.0)).is_empty());
        assert!(ticks((1e15, 1e15 + 1.0)).is_empty());
    }

    #[test]
    fn values_lie_where_the_rule_of_three_says() {
        // A plot 400 wide from 60 on and 100 high from 20 on.
        let axes = Axes {
            width: 500.0,
            height: 150.0,
            left: 60.0,
            right: 40.0,
            top: 20.0,
            bottom: 30.0,
            x: (0.0, 10.0),
            y: (-4.0, 0.0),
        };
        assert_eq!((axes.x(0.0), axes.x(2.5), axes.x(10.0)), (60.0, 160.0, 460.0));
        assert_eq!((axes.y(0.0), axes.y(-1.0), axes.y(-4.0)), (20.0, 45.0, 120.0));
    }

    #[test]
    fn steps_are_one_two_or_five() {
        for (least, step) in [(0.03, 0.05), (0.1, 0.1), (0.11, 0.2), (6.0, 10.0), (2e-4, 2e-4)] {
            assert!((round_step(least).unwrap() / step - 1.0).abs() < 1e-12, "{least}");
        }
        assert!(round_step(0.0).is_none() && round_step(f64::NAN).is_none());
    }
}
