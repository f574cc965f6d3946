//! Several named lines over one axis, with a legend beside them.

use super::axis::Axis;
use super::canvas::{Anchor, CHARACTER, Canvas, Frame, INSET, LINE, TEXT, colour};

/// A value of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Place on the x axis.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Half the length of its error bar.
    pub error: Option<f64>,
}

/// A named line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// As in the legend; without a name it keeps its colour to itself.
    pub name: String,
    /// From left to right; what the axes cannot show is left out.
    pub points: Vec<Point>,
}

/// Lines with axes and a legend.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineChart {
    /// Above the plot.
    pub title: String,
    /// Below it.
    pub x: Axis,
    /// Left of it.
    pub y: Axis,
    /// The lines; colours and marks follow their order.
    pub series: Vec<Series>,
    /// A value of y to compare with, drawn as a dashed line.
    pub guide: Option<f64>,
}

const PLOT_WIDTH: f64 = 560.0;
const PLOT_HEIGHT: f64 = 360.0;
const DASHES: [&str; 3] = ["", "7 3", "2 3"];

impl LineChart {
    /// The chart as an SVG document.
    pub fn to_svg(&self) -> String {
        let frame = Frame { left: 76.0, top: 42.0, right: 76.0 + PLOT_WIDTH, bottom: 42.0 + PLOT_HEIGHT };
        let longest = self.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
        let legend = 60.0 + CHARACTER * longest as f64;
        let mut canvas = Canvas::new(frame.right + 12.0 + legend, frame.bottom + 56.0, &self.title);
        let points =
            || self.series.iter().flat_map(|series| &series.points).filter(|point| self.shows(point));
        let x = self.x.fitted(points().map(|point| point.x), frame.left + INSET, frame.right - INSET);
        let extent = |point: &Point| {
            let error = point.error.unwrap_or(0.0);
            [point.y - error, point.y, point.y + error]
        };
        let y = self.y.fitted(
            points().flat_map(extent).chain(self.guide),
            frame.bottom - INSET,
            frame.top + INSET,
        );
        canvas.axes(frame, (&self.x, &x), (&self.y, &y));
        canvas.begin_clip();
        if let Some(guide) = self.guide {
            let at = y.pixel(guide);
            canvas.segment((frame.left, at), (frame.right, at), TEXT, 1.0, "3 4");
        }
        for (index, series) in self.series.iter().enumerate() {
            let shown: Vec<&Point> = series.points.iter().filter(|point| self.shows(point)).collect();
            let line: Vec<(f64, f64)> =
                shown.iter().map(|point| (x.pixel(point.x), y.pixel(point.y))).collect();
            canvas.polyline(&line, colour(index), 1.8, DASHES[index % DASHES.len()]);
            for (point, place) in shown.iter().zip(&line) {
                if let Some(error) = point.error.filter(|error| *error > 0.0) {
                    let end = |value: f64| (place.0, y.pixel_within(value));
                    canvas.error_bar(end(point.y - error), end(point.y + error), colour(index));
                }
                canvas.mark(*place, index, colour(index));
            }
        }
        canvas.end_clip();
        self.legend(&mut canvas, frame);
        canvas.finish()
    }

    fn shows(&self, point: &Point) -> bool {
        self.x.shows(point.x) && self.y.shows(point.y)
    }

    fn legend(&self, canvas: &mut Canvas, frame: Frame) {
        let left = frame.right + 14.0;
        let named = self.series.iter().enumerate().filter(|(_, series)| !series.name.is_empty());
        for (row, (index, series)) in named.enumerate() {
            let down = frame.top + 10.0 + (LINE + 4.0) * row as f64;
            canvas.segment(
                (left, down),
                (left + 30.0, down),
                colour(index),
                1.8,
                DASHES[index % DASHES.len()],
            );
            canvas.mark((left + 15.0, down), index, colour(index));
            canvas.text(left + 37.0, down + 4.0, &series.name, Anchor::Start, "13");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_every_series_and_leaves_out_what_is_no_number() {
        let series = |name: &str, values: &[f64]| Series {
            name: name.to_owned(),
            points: values
                .iter()
                .enumerate()
                .map(|(x, y)| Point { x: x as f64, y: *y, error: Some(0.1) })
                .collect(),
        };
        let chart = LineChart {
            title: "a < b & c".to_owned(),
            x: Axis::new("epsilon"),
            y: Axis::new("residual"),
            series: vec![series("one", &[1.0, 2.0, f64::NAN]), series("two", &[3.0, 1.5, 0.5])],
            guide: Some(1.0),
        };
        let svg = chart.to_svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        for part in ["a &lt; b &amp; c", ">one<", ">two<", ">epsilon<", ">residual<"] {
            assert!(svg.contains(part), "{part} is missing: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        // Two marks of the first line and one in the legend.
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
        assert_eq!(svg, chart.to_svg());
        let empty = LineChart::default().to_svg();
        assert!(!empty.contains("NaN"), "{empty}");
    }
}
