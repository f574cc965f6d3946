//! Run records of gaat as tables and plots: what is shown of a comparison or an analysis, in text, Markdown, JSON,
//! SVG and HTML.
//!
//! Nothing here reads a file, prints or knows a tensor. Numbers come in as records and evaluations, and every mean
//! goes out with its spread and its count.
#![deny(missing_docs)]

pub mod analysis;
pub mod compare;
pub mod curve;
pub mod curves;
pub mod document;
pub mod explanation;
pub mod format;
pub mod frontier;
pub mod page;
pub mod plot;
pub mod table;

pub use analysis::{analysis_plots, analysis_text};
pub use compare::{AttackRow, ComparedRun, Failure, Row, Spread, Summary, summarize};
pub use curve::{curve_plot, curve_text};
pub use curves::{comparison_plots, run_plots};
pub use document::Document;
pub use explanation::{explanation_markdown, explanation_text};
pub use frontier::frontier;
pub use page::{ComparisonPage, Judged, Report, RunPage};
pub use plot::Plot;
pub use table::{Align, Table};
