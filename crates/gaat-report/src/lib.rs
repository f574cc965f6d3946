//! Run records of gaat as tables: what is shown of a comparison, in text, Markdown and JSON.
//!
//! Nothing here reads a file, prints or knows a tensor. Numbers come in as records and evaluations, and every mean
//! goes out with its spread and its count.
#![deny(missing_docs)]

pub mod compare;
pub mod document;
pub mod format;
pub mod table;
pub mod verdict;

pub use compare::{AttackRow, ComparedRun, Failure, Row, Spread, Summary, summarize};
pub use document::Document;
pub use table::{Align, Table};
pub use verdict::{Collapse, collapse};
