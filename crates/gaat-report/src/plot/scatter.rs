//! Labelled points with error bars, and the line of those that no other beats.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, INSET};
use super::ink::Ink;
use super::labels::{self, Stretch};

/// A labelled point.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mark {
    /// Beside the point.
    pub label: String,
    /// Place on the x axis; less is better.
    pub x: f64,
    /// Half the length of its horizontal error bar.
    pub x_error: Option<f64>,
    /// Value; more is better.
    pub y: f64,
    /// Half the length of its vertical error bar.
    pub y_error: Option<f64>,
}

/// Points with axes, labels and their Pareto front.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scatter {
    /// Above the plot.
    pub title: String,
    /// Below it.
    pub x: Axis,
    /// Left of it.
    pub y: Axis,
    /// The points; what the axes cannot show is left out.
    pub marks: Vec<Mark>,
}

const HEIGHT: f64 = 340.0;
/// Room for what the dashed line means.
const BELOW: f64 = 18.0;

impl Scatter {
    /// The points that no other beats: none has less x and as much y, or more y and as little x. From left to right.
    pub fn front(&self) -> Vec<&Mark> {
        let beats = |other: &Mark, mark: &Mark| {
            other.x <= mark.x && other.y >= mark.y && (other.x < mark.x || other.y > mark.y)
        };
        let mut front: Vec<&Mark> =
            self.shown().filter(|mark| !self.shown().any(|other| beats(other, mark))).collect();
        front.sort_by(|left, right| left.x.total_cmp(&right.x));
        front
    }

    fn shown(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(|mark| self.x.shows(mark.x) && self.y.shows(mark.y))
    }

    /// The plot as an SVG document.
    pub fn to_svg(&self) -> String {
        let mut canvas = Canvas::new(&self.title, HEIGHT, BELOW);
        let frame = canvas.frame;
        let ends =
            |value: f64, error: Option<f64>| [value - error.unwrap_or(0.0), value + error.unwrap_or(0.0)];
        let x = self.shown().flat_map(|mark| ends(mark.x, mark.x_error));
        let x = self.x.fitted(x, frame.left + INSET, frame.right - INSET);
        let y = self.shown().flat_map(|mark| ends(mark.y, mark.y_error));
        let y = self.y.fitted(y, frame.bottom - INSET, frame.top + INSET);
        canvas.axes((&self.x, &x), (&self.y, &y));
        let place = |mark: &Mark| (x.pixel(mark.x), y.pixel(mark.y));
        let front: Vec<(f64, f64)> = self.front().into_iter().map(place).collect();
        let mut busy: Vec<Stretch> = front.windows(2).map(|pair| (pair[0], pair[1])).collect();
        canvas.begin_clip();
        canvas.polyline(&front, Ink::Faint, 1.5, "6 4");
        for (index, mark) in self.shown().enumerate() {
            let (across, down) = place(mark);
            let mut bar = |from, to| {
                canvas.error_bar(from, to, Ink::Series(index));
                busy.push((from, to));
            };
            if let Some(error) = mark.y_error.filter(|error| *error > 0.0) {
                bar((across, y.pixel_within(mark.y - error)), (across, y.pixel_within(mark.y + error)));
            }
            if let Some(error) = mark.x_error.filter(|error| *error > 0.0) {
                bar((x.pixel_within(mark.x - error), down), (x.pixel_within(mark.x + error), down));
            }
        }
        canvas.end_clip();
        let marks: Vec<&Mark> = self.shown().collect();
        let named: Vec<(&str, (f64, f64))> =
            marks.iter().map(|mark| (mark.label.as_str(), place(mark))).collect();
        let areas = labels::place(&named, &busy, frame);
        for (index, ((label, point), area)) in named.iter().zip(areas).enumerate() {
            let near = area.nearest(*point);
            if (near.0 - point.0).hypot(near.1 - point.1) > 12.0 {
                canvas.segment(*point, near, Ink::Faint, 0.8, "");
            }
            let told = format!("{label}: {:.2} at {:.2}", marks[index].y, marks[index].x);
            canvas.mark(*point, index, 4.5, &told);
            let (left, base) = area.text_start();
            canvas.text(left, base, label, Anchor::Start, "13");
        }
        if front.len() > 1 {
            let down = frame.bottom + 58.0;
            canvas.segment((frame.left, down), (frame.left + 30.0, down), Ink::Faint, 1.5, "6 4");
            canvas.text(frame.left + 38.0, down + 4.0, "Pareto front", Anchor::Start, "12");
        }
        canvas.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(label: &str, x: f64, y: f64) -> Mark {
        Mark { label: label.to_owned(), x, y, y_error: Some(1.0), ..Mark::default() }
    }

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let marks = vec![
            mark("rat", 7.7, 50.0),
            mark("natural", 1.0, 0.0),
            mark("gaat", 1.7, 45.0),
            mark("gaat-paper", 1.7, 3.0),
            mark("lost", f64::NAN, 90.0),
        ];
        let plot = Scatter { x: Axis::new("cost"), y: Axis::new("robust"), marks, ..Scatter::default() };
        let names: Vec<&str> = plot.front().iter().map(|mark| mark.label.as_str()).collect();
        assert_eq!(names, ["natural", "gaat", "rat"]);
        let svg = plot.to_svg();
        for label in ["natural", "gaat-paper", "rat", "Pareto front"] {
            assert!(svg.contains(&format!(">{label}<")), "{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains(">lost<"), "{svg}");
    }
}
