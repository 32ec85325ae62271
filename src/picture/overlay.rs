//! The picture behind `~/overlay`: the newest scored frame with progress, curve, instruction and state drawn on it.
//!
//! Meant for a glance from a step away at 640×480: one large figure, one curve, one line of state. Everything stands on
//! translucent dark strips, so that it reads on any picture; the colours are blue and green that also colour-blind
//! people can distinguish (after Okabe and Ito), and success shows as a check mark and a frame as well.

mod backdrop;
mod canvas;
mod lettering;
mod plot;

use ::image::RgbImage;

use canvas::{Canvas, Colour, Rect};
use plot::PlotStyle;

use crate::picture::text::Style;
use crate::reward::ScoredPrefix;

const STRIP: Colour = [10, 14, 20];
const STRIP_ALPHA: f32 = 0.78;
const WHITE: Colour = [250, 250, 250];
const MUTED: Colour = [206, 212, 220];
const RUNNING: Colour = [104, 190, 242];
const SUCCESS: Colour = [40, 214, 158];

/// What is to be shown. Nothing in it is refused: values that are not finite are left out, texts that are too long end in an
/// ellipsis.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// The newest scored frame.
    pub frame: &'a RgbImage,
    pub instruction: &'a str,
    pub episode_id: u64,
    /// In a few words: "running", "waiting for the reset".
    pub state: &'a str,
    /// Whether success has been called: colours curve, figure and state.
    pub success: bool,
    /// The mean reward in nats that counts as success.
    pub threshold_nats: f64,
    /// The episode's scored prefixes, oldest first.
    pub curve: &'a [ScoredPrefix],
}

/// Draws the overlay: the frame in its aspect ratio, enlarged to 640 pixels wide where it is smaller, shrunk to
/// 3840 where it is longer, with black bars where it is too flat or narrow to be written on. Both sides of the picture
/// are even. The same input always gives the same picture, and its size depends on the frame's size alone.
pub fn draw(overlay: &Overlay<'_>) -> RgbImage {
    let picture = backdrop::backdrop(overlay.frame);
    let layout = Layout::new(picture.dimensions());
    let mut canvas = Canvas::new(picture);
    draw_instruction(&mut canvas, &layout, overlay);
    canvas.fill(layout.bottom_strip(), STRIP, STRIP_ALPHA);
    draw_figures(&mut canvas, &layout, overlay);
    let style = PlotStyle {
        labels: Style::regular(12.0 * layout.unit),
        ink: MUTED,
        curve: accent(overlay),
        unit: layout.unit,
    };
    plot::draw_plot(&mut canvas, layout.plot(), overlay.curve, style);
    if overlay.success {
        draw_border(&mut canvas, &layout);
    }
    canvas.into_picture()
}

/// Where things stand, designed for 640×480 and scaled by `unit`.
struct Layout {
    width: f32,
    height: f32,
    unit: f32,
}

impl Layout {
    fn new((width, height): (u32, u32)) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self { width, height, unit: (width / 640.0).min(height / 400.0) }
    }

    fn margin(&self) -> f32 {
        14.0 * self.unit
    }

    fn bottom_strip(&self) -> Rect {
        Rect::new(0.0, self.height - 110.0 * self.unit, self.width, self.height)
    }

    /// The column of figures on the left of the bottom strip.
    fn figures(&self) -> Rect {
        let strip = self.bottom_strip();
        Rect::new(self.margin(), strip.top, self.margin() + 172.0 * self.unit, strip.bottom)
    }

    fn plot(&self) -> Rect {
        let strip = self.bottom_strip();
        let inset = 8.0 * self.unit;
        Rect::new(
            self.figures().right + inset,
            strip.top + inset,
            self.width - self.margin(),
            strip.bottom - 5.0 * self.unit,
        )
    }
}

fn accent(overlay: &Overlay<'_>) -> Colour {
    if overlay.success { SUCCESS } else { RUNNING }
}

/// The strip at the top: the instruction on one or two lines, and which episode it is.
fn draw_instruction(canvas: &mut Canvas, layout: &Layout, overlay: &Overlay<'_>) {
    let unit = layout.unit;
    let (large, small) = (Style::regular(17.0 * unit), Style::regular(12.0 * unit));
    let episode = format!("episode {}", overlay.episode_id);
    let episode_left = layout.width - layout.margin() - small.width(&episode);
    let width = episode_left - 2.0 * layout.margin();
    let mut lines = large.wrap(overlay.instruction, width, 2);
    if lines.is_empty() {
        lines.push("no instruction".to_owned());
    }
    let line_height = 22.0 * unit;
    let height = 10.0 * unit + line_height * lines.len() as f32;
    canvas.fill(Rect::new(0.0, 0.0, layout.width, height), STRIP, STRIP_ALPHA);
    for (line, row) in lines.iter().zip(0u8..) {
        let baseline = 21.5 * unit + line_height * f32::from(row);
        large.draw(canvas, (layout.margin(), baseline), line, WHITE);
    }
    small.draw(canvas, (episode_left, 21.5 * unit), &episode, MUTED);
}

/// Progress in large figures, the state, the reward and its threshold.
fn draw_figures(canvas: &mut Canvas, layout: &Layout, overlay: &Overlay<'_>) {
    let (place, unit) = (layout.figures(), layout.unit);
    let (left, top) = (place.left, place.top);
    let baseline = top + 41.0 * unit;
    let figure = progress_figure(overlay.curve);
    let end = Style::bold(44.0 * unit).draw(canvas, (left, baseline), &figure, accent(overlay));
    Style::bold(24.0 * unit).draw(canvas, (end + 4.0 * unit, baseline), "%", accent(overlay));

    let label = Style::regular(14.0 * unit);
    let sign = if overlay.success { "✓ " } else { "" };
    let state = label.fit(&format!("{sign}{}", overlay.state), place.width() - 20.0 * unit);
    if !state.is_empty() {
        let right = left + label.width(&state) + 20.0 * unit;
        let pill = Rect::new(left, top + 48.0 * unit, right, top + 69.0 * unit);
        let (fill, alpha, ink) = if overlay.success { (SUCCESS, 1.0, STRIP) } else { (WHITE, 0.2, WHITE) };
        canvas.fill_rounded(pill, 10.5 * unit, fill, alpha);
        label.draw(canvas, (left + 10.0 * unit, top + 63.5 * unit), &state, ink);
    }

    let small = Style::regular(12.0 * unit);
    let reward = format!("reward {}", nats(overlay.curve.last().map(|newest| newest.reading.log_prob_true)));
    let threshold = format!("threshold {}", nats(Some(overlay.threshold_nats)));
    small.draw(canvas, (left, top + 86.0 * unit), &small.fit(&reward, place.width()), WHITE);
    small.draw(canvas, (left, top + 101.0 * unit), &small.fit(&threshold, place.width()), MUTED);
}

/// Frames the picture, inside its edges.
fn draw_border(canvas: &mut Canvas, layout: &Layout) {
    let (width, height, thick) = (layout.width, layout.height, (4.0 * layout.unit).round());
    for side in [
        Rect::new(0.0, 0.0, width, thick),
        Rect::new(0.0, height - thick, width, height),
        Rect::new(0.0, thick, thick, height - thick),
        Rect::new(width - thick, thick, width, height - thick),
    ] {
        canvas.fill(side, SUCCESS, 1.0);
    }
}

/// The newest progress in percent; a dash where there is none.
fn progress_figure(curve: &[ScoredPrefix]) -> String {
    match curve.last() {
        Some(point) if !point.progress.is_nan() => format!("{:.0}", 100.0 * point.progress.clamp(0.0, 1.0)),
        _ => "–".to_owned(),
    }
}

fn nats(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_infinite() => format!("{}∞", if value < 0.0 { "−" } else { "" }),
        Some(value) if !value.is_nan() => {
            let text =
                if value.abs() < 1000.0 { format!("{value:.2} nats") } else { format!("{value:.1e} nats") };
            text.replace('-', "−")
        }
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests;
