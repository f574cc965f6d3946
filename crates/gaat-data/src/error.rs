//! What can go wrong while data is found, read or split.
//!
//! Every message says which file, what was expected, what was found and, where there is something to do, what.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::layouts::official_files;
use gaat_files::in_words;
use gaat_spec::{DatasetName, visible, visible_lines, visible_path};

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),

    /// No place that was searched holds the data set.
    #[error(
        "no {dataset} data found. Searched:{}\n{}Expected: {expected}.\nPut the files in one of these places, or name their directory (data-dir, or the variable GAAT_DATA).",
        list(searched),
        there(seen)
    )]
    Missing {
        /// The data set that was asked for.
        dataset: DatasetName,
        /// Every place that was searched, in order.
        searched: Vec<PathBuf>,
        /// The files that would have been accepted.
        expected: String,
        /// What lies there instead, and what to do about it; a line each.
        seen: Vec<String>,
    },

    /// A data set is there, but some of its parts are not.
    #[error("{}: the {dataset} data here is incomplete, {} missing; add what is missing or name another directory", visible_path(directory), missing.join(", "))]
    Incomplete {
        /// The data set that was asked for.
        dataset: DatasetName,
        /// Where the other parts are.
        directory: PathBuf,
        /// The parts that are not there.
        missing: Vec<String>,
    },

    /// An image folder is still packed.
    #[error(
        "{}: an image folder is read from a directory, not from an archive; unpack it first",
        visible_path(path)
    )]
    Packed {
        /// The archive.
        path: PathBuf,
    },

    /// A file is not what its format says: cut short, padded, another format, a value out of range.
    #[error("{}: expected {}, found {}", visible_path(path), visible_lines(expected), visible_lines(found))]
    Malformed {
        /// The file; a member of an archive is written as a path below the archive.
        path: PathBuf,
        /// What the format asks for.
        expected: String,
        /// What the file holds.
        found: String,
    },

    /// An image cannot be decoded.
    #[error("{}: not a readable image ({}); replace or remove it", visible_path(path), visible(reason))]
    Image {
        /// The image file.
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },

    /// Several images cannot be used.
    #[error("images that cannot be read: {count}{}{}", several(first, *count), beside(size.as_deref()))]
    Images {
        /// How many cannot be read.
        count: usize,
        /// What is wrong with the first of them.
        first: Vec<Error>,
        /// The first of another size, beside them.
        size: Option<Box<Error>>,
    },

    /// The images of a folder do not share one size.
    #[error("{}: expected {} x {} pixels (height x width) as in {}, found {} x {}; choose one size for all (resize)", visible_path(path), expected.0, expected.1, visible_path(reference), found.0, found.1)]
    ImageSize {
        /// The image that differs.
        path: PathBuf,
        /// Height and width of the first image.
        expected: (usize, usize),
        /// The first image.
        reference: PathBuf,
        /// Height and width of this image.
        found: (usize, usize),
    },

    /// A part has a class that training never shows.
    #[error(
        "{}: the {part} class {:?} is not among the training classes: {}; add it to train or remove it from {part}",
        visible_path(path),
        visible(class),
        names(known)
    )]
    UnknownClass {
        /// The folder of the class.
        path: PathBuf,
        /// The part: test or val.
        part: &'static str,
        /// Its name.
        class: String,
        /// The training classes.
        known: Vec<String>,
    },

    /// Parts of an image set do not fit together.
    #[error(
        "image set {:?}: expected {}, found {}",
        visible(name),
        visible_lines(expected),
        visible_lines(found)
    )]
    Inconsistent {
        /// The name of the set.
        name: String,
        /// What would fit.
        expected: String,
        /// What was given.
        found: String,
    },

    /// What is asked for does not fit into memory.
    #[error("{}: needs {} of memory, and {} are free; choose a smaller size (resize) or fewer images", visible_lines(what), in_words(*needed), in_words(*available))]
    TooLarge {
        /// What would be made.
        what: String,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },

    /// An option is out of its range.
    #[error("{option} must be {expected}, but is {found}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        found: String,
    },
}

/// What would help, for a program to say in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The official files of this data set can be downloaded.
    Download(DatasetName),
    /// Another directory is to be named.
    Directory,
    /// All images are to be brought to one size.
    Resize,
}

impl Error {
    /// What would help, where that is known.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Missing { dataset, .. } if !official_files(*dataset).is_empty() => {
                Some(Remedy::Download(*dataset))
            }
            Self::Missing { .. } | Self::Incomplete { .. } => Some(Remedy::Directory),
            Self::ImageSize { .. } | Self::TooLarge { .. } => Some(Remedy::Resize),
            Self::Images { first, size, .. } => {
                size.iter().map(AsRef::as_ref).chain(first).find_map(Self::remedy)
            }
            _ => None,
        }
    }

    pub(crate) fn malformed(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_path_buf(), expected: expected.into(), found: found.into() }
    }

    /// A failed read: damaged content is told from a failing device.
    pub(crate) fn reading(path: &Path, expected: &str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::Other => Self::malformed(path, expected, format!("damaged data ({error})")),
            _ => Self::Io(error),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let mut text = String::new();
    for path in paths {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}", visible_path(path));
    }
    text
}

/// Some names of many, which are whatever their author wrote.
pub(crate) fn names(all: &[impl AsRef<str>]) -> String {
    const NAMED: usize = 10;
    let named: Vec<_> = all.iter().take(NAMED).map(|name| visible(name.as_ref())).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

fn there(seen: &[String]) -> String {
    if seen.is_empty() { String::new() } else { format!("Found there instead:\n  {}\n", seen.join("\n  ")) }
}

fn several(errors: &[Error], count: usize) -> String {
    let mut text = String::new();
    for error in errors {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {error}");
    }
    if count > errors.len() {
        let _ = write!(text, "\n  and {} more", count - errors.len());
    }
    text
}

fn beside(size: Option<&Error>) -> String {
    size.map(|size| format!("\nand of those that can be read, {size}")).unwrap_or_default()
}
