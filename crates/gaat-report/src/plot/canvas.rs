//! The drawing both plots share: frame, axes, grid, marks, text.

use super::axis::{Axis, FittedAxis};
use std::fmt::Write;

pub(super) const TEXT: &str = "#222222";
const GRID: &str = "#e4e4e4";
/// Colours that most kinds of colour-blindness tell apart (Tol 2021, bright, with black and brown).
const COLOURS: [&str; 9] =
    ["#000000", "#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#8c510a", "#888888"];

/// Between the frame and the ends of the axes, so that no mark lies on the frame.
pub(super) const INSET: f64 = 14.0;

/// Height of one line of text, and width of one character, in pixels.
pub(super) const LINE: f64 = 16.0;
pub(super) const CHARACTER: f64 = 7.2;

/// The colour of the series or method of this number.
pub(super) fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// Where a plot lies on its page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// SVG under construction.
pub(super) struct Canvas {
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif\" font-size=\"13\" \
             role=\"img\">\n"
        );
        let _ = writeln!(text, "<title>{}</title>", escaped(title));
        let _ = writeln!(text, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
        let mut canvas = Self { text };
        canvas.text(width / 2.0, 24.0, title, Anchor::Middle, "15");
        canvas
    }

    /// Grid, ticks, labels and box of a plot.
    pub(super) fn axes(
        &mut self,
        frame: Frame,
        (x, fitted_x): (&Axis, &FittedAxis),
        (y, fitted_y): (&Axis, &FittedAxis),
    ) {
        let Frame { left, top, right, bottom } = frame;
        for (tick, label) in fitted_x.ticks.iter().zip(fitted_x.labels()) {
            let at = fitted_x.pixel(*tick);
            self.segment((at, top), (at, bottom), GRID, 1.0, "");
            self.text(at, bottom + 18.0, &label, Anchor::Middle, "12");
        }
        for (tick, label) in fitted_y.ticks.iter().zip(fitted_y.labels()) {
            let at = fitted_y.pixel(*tick);
            self.segment((left, at), (right, at), GRID, 1.0, "");
            self.text(left - 8.0, at + 4.0, &label, Anchor::End, "12");
        }
        let (width, height) = (right - left, bottom - top);
        self.push(format_args!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"{TEXT}\"/>"
        ));
        self.text(f64::midpoint(left, right), bottom + 40.0, &x.label, Anchor::Middle, "13");
        let (across, down) = (18.0, f64::midpoint(top, bottom));
        self.push(format_args!(
            "<text x=\"{across}\" y=\"{down:.1}\" text-anchor=\"middle\" fill=\"{TEXT}\" \
             transform=\"rotate(-90 {across} {down:.1})\">{}</text>",
            escaped(&y.label)
        ));
        self.push(format_args!(
            "<clipPath id=\"frame\"><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/></clipPath>"
        ));
    }

    /// What is drawn next stays inside the frame of [`axes`](Self::axes), until [`end_clip`](Self::end_clip).
    pub(super) fn begin_clip(&mut self) {
        self.push(format_args!("<g clip-path=\"url(#frame)\">"));
    }

    pub(super) fn end_clip(&mut self) {
        self.push(format_args!("</g>"));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, anchor: Anchor, size: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{TEXT}\">{}</text>",
            escaped(text)
        ));
    }

    pub(super) fn segment(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        colour: &str,
        width: f64,
        dashes: &str,
    ) {
        self.polyline(&[from, to], colour, width, dashes);
    }

    /// Joined points; `dashes` as in `stroke-dasharray`, empty for a whole line.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dashes: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}/>",
            points.join(" ")
        ));
    }

    /// Bars of one standard deviation to each side, with caps; a cut-off bar keeps its cap at the edge.
    pub(super) fn error_bar(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        const CAP: f64 = 3.5;
        self.segment(from, to, colour, 1.2, "");
        let is_upright = (from.0 - to.0).abs() < (from.1 - to.1).abs();
        for (x, y) in [from, to] {
            let (dx, dy) = if is_upright { (CAP, 0.0) } else { (0.0, CAP) };
            self.segment((x - dx, y - dy), (x + dx, y + dy), colour, 1.2, "");
        }
    }

    /// A mark whose shape tells series apart where their colours do not.
    pub(super) fn mark(&mut self, (x, y): (f64, f64), index: usize, colour: &str) {
        const R: f64 = 4.0;
        let polygon = |corners: &[(f64, f64)]| -> String {
            let corners = corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx * R, y + dy * R));
            format!("<polygon points=\"{}\" fill=\"{colour}\"/>", corners.collect::<Vec<_>>().join(" "))
        };
        let shape = match index % 5 {
            0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{R}\" fill=\"{colour}\"/>"),
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            _ => polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
        };
        self.push(format_args!("{shape}"));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    pub(super) fn finish(self) -> String {
        self.text + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
