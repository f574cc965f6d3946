//! Plots as SVG text: lines over an axis, and labelled points with their Pareto front.
//!
//! Written by hand (decision record 0008). The same data gives the same bytes, on every machine.

mod axis;
mod canvas;
mod ink;
mod labels;
mod line;
mod scatter;

pub use axis::{Axis, Scale};
pub use line::{LineChart, Moment, Point, Series};
pub use scatter::{Mark, Scatter};

/// A plot with the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Such as `residual.svg`.
    pub file: &'static str,
    /// SVG.
    pub svg: String,
}
