//! What robustness costs: one point a method, robust accuracy over the passes of natural training.

use crate::compare::{Row, Summary};
use crate::plot::{Axis, Mark, Scatter};

/// Costs further apart than this are shown by their logarithms.
const MANY_TIMES: f64 = 10.0;

/// The plot of a comparison as SVG, mean and standard deviation over the seeds; `None` before a run is finished.
pub fn frontier(title: &str, summary: &Summary) -> Option<String> {
    let marks: Vec<Mark> = summary.rows.iter().filter_map(mark).collect();
    let costs = || marks.iter().map(|mark| mark.x);
    let (least, most) = (costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
    let x = Axis::new("cost: passes over those of natural training");
    let x = if most > MANY_TIMES * least { x.log() } else { x };
    let y = Axis::new("robust accuracy, worst case, %").within(0.0, 100.0);
    (!marks.is_empty()).then(|| Scatter { title: title.to_owned(), x, y, marks }.to_svg())
}

fn mark(row: &Row) -> Option<Mark> {
    let (cost, robust) = (row.cost_ratio?, row.worst_case?);
    let collapsed = if row.collapsed.is_empty() { "" } else { " (collapsed)" };
    Some(Mark {
        label: format!("{}{collapsed}", row.method),
        x: cost.mean,
        x_error: cost.standard_deviation,
        y: 100.0 * robust.mean,
        y_error: robust.standard_deviation.map(|deviation| 100.0 * deviation),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::samples::{failed, run};
    use crate::compare::summarize;

    #[test]
    fn every_finished_method_is_a_point() {
        let runs = [run("natural", 0, 10.0, 0.1, 0.0), run("gaat", 0, 20.0, 0.9, 0.7), failed("rat", 0)];
        let svg = frontier("digits", &summarize(&runs)).unwrap();
        assert!(svg.contains(">natural<") && svg.contains(">gaat<") && !svg.contains(">rat<"), "{svg}");
        assert_eq!(frontier("digits", &summarize(&runs[2..])), None);
    }
}
