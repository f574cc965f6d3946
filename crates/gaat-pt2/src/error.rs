//! The one error type of this crate. What comes from a file is told in visible characters.

use gaat_spec::{visible, visible_lines};

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file is not taken. The name of the file is for the caller to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no archive of `torch.export.save`, or is damaged.
    #[error("{}", visible_lines(_0))]
    Archive(String),
    /// It comes from a version of PyTorch that writes otherwise.
    #[error("{}", visible_lines(_0))]
    Version(String),
    /// A member of the archive is not as `torch.export.save` writes it.
    #[error("its member {}: {}", visible(member), visible_lines(reason))]
    Member {
        /// Path in the archive, without the folder round all.
        member: String,
        /// What was found.
        reason: String,
    },
    /// A parameter, buffer or constant cannot be had.
    #[error("its tensor `{}`: {}", visible(name), visible_lines(reason))]
    Tensor {
        /// Name in the state dict, or of the constant.
        name: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// A network of a kind that is not taken, with what to do in Python.
    #[error("{}", visible_lines(_0))]
    Network(String),
    /// A node of the graph that is not run.
    #[error("node `{}` ({}, {}): {}", visible(node), visible(target), visible(layer), visible_lines(reason))]
    Node {
        /// Its name in the graph.
        node: String,
        /// What it calls.
        target: String,
        /// The layer that it comes from, by its name in PyTorch.
        layer: String,
        /// Why not, and what to do.
        reason: String,
    },
}
