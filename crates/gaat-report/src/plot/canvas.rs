//! The drawing both plots share: frame, axes, grid, marks, text.

use super::axis::{Axis, FittedAxis};
use super::ink::{Ink, style};
use gaat_spec::visible_lines;
use std::fmt::Write;

/// Width of every plot: two fit side by side on a desk, one on a phone held upright is still readable.
pub(super) const WIDTH: f64 = 520.0;

/// Between the frame and the ends of the axes, so that no mark lies on the frame.
pub(super) const INSET: f64 = 12.0;

/// Height of one line of text, and width of one character, in pixels.
pub(super) const LINE: f64 = 16.0;
pub(super) const CHARACTER: f64 = 7.2;

const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
/// Height of a line of the title, and its widest characters a pixel.
const TITLE_LINE: f64 = 19.0;
const TITLE_CHARACTER: f64 = 7.9;

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
    /// Where the data goes.
    pub(super) frame: Frame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    /// A page for a plot of `height`, with `below` pixels left under the label of its x axis.
    pub(super) fn new(title: &str, height: f64, below: f64) -> Self {
        let lines = wrapped(title, ((WIDTH - 16.0) / TITLE_CHARACTER) as usize);
        let top = 14.0 + TITLE_LINE * lines.len() as f64;
        let frame = Frame { left: LEFT, top, right: WIDTH - RIGHT, bottom: top + height };
        let whole = frame.bottom + 52.0 + below;
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"gaat-plot\" width=\"{WIDTH}\" height=\"{whole}\" \
             viewBox=\"0 0 {WIDTH} {whole}\" font-family=\"Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif\" \
             font-size=\"13\" role=\"img\">\n<title>{}</title>\n{}\n",
            escaped(title),
            style()
        );
        let mut canvas = Self { text, frame };
        let paper = Ink::Paper.attributes();
        canvas
            .push(format_args!("<rect {paper} width=\"{WIDTH}\" height=\"{whole}\" fill=\"currentColor\"/>"));
        for (index, line) in lines.iter().enumerate() {
            canvas.text(WIDTH / 2.0, 22.0 + TITLE_LINE * index as f64, line, Anchor::Middle, "15");
        }
        canvas
    }

    /// Grid, ticks, labels and box of a plot.
    pub(super) fn axes(&mut self, (x, fitted_x): (&Axis, &FittedAxis), (y, fitted_y): (&Axis, &FittedAxis)) {
        let Frame { left, top, right, bottom } = self.frame;
        for (tick, label) in fitted_x.ticks.iter().zip(fitted_x.labels()) {
            let at = fitted_x.pixel(*tick);
            self.segment((at, top), (at, bottom), Ink::Grid, 1.0, "");
            self.text(at, bottom + 18.0, &label, Anchor::Middle, "12");
        }
        for (tick, label) in fitted_y.ticks.iter().zip(fitted_y.labels()) {
            let at = fitted_y.pixel(*tick);
            self.segment((left, at), (right, at), Ink::Grid, 1.0, "");
            self.text(left - 8.0, at + 4.0, &label, Anchor::End, "12");
        }
        let (width, height) = (right - left, bottom - top);
        let text = Ink::Text.attributes();
        self.push(format_args!(
            "<rect {text} x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" \
             stroke=\"currentColor\"/>"
        ));
        self.text(f64::midpoint(left, right), bottom + 40.0, &x.label, Anchor::Middle, "13");
        let (across, down) = (16.0, f64::midpoint(top, bottom));
        self.push(format_args!(
            "<text {text} x=\"{across}\" y=\"{down:.1}\" text-anchor=\"middle\" fill=\"currentColor\" \
             transform=\"rotate(-90 {across} {down:.1})\">{}</text>",
            escaped(&y.label)
        ));
    }

    /// What is drawn next stays inside the frame, until [`end_clip`](Self::end_clip).
    pub(super) fn begin_clip(&mut self) {
        let Frame { left, top, right, bottom } = self.frame;
        let (width, height) = (right - left, bottom - top);
        // A drawing within the drawing clips without a name, which would have to be unique in a page of several plots.
        self.push(format_args!(
            "<svg x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\">"
        ));
    }

    pub(super) fn end_clip(&mut self) {
        self.push(format_args!("</svg>"));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, anchor: Anchor, size: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            "<text {} x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"currentColor\">{}</text>",
            Ink::Text.attributes(),
            escaped(text)
        ));
    }

    pub(super) fn segment(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64, dashes: &str) {
        self.polyline(&[from, to], ink, width, dashes);
    }

    /// Joined points; `dashes` as in `stroke-dasharray`, empty for a whole line.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], ink: Ink, width: f64, dashes: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        self.push(format_args!(
            "<polyline {} points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"{width}\"{dashes}/>",
            ink.attributes(),
            points.join(" ")
        ));
    }

    /// A bar with caps; a cut-off bar keeps its cap at the edge.
    pub(super) fn error_bar(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        const CAP: f64 = 3.5;
        self.segment(from, to, ink, 1.2, "");
        let is_upright = (from.0 - to.0).abs() < (from.1 - to.1).abs();
        for (x, y) in [from, to] {
            let (dx, dy) = if is_upright { (CAP, 0.0) } else { (0.0, CAP) };
            self.segment((x - dx, y - dy), (x + dx, y + dy), ink, 1.2, "");
        }
    }

    /// A mark whose shape tells series apart where their colours do not; `told` shows where a pointer rests on it.
    pub(super) fn mark(&mut self, (x, y): (f64, f64), index: usize, radius: f64, told: &str) {
        let polygon = |corners: &[(f64, f64)]| -> String {
            let corners =
                corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx * radius, y + dy * radius));
            format!("polygon points=\"{}\"", corners.collect::<Vec<_>>().join(" "))
        };
        let shape = match index % 5 {
            0 => format!("circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\""),
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            _ => polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
        };
        let name = shape.split(' ').next().unwrap_or_default();
        let ink = Ink::Series(index).attributes();
        let told = if told.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(told)) };
        self.push(format_args!("<{shape} {ink} fill=\"currentColor\">{told}</{name}>"));
    }

    /// An upright line through the frame, told of where a pointer rests on it.
    pub(super) fn moment(&mut self, at: f64, told: &str) {
        let Frame { top, bottom, .. } = self.frame;
        self.push(format_args!(
            "<line {} x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"currentColor\" \
             stroke-width=\"1.6\" stroke-dasharray=\"2 3\"><title>{}</title></line>",
            Ink::Alarm.attributes(),
            escaped(told)
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    pub(super) fn finish(self) -> String {
        self.text + "</svg>\n"
    }
}

/// `text` in lines of at most `most` characters where its words allow it.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    visible_lines(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_go_on_in_the_next_line() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert!(wrapped("", 4).is_empty());
    }
}
