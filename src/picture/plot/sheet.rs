//! The sheet that a drawing is made on: its style, its heading, its legend.

use super::drawing::{Drawing, FAMILIES};
use super::svg::{escape, put};
use crate::picture::text::Style;

/// As wide as a README shows pictures.
pub(super) const WIDTH: f64 = 900.0;
pub(super) const MARGIN: f64 = 18.0;
/// Small text: legend, values of the axes, times.
pub(super) const SMALL: f64 = 12.5;
const TITLE: f64 = 19.0;

const STYLE: &str = "
text { font-size: 12.5px; fill: #3c434b; }
.title { font-size: 19px; fill: #14181c; }
.bold { font-weight: 700; }
.x, .name, .time { text-anchor: middle; }
.y { text-anchor: end; }
.grid { stroke: #e4e7eb; fill: none; }
.axis, .tie { stroke: #9aa2ab; fill: none; }
.reward, .progress { stroke: #0072B2; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; fill: none; }
circle.reward { fill: #0072B2; stroke: #ffffff; stroke-width: 1; }
.tint { fill: #56B4E9; fill-opacity: 0.28; }
.control { stroke: #6f7780; stroke-width: 1.7; stroke-dasharray: 2 3; fill: none; }
.threshold { stroke: #D55E00; stroke-width: 1.8; stroke-dasharray: 8 4; fill: none; }
.called { stroke: #009E73; stroke-width: 2.6; fill: none; }
.completed { stroke: #14181c; stroke-width: 2; stroke-dasharray: 0.1 4.5; stroke-linecap: round; fill: none; }
.frame { stroke: #9aa2ab; fill: none; }
.frame.success { stroke: #009E73; stroke-width: 3; }
.bar { fill: #0072B2; }
";

/// How an entry of the legend is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sign {
    Line,
    LineWithDot,
    Upright,
}

/// One entry of a legend: the class of its line, how that is drawn, what it means.
pub(super) struct LegendEntry {
    pub class: &'static str,
    pub sign: Sign,
    pub text: String,
}

/// A drawing in the making: what is below `y` is still free.
pub(super) struct Sheet {
    pub svg: String,
    pub y: f64,
}

impl Sheet {
    pub fn new() -> Self {
        Self { svg: String::new(), y: MARGIN }
    }

    /// The title, bold, on one or two lines.
    pub fn title(&mut self, text: &str) {
        // The bold face has no more.
        let bold = text.is_ascii();
        let style = if bold { Style::bold(TITLE as f32) } else { Style::regular(TITLE as f32) };
        // Room for the dots of an ellipsis that the bold face has to write.
        let mut lines = style.wrap(text, usable() - TITLE as f32, 2);
        if lines.is_empty() {
            lines.push("no instruction".to_owned());
        }
        let class = if bold { "title bold" } else { "title" };
        for line in lines {
            let line = if bold { line.replace('…', "...") } else { line };
            self.text(TITLE, class, &line);
            self.y += 6.0;
        }
    }

    /// One line of small text: `long`, shortened so that `short` has its place behind it.
    pub fn subtitle(&mut self, long: &str, short: &str) {
        let style = Style::regular(SMALL as f32);
        let long = style.fit(long, usable() - style.width(short));
        self.text(SMALL, "", &format!("{long}{short}"));
        self.y += 8.0;
    }

    fn text(&mut self, size: f64, class: &str, text: &str) {
        self.y += size;
        let baseline = self.y - 0.2 * size;
        put(
            &mut self.svg,
            format_args!(
                "<text x=\"{MARGIN}\" y=\"{baseline:.1}\" class=\"{class}\">{}</text>",
                escape(text)
            ),
        );
    }

    /// Entries side by side, on as many lines as they need.
    pub fn legend(&mut self, entries: &[LegendEntry]) {
        const LINE: f64 = 26.0;
        const UPRIGHT: f64 = 8.0;
        const ROW: f64 = 19.0;
        let style = Style::regular(SMALL as f32);
        let mut x = MARGIN;
        self.y += ROW;
        for LegendEntry { class, sign, text } in entries {
            let text = style.fit(text, usable() - LINE as f32 - 7.0);
            let sign_width = if *sign == Sign::Upright { UPRIGHT } else { LINE };
            let width = sign_width + 7.0 + f64::from(style.width(&text));
            if x > MARGIN && x + width > WIDTH - MARGIN {
                x = MARGIN;
                self.y += ROW;
            }
            let (middle, end) = (self.y - 4.5, x + sign_width);
            let path = match sign {
                Sign::Upright => format!("M{:.1} {:.1}v15", x + sign_width / 2.0, middle - 7.5),
                _ => format!("M{x:.1} {middle:.1}H{end:.1}"),
            };
            put(&mut self.svg, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
            if *sign == Sign::LineWithDot {
                let x = x + sign_width / 2.0;
                put(
                    &mut self.svg,
                    format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"3.2\"/>"),
                );
            }
            put(
                &mut self.svg,
                format_args!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", end + 7.0, self.y, escape(&text)),
            );
            x += width + 22.0;
        }
        self.y += 12.0;
    }

    /// The name of an upright axis beside it, `x` from the left edge, around the height `y`.
    pub fn axis_name(&mut self, (x, y): (f64, f64), name: &str) {
        put(
            &mut self.svg,
            format_args!(
                "<text class=\"name\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\">{name}</text>"
            ),
        );
    }

    /// The finished drawing; `label` says what it shows to those who cannot see it.
    pub fn finish(self, label: &str) -> Drawing {
        let (label, height, body) = (escape(label), (self.y + MARGIN).ceil(), self.svg);
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n<title>{label}</title>\n\
             <style>text {{ font-family: {FAMILIES}; }}{STYLE}</style>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}\n</svg>\n"
        );
        Drawing { svg }
    }
}

/// The width that text may take.
fn usable() -> f32 {
    (WIDTH - 2.0 * MARGIN) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (x, y, text) of every text of a drawing that is not rotated.
    fn texts(svg: &str) -> Vec<(f64, f64, String)> {
        let value = |tag: &str, name: &str| {
            let rest = tag.split_once(&format!(" {name}=\""))?.1;
            rest.split_once('"')?.0.parse::<f64>().ok()
        };
        let text = |rest: &str| {
            let (tag, rest) = rest.split_once('>')?;
            let (text, _) = rest.split_once("</text>")?;
            Some((value(tag, "x")?, value(tag, "y")?, text.to_owned()))
        };
        svg.split("<text").skip(1).filter_map(text).collect()
    }

    #[test]
    fn a_long_title_takes_two_lines_and_ends_in_an_ellipsis() {
        let mut sheet = Sheet::new();
        sheet.title(&"put the <red> cube in the box ".repeat(20));
        let found = texts(&sheet.svg);
        assert_eq!(found.len(), 2);
        assert!(found[0].2.contains("&lt;red&gt;") && found[1].2.ends_with("..."));
        // Two lines of 19 and 6 below the margin.
        assert_eq!(sheet.y, MARGIN + 2.0 * 25.0);
        assert!(found[1].1 - found[0].1 == 25.0);
    }

    #[test]
    fn a_long_model_name_leaves_room_for_what_follows() {
        let mut sheet = Sheet::new();
        sheet.subtitle(&"models/".repeat(60), " · VOC 0.98");
        let line = &texts(&sheet.svg)[0].2;
        assert!(line.ends_with("… · VOC 0.98"), "{line}");
        assert!(Style::regular(SMALL as f32).width(line) <= usable());
    }

    #[test]
    fn entries_of_a_legend_never_overlap() {
        let entry = |text: &str| LegendEntry { class: "reward", sign: Sign::Line, text: text.to_owned() };
        let mut sheet = Sheet::new();
        sheet.legend(&[entry("one"), entry(&"two ".repeat(25)), entry("three"), entry(&"four ".repeat(99))]);
        let found = texts(&sheet.svg);
        assert_eq!(found.len(), 4);
        for pair in found.windows(2) {
            let end = pair[0].0 + f64::from(Style::regular(SMALL as f32).width(&pair[0].2));
            assert!(pair[1].1 > pair[0].1 || pair[1].0 > end + 26.0, "{pair:?}");
            assert!(end <= WIDTH - MARGIN + 0.1, "{pair:?}");
        }
        assert!(found[1].1 == found[0].1 && found[3].1 > found[2].1);
    }
}
