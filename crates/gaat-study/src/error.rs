//! What can go wrong in a study, with what was found and what to do.

use gaat_spec::{Norm, visible_lines, visible_path};
use std::path::PathBuf;

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine failed, or the observer asked to stop.
    #[error(transparent)]
    Engine(#[from] gaat::Error),
    /// A value of a recipe or of a call is out of its range.
    #[error(transparent)]
    Spec(#[from] gaat_spec::Error),
    /// A data set could not be loaded.
    #[error(transparent)]
    Data(#[from] gaat_data::Error),
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file could not be written.
    #[error("writing {}", visible_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A part of a comparison failed in a way that concerns all its runs.
    #[error("{doing} {}", visible_path(directory))]
    During {
        /// What was being done.
        doing: &'static str,
        /// The run directory.
        directory: PathBuf,
        /// Why it failed.
        source: Box<Self>,
    },
    /// The recipe of one method of a comparison does not do.
    #[error("method {}", visible_lines(method))]
    Method {
        /// The method.
        method: String,
        /// Why not.
        source: Box<Self>,
    },
    /// A file or directory is not there, or is not what is needed.
    #[error("{}: {}", visible_path(path), visible_lines(reason))]
    File {
        /// Its place.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A directory where a recipe was expected.
    #[error("{} is a directory, not a recipe", visible_path(path))]
    NotARecipe {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing where a recipe was expected.
    #[error("{}: nothing there; expected a recipe (.toml)", visible_path(path))]
    NoRecipe {
        /// The place.
        path: PathBuf,
    },
    /// Weights that do not say what they were trained on.
    #[error("{} does not say what to judge it on; a data set must be named", visible_path(path))]
    NoDataset {
        /// The weights.
        path: PathBuf,
    },
    /// The images that a run was trained on are not where its recipe says.
    #[error(
        "{}: nothing there; the recipe of the run names it as its data-dir, as it was typed in the directory of the \
         training",
        visible_path(path)
    )]
    DataGone {
        /// The place that the recipe names.
        path: PathBuf,
    },
    /// Test images of other classes than those that the network tells apart.
    #[error("{}", visible_lines(.0))]
    Classes(String),
    /// A threat model in another norm than that of the training, without an epsilon.
    #[error(
        "a threat model in {norm} needs an epsilon: a bound in another norm is another number, such as {example}"
    )]
    Epsilon {
        /// The norm.
        norm: Norm,
        /// A usual bound in that norm.
        example: &'static str,
    },
    /// Something lies where a run or a file is to be made.
    #[error("{} {}", visible_path(path), visible_lines(reason))]
    Taken {
        /// The place.
        path: PathBuf,
        /// What lies there.
        reason: String,
    },
    /// A call that makes no sense, whatever the input.
    #[error("{}", visible_lines(.0))]
    Usage(String),
}

impl Error {
    /// Whether the observer asked to stop, so that nothing is wrong.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Engine(gaat::Error::Interrupted) => true,
            Self::During { source, .. } => source.is_interruption(),
            _ => false,
        }
    }
}
