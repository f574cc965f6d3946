//! What can go wrong in a download, and what to do about it.

use gaat_spec::{DatasetName, visible_path};
use std::path::PathBuf;
use std::time::Duration;

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A file could not be read back.
    #[error(transparent)]
    Data(#[from] gaat_data::Error),

    /// There is nothing to download.
    #[error("{dataset}: {}", unpublished(*dataset))]
    NotPublished {
        /// The data set that was asked for.
        dataset: DatasetName,
    },

    /// Another version of the data set lies where this one would go, and would be read in its place.
    #[error(
        "{}: holds {dataset} data that is not the official; nothing was changed. Remove it, or choose another data directory",
        visible_path(location)
    )]
    Occupied {
        /// The data set that was asked for.
        dataset: DatasetName,
        /// Where the other data lies.
        location: PathBuf,
    },

    /// A file of that name is there and is another one.
    #[error(
        "{}: is there and is not the official file (SHA-256 {found}, expected {expected}); nothing was changed. Remove it, or choose another data directory",
        visible_path(path)
    )]
    Taken {
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// That of the official file.
        expected: &'static str,
    },

    /// Another process is downloading the same file.
    #[error("{}: another download is writing this file; wait for it to end", visible_path(path))]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },

    /// No source had the file.
    #[error("{file} could not be downloaded:{}\n{}{}Check the network and the proxy (HTTPS_PROXY, NO_PROXY), try again later, name a mirror that has the file, or put a copy into {}", list(setbacks), given_up(*silent), kept(*bytes), visible_path(directory))]
    Failed {
        /// The name of the file.
        file: &'static str,
        /// Each address and what went wrong there.
        setbacks: Vec<String>,
        /// How long no new byte came, where that was the end of the patience.
        silent: Option<Duration>,
        /// Bytes that have arrived and are gone on from.
        bytes: u64,
        /// Where the file belongs.
        directory: PathBuf,
    },

    /// The observer broke off.
    #[error("interrupted; the same command continues from here")]
    Interrupted,
}

fn unpublished(dataset: DatasetName) -> &'static str {
    match dataset {
        DatasetName::Folder => "these are images of your own; name their directory (data-dir)",
        _ => "nothing to fetch, this data set is part of the program",
    }
}

fn list(setbacks: &[String]) -> String {
    setbacks.iter().flat_map(|setback| ["\n  ", setback]).collect()
}

fn given_up(silent: Option<Duration>) -> String {
    silent.map_or_else(String::new, |silent| {
        format!("Given up, since no new byte came for {} s. ", silent.as_secs_f64())
    })
}

fn kept(bytes: u64) -> String {
    if bytes == 0 {
        String::new()
    } else {
        format!("{bytes} bytes are kept, and the next try continues from there. ")
    }
}
