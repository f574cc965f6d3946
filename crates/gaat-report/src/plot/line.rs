//! Several named lines over one axis, with a legend below them.

use super::axis::Axis;
use super::canvas::{Anchor, CHARACTER, Canvas, INSET, LINE, WIDTH};
use super::ink::Ink;

/// A value of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Place on the x axis.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// How far its error bar reaches down and up.
    pub error: Option<(f64, f64)>,
}

/// A named line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// As in the legend; without a name it keeps its colour to itself.
    pub name: String,
    /// From left to right; what the axes cannot show is left out.
    pub points: Vec<Point>,
}

/// Something that happened at one place of the x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Place on the x axis.
    pub x: f64,
    /// What happened.
    pub text: String,
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
    /// Alarms, drawn as upright lines.
    pub alarms: Vec<Moment>,
}

const HEIGHT: f64 = 300.0;
const DASHES: [&str; 3] = ["", "7 3", "2 3"];
/// A row of the legend, the sample before a name, and the room after it.
const ROW: f64 = LINE + 5.0;
const SAMPLE: f64 = 34.0;
const GAP: f64 = 16.0;

/// An entry of the legend: a series, or the alarms.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Series(usize, &'a str),
    Alarm,
}

impl Entry<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Series(_, name) => name,
            Self::Alarm => "alarm",
        }
    }

    fn width(&self) -> f64 {
        SAMPLE + CHARACTER * self.name().chars().count() as f64
    }
}

impl LineChart {
    /// The chart as an SVG document.
    pub fn to_svg(&self) -> String {
        let legend = self.legend();
        let mut canvas = Canvas::new(&self.title, HEIGHT, ROW * legend.len() as f64);
        let frame = canvas.frame;
        let points =
            || self.series.iter().flat_map(|series| &series.points).filter(|point| self.shows(point));
        let moments = self.alarms.iter().map(|alarm| alarm.x);
        let x = self.x.fitted(
            points().map(|point| point.x).chain(moments),
            frame.left + INSET,
            frame.right - INSET,
        );
        let extent = |point: &Point| {
            let (down, up) = point.error.unwrap_or_default();
            [point.y - down, point.y, point.y + up]
        };
        let y = self.y.fitted(
            points().flat_map(extent).chain(self.guide),
            frame.bottom - INSET,
            frame.top + INSET,
        );
        canvas.axes((&self.x, &x), (&self.y, &y));
        canvas.begin_clip();
        if let Some(guide) = self.guide {
            let at = y.pixel(guide);
            canvas.segment((frame.left, at), (frame.right, at), Ink::Text, 1.0, "3 4");
        }
        for alarm in self.alarms.iter().filter(|alarm| self.x.shows(alarm.x)) {
            canvas.moment(x.pixel(alarm.x), &alarm.text);
        }
        for (index, series) in self.series.iter().enumerate() {
            let shown: Vec<&Point> = series.points.iter().filter(|point| self.shows(point)).collect();
            let line: Vec<(f64, f64)> =
                shown.iter().map(|point| (x.pixel(point.x), y.pixel(point.y))).collect();
            canvas.polyline(&line, Ink::Series(index), 1.8, DASHES[index % DASHES.len()]);
            for (point, place) in shown.iter().zip(&line) {
                if let Some((down, up)) = point.error.filter(|(down, up)| down + up > 0.0) {
                    let end = |value: f64| (place.0, y.pixel_within(value));
                    canvas.error_bar(end(point.y - down), end(point.y + up), Ink::Series(index));
                }
                canvas.mark(*place, index, radius(shown.len()), &told(&series.name, point));
            }
        }
        canvas.end_clip();
        draw(&legend, &mut canvas);
        canvas.finish()
    }

    fn shows(&self, point: &Point) -> bool {
        self.x.shows(point.x) && self.y.shows(point.y)
    }

    /// Rows of entries that fit beside each other, each with its place from the left.
    fn legend(&self) -> Vec<Vec<(f64, Entry<'_>)>> {
        let named = self.series.iter().enumerate().filter(|(_, series)| !series.name.is_empty());
        let series = named.map(|(index, series)| Entry::Series(index, &series.name));
        let alarm = (!self.alarms.is_empty()).then_some(Entry::Alarm);
        let mut rows: Vec<Vec<(f64, Entry)>> = Vec::new();
        for entry in series.chain(alarm) {
            let next = rows.last().and_then(|row| row.last()).map(|(left, last)| left + last.width() + GAP);
            match (next, rows.last_mut()) {
                (Some(left), Some(row)) if left + entry.width() < WIDTH - GAP => row.push((left, entry)),
                _ => rows.push(vec![(GAP, entry)]),
            }
        }
        rows
    }
}

/// Marks of a line with many points are small, so that the line is seen.
fn radius(points: usize) -> f64 {
    if points > 25 { 2.2 } else { 4.0 }
}

fn told(name: &str, point: &Point) -> String {
    let Point { x, y, error } = point;
    let error = match error {
        None => String::new(),
        Some((down, up)) if down == up => format!(" ± {up:.3}"),
        Some((down, up)) => format!(" ({:.3} to {:.3})", y - down, y + up),
    };
    format!("{name}: {y:.3}{error} at {x:.3}")
}

fn draw(legend: &[Vec<(f64, Entry)>], canvas: &mut Canvas) {
    for (row, entries) in legend.iter().enumerate() {
        let down = canvas.frame.bottom + 56.0 + ROW * row as f64;
        for (left, entry) in entries {
            let (from, to) = ((*left, down), (left + SAMPLE - 6.0, down));
            match entry {
                Entry::Series(index, _) => {
                    canvas.segment(from, to, Ink::Series(*index), 1.8, DASHES[index % DASHES.len()]);
                    canvas.mark((f64::midpoint(from.0, to.0), down), *index, 4.0, "");
                }
                Entry::Alarm => canvas.segment(from, to, Ink::Alarm, 1.6, "2 3"),
            }
            canvas.text(left + SAMPLE, down + 4.0, entry.name(), Anchor::Start, "13");
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
                .map(|(x, y)| Point { x: x as f64, y: *y, error: Some((0.1, 0.2)) })
                .collect(),
        };
        let chart = LineChart {
            title: "a < b & c".to_owned(),
            x: Axis::new("epsilon"),
            y: Axis::new("residual"),
            series: vec![series("one", &[1.0, 2.0, f64::NAN]), series("two", &[3.0, 1.5, 0.5])],
            guide: Some(1.0),
            alarms: vec![Moment { x: 1.0, text: "collapse <".to_owned() }],
        };
        let svg = chart.to_svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        for part in
            ["a &lt; b &amp; c", ">one<", ">two<", ">epsilon<", ">residual<", ">alarm<", "collapse &lt;<"]
        {
            assert!(svg.contains(part), "{part} is missing: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        // Two marks of the first line and one in the legend.
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
        assert!(svg.contains(">one: 1.000 (0.900 to 1.200) at 0.000<"), "{svg}");
        assert_eq!(svg, chart.to_svg());
        let empty = LineChart::default().to_svg();
        assert!(!empty.contains("NaN") && !empty.contains("alarm<"), "{empty}");
    }

    #[test]
    fn a_long_legend_goes_on_in_the_next_row() {
        let series =
            (0..8).map(|index| Series { name: format!("a rather long name {index}"), points: Vec::new() });
        let chart = LineChart { series: series.collect(), ..LineChart::default() };
        let rows = chart.legend();
        assert_eq!(rows.iter().map(Vec::len).sum::<usize>(), 8);
        assert!(rows.len() >= 3, "{}", rows.len());
        for (left, entry) in rows.iter().flatten() {
            assert!(left + entry.width() < WIDTH);
        }
    }
}
