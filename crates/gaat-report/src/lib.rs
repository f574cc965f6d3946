//! Run records of gaat as tables and plots: what is shown of a comparison or an analysis, in text, Markdown, JSON,
//! SVG and HTML.
//!
//! Nothing here reads a file, prints or knows a tensor. Numbers come in as records and evaluations, and every mean
//! goes out with its spread and its count.
#![deny(missing_docs)]

pub mod analysis;
pub mod attempt;
pub mod compare;
pub mod comparison;
pub mod curve;
pub mod curves;
pub mod document;
pub mod evaluation;
pub mod explanation;
pub mod format;
pub mod frontier;
pub mod page;
pub mod plot;
pub mod table;
pub mod trained;

pub use analysis::{analysis_plots, analysis_text};
pub use attempt::{Attempt, EightBitAttempt, attempt_text};
pub use compare::{AttackRow, ComparedRun, Failure, Row, Spread, Summary, summarize};
pub use comparison::{Comparison, Judging};
pub use curve::{curve_plot, curve_text};
pub use curves::{comparison_plots, run_plots};
pub use document::Document;
pub use evaluation::evaluation_text;
pub use explanation::{explanation_markdown, explanation_text};
pub use frontier::frontier;
pub use page::{ComparisonPage, Judged, Report, RunPage, VerdictPage};
pub use plot::Plot;
pub use table::{Align, Table};
pub use trained::trained_text;
