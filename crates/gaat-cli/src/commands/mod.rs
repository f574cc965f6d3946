//! The commands: each takes its arguments and the printer, and says how it ended.

pub(crate) mod advice;
pub(crate) mod analyze;
pub(crate) mod attack;
pub(crate) mod compare;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod model;
pub(crate) mod report;
mod subject;
pub(crate) mod train;

pub(crate) use crate::process::Outcome;
