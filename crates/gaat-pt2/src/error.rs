//! The one error type of this crate.

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file is not taken. The name of the file is for the caller to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no archive of `torch.export.save`, or is damaged.
    #[error("{0}")]
    Archive(String),
    /// It comes from a version of PyTorch that writes otherwise.
    #[error("{0}")]
    Version(String),
    /// A member of the archive is not as `torch.export.save` writes it.
    #[error("its member {member}: {reason}")]
    Member {
        /// Path in the archive, without the folder round all.
        member: String,
        /// What was found.
        reason: String,
    },
    /// A parameter, buffer or constant cannot be had.
    #[error("its tensor `{name}`: {reason}")]
    Tensor {
        /// Name in the state dict, or of the constant.
        name: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// A network of a kind that is not taken, with what to do in Python.
    #[error("{0}")]
    Network(String),
    /// A node of the graph that is not run.
    #[error("node `{node}` ({target}, {layer}): {reason}")]
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
