//! Where the files of CIFAR come from: a directory, or the official `.tar.gz`, which is read without unpacking it to disk.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cifar::check_length;
use crate::error::{Error, Result};
use crate::gzip::{self, read_exactly};
use crate::layouts::cifar::{Format, Layout};
use crate::seen::seen;

/// Members of an archive that are looked at.
const MOST_MEMBERS: usize = 1000;

/// Files by their name, without directories.
pub(crate) type Members = BTreeMap<String, Member>;

/// One file.
#[derive(Debug)]
pub(crate) struct Member {
    /// Where it is, for messages; below the path of the archive if it is in one.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// A place that holds at least one file of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Directory(PathBuf),
    Archive(PathBuf),
}

impl Store {
    /// The paths in which files are looked for, in order.
    pub(crate) fn candidates(layout: &Layout, roots: &[PathBuf]) -> Vec<Self> {
        let mut stores = Vec::new();
        for root in roots {
            for base in [root.join(layout.dataset.as_str()), root.clone()] {
                stores.push(Self::Directory(base.join(layout.directory)));
                stores.push(Self::Archive(base.join(layout.archive)));
                stores.push(Self::Directory(base));
            }
            stores.push(Self::Archive(root.clone()));
        }
        stores
    }

    /// The first candidate of the first of some versions that is there.
    pub(crate) fn find(versions: [&'static Layout; 2], roots: &[PathBuf]) -> Result<(&'static Layout, Self)> {
        for layout in versions {
            let found = Self::candidates(layout, roots).into_iter().find(|store| store.is_there(layout));
            if let Some(store) = found {
                return Ok((layout, store));
            }
        }
        let files = |layout: &Layout| {
            let files = layout.record_files().collect::<Vec<_>>().join(", ");
            format!("the directory {} with {files}, or {}", layout.directory, layout.archive)
        };
        let dataset = versions[0].dataset;
        Err(Error::Missing {
            dataset,
            searched: Self::searched(versions, roots),
            expected: versions.map(files).join("; or "),
            seen: seen(roots, dataset),
        })
    }

    /// The paths of the candidates, each once.
    pub(crate) fn searched(versions: [&'static Layout; 2], roots: &[PathBuf]) -> Vec<PathBuf> {
        let mut searched: Vec<PathBuf> = Vec::new();
        for store in versions.iter().flat_map(|layout| Self::candidates(layout, roots)) {
            if !searched.iter().any(|path| path == store.path()) {
                searched.push(store.path().to_path_buf());
            }
        }
        searched
    }

    /// The directory or the archive.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Archive(path) => path,
        }
    }

    fn is_there(&self, layout: &Layout) -> bool {
        match self {
            // A folder of images has folders of the names that the Python version gives to files.
            Self::Directory(path) => layout.record_files().any(|file| file_of(path, file).is_some()),
            // The name of an archive says which version of the data set the archive holds.
            Self::Archive(path) => {
                let is_python =
                    path.file_name().is_some_and(|name| name.to_string_lossy().contains("python"));
                path.exists() && !path.is_dir() && is_python == (layout.format != Format::Binary)
            }
        }
    }

    /// Reads every file of the layout; only the class names may be absent.
    pub(crate) fn read(&self, layout: &Layout) -> Result<Members> {
        let members = match self {
            Self::Directory(path) => read_directory(layout, path)?,
            Self::Archive(path) => read_archive(layout, path)?,
        };
        let missing: Vec<String> =
            layout.record_files().filter(|file| !members.contains_key(*file)).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(members);
        }
        Err(Error::Incomplete { dataset: layout.dataset, directory: self.path().to_path_buf(), missing })
    }
}

fn read_directory(layout: &Layout, directory: &Path) -> Result<Members> {
    let mut members = Members::new();
    for file in layout.record_files().chain([layout.names]) {
        let Some(path) = file_of(directory, file) else { continue };
        check_length(layout, file, &path, gaat_files::regular(&path)?.len())?;
        let longest = layout.longest(file);
        let mut reader = gzip::open(&path, longest as u64)?;
        let bytes = gzip::read_up_to(&mut reader, longest + 1)
            .map_err(|error| Error::reading(&path, "a file of CIFAR", error))?;
        check_length(layout, file, &path, bytes.len() as u64)?;
        members.insert(file.to_owned(), Member { path, bytes });
    }
    Ok(members)
}

/// A file of a directory, packed or not.
pub(crate) fn file_of(directory: &Path, file: &str) -> Option<PathBuf> {
    let names = [file.to_owned(), format!("{file}.gz")];
    names.iter().map(|name| directory.join(name)).find(|path| path.exists() && !path.is_dir())
}

fn read_archive(layout: &Layout, path: &Path) -> Result<Members> {
    const EXPECTED: &str = "a gzipped tar archive";
    let damaged = |error| Error::reading(path, EXPECTED, error);
    let mut archive = tar::Archive::new(gzip::open(path, layout.longest_archive())?);
    let mut members = Members::new();
    for (index, entry) in archive.entries().map_err(damaged)?.enumerate() {
        if index == MOST_MEMBERS {
            let expected = format!("at most {MOST_MEMBERS} members, of which an official archive has 10");
            return Err(Error::malformed(path, expected, "more"));
        }
        let mut entry = entry.map_err(damaged)?;
        let inside = entry.path().map_err(damaged)?.into_owned();
        let Some(file) = wanted(layout, &inside).filter(|_| entry.header().entry_type().is_file()) else {
            continue;
        };
        let member_path = path.join(&inside);
        check_length(layout, file, &member_path, entry.size())?;
        let length = entry.size() as usize;
        let bytes = read_exactly(&mut entry, length, &member_path, "a file in the archive")?;
        if members.insert(file.to_owned(), Member { path: member_path.clone(), bytes }).is_some() {
            return Err(Error::malformed(&member_path, "each file once", "two files of this name"));
        }
    }
    // The checksum of gzip comes last: without this, a damaged tail would go unseen.
    std::io::copy(&mut archive.into_inner().by_ref(), &mut std::io::sink()).map_err(damaged)?;
    Ok(members)
}

/// The file of the layout that a path inside an archive stands for.
fn wanted(layout: &Layout, inside: &Path) -> Option<&'static str> {
    let name = inside.file_name()?.to_str()?;
    layout.record_files().chain([layout.names]).find(|file| *file == name)
}
