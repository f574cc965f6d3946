//! Commands that need no tensors, and so no libtorch: data sets, completions, manual pages.

pub mod data;
mod download;
mod fetch;
mod listing;
pub mod shell;
