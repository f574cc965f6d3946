//! Commands that need no tensors, and so no libtorch: data sets, completions, manual pages.

pub(crate) mod data;
mod download;
mod fetch;
mod listing;
pub(crate) mod shell;
