//! Robust accuracy over epsilon: as a table and as a plot.

use crate::format::{decimals, percent, seconds};
use crate::plot::{Axis, LineChart, Point, Series};
use crate::table::{Align, Table};
use gaat_spec::{Evaluation, PixelLength};

/// The table of the curve of `evaluation`, under a line that says what it is; `None` where there is none.
pub fn curve_text(evaluation: &Evaluation) -> Option<String> {
    let attack = &evaluation.curve.first()?.result.name;
    let digits = decimals(evaluation.examples);
    let mut table = Table::new([
        ("epsilon", Align::Left),
        ("accuracy %", Align::Right),
        ("95 % interval", Align::Right),
        ("seconds", Align::Right),
    ]);
    for point in &evaluation.curve {
        let (low, high) = point.result.interval;
        table.push([
            shown(point.epsilon),
            percent(point.result.robust_accuracy, digits),
            format!("{} - {}", percent(low, digits), percent(high, digits)),
            seconds(point.result.seconds),
        ]);
    }
    let norm = evaluation.threat.norm();
    Some(format!(
        "over epsilon ({norm}) under {attack}; an image misclassified within one ball counts as misclassified in all larger ones\n\n{}",
        table.to_text()
    ))
}

/// As it was written; a product without the last digits of its rounding.
fn shown(epsilon: PixelLength) -> String {
    let written = epsilon.to_string();
    if written.contains('/') { written } else { ((epsilon.value() * 1e6).round() / 1e6).to_string() }
}

/// The curve of `evaluation` as an SVG document, with its intervals; `None` where there is none.
pub fn curve_plot(title: &str, evaluation: &Evaluation) -> Option<String> {
    let attack = &evaluation.curve.first()?.result.name;
    let is_of_bytes = |epsilon: &PixelLength| epsilon.to_string().ends_with("/255");
    let (unit, label) = if evaluation.curve.iter().all(|point| is_of_bytes(&point.epsilon)) {
        (255.0, "1/255 of the pixel range")
    } else {
        (1.0, "pixel range 0 to 1")
    };
    let points = evaluation.curve.iter().map(|point| {
        let (low, high) = point.result.interval;
        let (x, share) = (unit * point.epsilon.value(), point.result.robust_accuracy);
        // Rounding must not turn an interval that ends at its value inside out.
        let percent = |length: f64| 100.0 * length.max(0.0);
        Point { x, y: 100.0 * share, error: Some((percent(share - low), percent(high - share))) }
    });
    let chart = LineChart {
        alarms: Vec::new(),
        title: title.to_owned(),
        x: Axis::new(format!("epsilon ({}), {label}", evaluation.threat.norm())),
        y: Axis::new("robust accuracy, %").within(0.0, 100.0),
        series: vec![Series { name: attack.clone(), points: points.collect() }],
        guide: None,
    };
    Some(chart.to_svg())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::samples::evaluation;
    use gaat_spec::evaluation::CurvePoint;

    #[test]
    fn a_curve_is_a_row_and_a_mark_for_each_epsilon() {
        let bare = evaluation(0.9, &[("pgd", 0.5)]);
        assert_eq!((curve_text(&bare), curve_plot("x", &bare)), (None, None));
        let result = bare.attacks[0].clone();
        let point = |epsilon: &str, robust_accuracy: f64| CurvePoint {
            epsilon: epsilon.parse().unwrap(),
            result: gaat_spec::AttackResult {
                robust_accuracy,
                interval: (robust_accuracy - 0.02, robust_accuracy + 0.02),
                ..result.clone()
            },
        };
        assert_eq!(shown("0.3".parse::<PixelLength>().unwrap().scaled(0.75)), "0.225");
        let curve = vec![point("2/255", 0.8), point("8/255", 0.25)];
        let whole = Evaluation { curve, ..bare };
        let text = curve_text(&whole).unwrap();
        let row = text.lines().find(|line| line.starts_with("8/255")).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["8/255", "25.00", "23.00", "-", "27.00", "1.00"]
        );
        let svg = curve_plot("runs/x", &whole).unwrap();
        // Two marks of the line and one in the legend.
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
        assert!(svg.contains("1/255 of the pixel range") && svg.contains(">pgd-50x10<"), "{svg}");
    }

    #[test]
    fn intervals_are_drawn_where_the_table_has_them() {
        // Wilson intervals of 0 and of 90 in 100.
        let bare = evaluation(0.9, &[("pgd", 0.5)]);
        let result = bare.attacks[0].clone();
        let point = |epsilon: &str, robust_accuracy, interval| CurvePoint {
            epsilon: epsilon.parse().unwrap(),
            result: gaat_spec::AttackResult { robust_accuracy, interval, ..result.clone() },
        };
        let curve = vec![point("1/255", 0.9, (0.826, 0.945)), point("8/255", 0.0, (0.0, 0.037))];
        let svg = curve_plot("runs/x", &Evaluation { curve, ..bare }).unwrap();
        for told in ["90.000 (82.600 to 94.500) at 1.000", "0.000 (0.000 to 3.700) at 8.000"] {
            assert!(svg.contains(told), "{told} is missing: {svg}");
        }
    }
}
