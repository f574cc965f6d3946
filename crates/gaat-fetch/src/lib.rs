//! Downloads of published data sets: from official sources and mirrors in order, resumed, verified, whole or absent.
//!
//! A file grows as `NAME.part` beside its place and gets its name once its SHA-256 is the published one, so that it does
//! not matter which server sent which part of it. Nothing is printed here; what happens is told to an observer.
//!
//! Start at [`fetch`], which brings a whole data set to where `gaat-data` looks for it.

mod client;
mod download;
mod error;
mod exchange;
mod part;
mod sources;

pub use download::download;
pub use error::{Error, Result};
pub use sources::sources;

use gaat_data::{Condition, Directories, Location, OfficialFile, Source, official_files, verify_with};
use gaat_spec::DatasetName;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How patient a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A server that connects, answers or sends nothing for so long has stalled.
    pub stall: Duration,
    /// Waited before all sources are asked again; doubled from round to round, up to a thousandfold.
    pub pause: Duration,
    /// Rounds without a single new byte after which a file is given up.
    pub rounds: u32,
    /// Time waited in vain without a single new byte, over all sources and rounds, after which a file is given up.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            rounds: 3,
            silence: Duration::from_mins(1),
        }
    }
}

/// What happens in a download.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A server is asked.
    Asking {
        /// For this file.
        file: &'a OfficialFile,
        /// At this address.
        url: &'a str,
    },
    /// More of a file is on disk, or less, where it had to be begun again.
    Received {
        /// This file.
        file: &'a OfficialFile,
        /// Bytes on disk.
        bytes: u64,
    },
    /// An attempt failed; others may follow.
    Setback {
        /// The address and what went wrong there.
        reason: &'a str,
    },
}

/// Is told what happens, and may break off; what has arrived by then is gone on from the next time.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>;

/// A data set that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies: a directory or an archive.
    pub location: PathBuf,
    /// The files that were downloaded, each with the address that it came from; none where all was there already.
    pub downloaded: Vec<(OfficialFile, String)>,
}

/// Brings `dataset` to `root/DATASET`, from `mirror` where one is given and else from its [`sources()`].
///
/// What lies below `root` and can be read already is left alone, and nothing is downloaded then.
///
/// # Errors
/// When the data set is not published, when something else lies in its place, when no source has the right bytes, when the
/// disk refuses, or when the observer breaks off.
pub fn fetch(
    dataset: DatasetName,
    root: &Path,
    mirror: Option<&str>,
    patience: &Patience,
    observer: Observer<'_>,
) -> Result<Fetched> {
    let files = official_files(dataset);
    if files.is_empty() {
        return Err(Error::NotPublished { dataset });
    }
    let directory = root.join(dataset.as_str());
    if let Some(location) = already_there(dataset, root, &directory)? {
        for file in files {
            part::forget(&directory, file.name);
        }
        return Ok(Fetched { location, downloaded: Vec::new() });
    }
    let bases: Vec<&str> = mirror.map_or_else(|| sources(dataset).to_vec(), |mirror| vec![mirror]);
    let mut downloaded = Vec::new();
    for file in files {
        if let Some(url) = download(file, &directory, &bases, patience, observer)? {
            downloaded.push((*file, url));
        }
    }
    Ok(Fetched { location: directory, downloaded })
}

/// Where the data set lies below `root`, if it does; refuses what would be read in place of the files to come.
fn already_there(dataset: DatasetName, root: &Path, directory: &Path) -> Result<Option<PathBuf>> {
    let source = Source { dataset, data_dir: Some(root.to_path_buf()), resize: None };
    let report = verify_with(&source, &Directories { data_roots: Vec::new(), cache: None });
    let Some(Location::Path(location)) = report.location else { return Ok(None) };
    match report.condition {
        Condition::Official | Condition::Readable => Ok(Some(location)),
        Condition::NotOfficial if location.starts_with(directory) => {
            Err(Error::Occupied { dataset, location })
        }
        // Files that are missing come now; one that is damaged is named when its turn comes.
        Condition::NotOfficial | Condition::Unusable { .. } | Condition::Missing { .. } => Ok(None),
    }
}
