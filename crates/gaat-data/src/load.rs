//! From the name of a data set to its images in memory.
//!
//! The one place that knows all readers. It finds and reads; splitting is next door.

use std::fmt;
use std::path::PathBuf;

use crate::cifar;
use crate::cifar_files::Store;
use crate::directories::Directories;
use crate::error::{Error, Result};
use crate::image_set::ImageSet;
use crate::layouts::{self, Kind};
use crate::resize::{check_size, resize_set};
use crate::split::Parts;
use crate::{arrays, digits, folder};
use folder::{Arrangement, Divided};
use gaat_spec::{DatasetName, Residence, visible_path};

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which data set.
    pub dataset: DatasetName,
    /// Where it is; nothing else is searched then. `None` searches the usual places. Digits lie nowhere.
    pub data_dir: Option<PathBuf>,
    /// Height and width to bring every image to; `None` keeps the size of the files.
    pub resize: Option<(usize, usize)>,
}

/// Where images came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Part of the program.
    Embedded,
    /// A directory or an archive.
    Path(PathBuf),
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => formatter.pad("embedded"),
            Self::Path(path) => visible_path(path).fmt(formatter),
        }
    }
}

/// A data set in memory, in its official parts.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Images for training, and for validation where the data set has none of its own for that.
    pub train: ImageSet,
    /// Images for validation, where the data set has some of its own.
    pub validation: Option<ImageSet>,
    /// Images for judging.
    pub test: ImageSet,
    /// Where they came from.
    pub location: Location,
    /// What the user should hear, though it stopped nothing.
    pub warnings: Vec<String>,
}

/// Finds a data set in the usual places and reads it.
///
/// # Errors
/// When it is not found, incomplete or damaged; the message says where and what to do.
pub fn load(source: &Source) -> Result<Loaded> {
    load_with(source, &Directories::from_environment())
}

/// [`load`] with places of the caller's choice.
///
/// # Errors
/// As [`load`].
pub fn load_with(source: &Source, places: &Directories) -> Result<Loaded> {
    check_size(source.resize)?;
    check_place(source)?;
    let roots = source.roots(places);
    let two = |((train, test), location)| (Divided { train, validation: None, test }, location);
    let mut warnings = Vec::new();
    let (sets, location) = match Kind::of(source.dataset) {
        Kind::Embedded => two((digits::load()?, Location::Embedded)),
        Kind::Idx(layout) => two(load_idx(layout, &roots)?),
        Kind::Cifar(versions) => two(load_cifar(versions, &roots)?),
        Kind::Folder => {
            let (root, arrangement) = folder::find(&roots)?;
            let sets = if arrangement == Arrangement::Arrays {
                arrays::load(&root)?
            } else {
                let found = folder::load(&root, source.resize, places.cache.as_deref())?;
                warnings = found.warnings;
                found.sets
            };
            (sets, Location::Path(root))
        }
    };
    let Divided { train, validation, test } = sets.map(|set| resize_set(set, source.resize));
    Ok(Loaded { train: train?, validation: validation.transpose()?, test: test?, location, warnings })
}

/// A user who names a directory wants the images in it, and not the embedded ones in their place.
fn check_place(source: &Source) -> Result<()> {
    match &source.data_dir {
        Some(place) if source.dataset == DatasetName::Digits => Err(Error::Option {
            option: "data-dir",
            expected: "left out for digits, which are part of the program",
            found: visible_path(place),
        }),
        _ => Ok(()),
    }
}

/// A data set whose images lie in memory, or are read when they are asked for.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its official parts.
    pub parts: Parts,
    /// Where they lie.
    pub location: Location,
    /// What the user should hear, though it stopped nothing.
    pub warnings: Vec<String>,
}

/// Finds a data set in the usual places and opens it, its images in memory or not as `residence` says.
///
/// # Errors
/// As [`load`]; and when images are to be streamed of which there is no folder.
pub fn open(source: &Source, residence: Residence) -> Result<Opened> {
    open_with(source, residence, &Directories::from_environment())
}

/// [`open`] with directories of the caller's choice.
///
/// # Errors
/// As [`open`].
pub fn open_with(source: &Source, residence: Residence, directories: &Directories) -> Result<Opened> {
    let folder = if source.dataset == DatasetName::Folder {
        check_size(source.resize)?;
        let (root, arrangement) = folder::find(&source.roots(directories))?;
        (arrangement != Arrangement::Arrays).then_some(root)
    } else {
        None
    };
    let Some(root) = folder else {
        if residence == Residence::Streamed {
            return Err(Error::Option {
                option: "images",
                expected: "auto or resident for a data set whose images are not files of their own, which is read into memory \
                           (streamed is for image files and shards of a folder)",
                found: residence.to_string(),
            });
        }
        let loaded = load_with(source, directories)?;
        let (location, warnings) = (loaded.location.clone(), loaded.warnings.clone());
        return Ok(Opened { parts: loaded.try_into()?, location, warnings });
    };
    let found = folder::open(&root, source.resize, directories.cache.as_deref(), residence)?;
    let Divided { train, validation, test } = found.parts;
    let parts = Parts::of(train, test)?;
    let parts = if let Some(validation) = validation { parts.with_validation(validation)? } else { parts };
    Ok(Opened { parts, location: Location::Path(root), warnings: found.warnings })
}

fn load_idx(layout: &layouts::idx::Layout, roots: &[PathBuf]) -> Result<((ImageSet, ImageSet), Location)> {
    let files = layout.find(roots)?;
    Ok((layout.load(&files)?, Location::Path(files.directory)))
}

fn load_cifar(
    versions: [&'static layouts::cifar::Layout; 2],
    roots: &[PathBuf],
) -> Result<((ImageSet, ImageSet), Location)> {
    let (layout, store) = Store::find(versions, roots)?;
    Ok((cifar::load(layout, &store)?, Location::Path(store.path().to_path_buf())))
}

impl Source {
    /// The roots to search: the one that was named, else the usual ones.
    pub(crate) fn roots(&self, places: &Directories) -> Vec<PathBuf> {
        self.data_dir.clone().map_or_else(|| places.data_roots.clone(), |root| vec![root])
    }
}
