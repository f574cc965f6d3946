//! What can go wrong with a file of a known format.

use gaat_spec::{visible_lines, visible_path};
use std::io;
use std::path::{Path, PathBuf};

/// What the readers and writers of formats return.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file does not hold what it should, or something cannot be written to a file.
    #[error("{}: {}", visible_path(path), visible_lines(reason))]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A file of PyTorch where a safetensors file was expected.
    #[error("{}: is a file of PyTorch and not a safetensors file", visible_path(path))]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }

    /// A file that [`write_whole`](crate::write_whole) could not write.
    pub fn unwritten(path: &Path, error: &io::Error) -> Self {
        Self::file(
            path,
            format!("could not be written ({error}); the previous version, if any, is untouched"),
        )
    }
}
