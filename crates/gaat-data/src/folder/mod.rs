//! The user's own images: `<root>/train/<class>/*.png|jpg|jpeg` and `<root>/test/<class>/...`; or shards of WebDataset,
//! `<root>/train-000000.tar` and `<root>/test-000000.tar`. Validation images may lie beside them, in `val`.
//!
//! Classes are the folders of `train`, sorted by name; `test` may lack some of them, with a warning, but has no others.
//! Images are grey (1 channel) only if every file is stored as grey, else all become red, green, blue. Transparency is
//! dropped and the orientation that a camera notes is ignored. Other folders beside these are left alone.
//! Decoded images are kept in a cache that belongs to the user's cache directory, never beside the images.

mod arrangement;
mod cache;
mod decode;
mod failures;
mod jpeg;
mod picture;
mod scan;
mod shards;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::image_set::ImageSet;
use crate::seen::seen;
use crate::source::ImageSource;
pub(crate) use arrangement::{Arrangement, Part};
use cache::{Cache, Entry};
use gaat_spec::{DatasetName, Residence, visible_path};
pub(crate) use scan::{Divided, ImageFile, Place, scan};
use scan::{Scan, scan_settled};

/// What is expected, for a message.
const EXPECTED: &str = "train/<class>/*.png, *.jpg or *.jpeg and test/<class>/...; shards train-*.tar and test-*.tar; or train.npz and \
                        test.npz; in the directory itself or in folder/";

/// Names under which others keep a part that may be meant for test images.
const OTHER_PARTS: [&str; 5] = ["val", "valid", "validation", "dev", "eval"];

/// The parts of an image folder.
#[derive(Debug)]
pub(crate) struct FolderSets {
    pub(crate) sets: Divided<ImageSet>,
    pub(crate) warnings: Vec<String>,
    /// Whether the pixels came from the cache.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests ask"))]
    pub(crate) cached: bool,
}

/// The directories in which `train` and `test` are looked for, in order.
pub(crate) fn candidates(roots: &[PathBuf]) -> Vec<PathBuf> {
    roots.iter().flat_map(|root| [root.join("folder"), root.clone()]).collect()
}

/// The first directory with training or test images in it, and how it holds them.
pub(crate) fn find(roots: &[PathBuf]) -> Result<(PathBuf, Arrangement)> {
    let searched = candidates(roots);
    for directory in &searched {
        let Some(arrangement) = Arrangement::of(directory) else { continue };
        let missing: Vec<String> = [Part::Train, Part::Test]
            .into_iter()
            .filter(|part| !arrangement.has(directory, *part))
            .map(|part| lacking(directory, arrangement, part))
            .collect();
        if missing.is_empty() {
            return Ok((directory.clone(), arrangement));
        }
        return Err(Error::Incomplete {
            dataset: DatasetName::Folder,
            directory: directory.clone(),
            missing,
        });
    }
    if let Some(path) = searched.iter().find_map(|directory| packed(directory)) {
        return Err(Error::Packed { path });
    }
    let (dataset, expected) = (DatasetName::Folder, EXPECTED.to_owned());
    Err(Error::Missing { dataset, searched, expected, seen: seen(roots, dataset) })
}

/// A part that is not there; and the folder that may be meant for it.
fn lacking(directory: &Path, arrangement: Arrangement, part: Part) -> String {
    let is_asked = arrangement == Arrangement::Folders && part == Part::Test;
    let beside = OTHER_PARTS.iter().find(|other| is_asked && directory.join(other).is_dir());
    let beside = beside.map(|other| {
        format!(" ({other}/ is there: name it test/ where its images are to be judged on; validation images can be carved from \
                 train/)")
    });
    format!("{}{}", arrangement.wanted(part), beside.unwrap_or_default())
}

/// A warning about folders of images beside the three parts: the program does not read these folders.
pub(crate) fn unread(root: &Path) -> Option<String> {
    let own = Part::Validation.directory(root);
    let others = OTHER_PARTS.into_iter().filter(|other| root.join(other).is_dir());
    let others: Vec<&str> = others.filter(|other| own.as_ref() != Some(&root.join(other))).collect();
    (!others.is_empty()).then(|| {
        let validation = own.map_or_else(
            || "carved from train/".to_owned(),
            |own| format!("those of {}", visible_path(&own)),
        );
        format!(
            "{}: {} is not read: validation images are {validation}, and test/ is judged on",
            visible_path(root),
            others.join(", ")
        )
    })
}

/// An archive that stands where a directory of images was expected.
fn packed(path: &Path) -> Option<PathBuf> {
    const ARCHIVES: [&str; 9] = [".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".zst", ".zip", ".7z"];
    let is_archive = |path: &Path| {
        let name = path.to_string_lossy().to_lowercase();
        path.is_file() && ARCHIVES.iter().any(|ending| name.ends_with(ending))
    };
    if is_archive(path) {
        return Some(path.to_path_buf());
    }
    let mut inside: Vec<PathBuf> = fs_err::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
    inside.sort();
    inside.into_iter().find(|path| is_archive(path))
}

/// Opens an image folder; where `residence` leaves it open, its images are read into memory if they take at most half of what is
/// free.
pub(crate) fn open(
    root: &Path,
    resize: Option<(usize, usize)>,
    cache: Option<&Path>,
    residence: Residence,
) -> Result<OpenFolder> {
    let Seen { scan, mut warnings, cache } = Seen::of(root, resize, cache)?;
    let is_streamed = match residence {
        Residence::Resident => false,
        Residence::Streamed => true,
        Residence::Auto => {
            let images = (scan.train.len() + scan.test.len()) as u64;
            let needed = images.saturating_mul(decode::Job::of(&scan, resize)?.planes().bytes() as u64);
            gaat_files::free_memory().is_some_and(|free| needed > free / 2)
        }
    };
    if !is_streamed {
        let sets = resident(Seen { scan, warnings, cache }, resize)?;
        let parts = sets.sets.map(|set| Arc::new(set) as Arc<dyn ImageSource>);
        return Ok(OpenFolder { parts, warnings: sets.warnings });
    }
    let name = name(&scan);
    let (parts, of_streaming) = stream::stream(scan, &name, resize, cache.as_ref())?;
    warnings.extend(of_streaming);
    Ok(OpenFolder { parts: parts.map(|part| Arc::new(part) as Arc<dyn ImageSource>), warnings })
}

/// An image folder whose images lie in memory, or are read when they are asked for.
#[derive(Debug)]
pub(crate) struct OpenFolder {
    pub(crate) parts: Divided<Arc<dyn ImageSource>>,
    pub(crate) warnings: Vec<String>,
}

/// A folder before any image is decoded.
struct Seen {
    scan: Scan,
    warnings: Vec<String>,
    cache: Option<Cache>,
}

impl Seen {
    fn of(root: &Path, resize: Option<(usize, usize)>, cache: Option<&Path>) -> Result<Self> {
        let root = fs_err::canonicalize(root)?;
        let mut scan = if cache.is_some() { scan_settled(&root)? } else { scan(&root)? };
        let mut warnings = std::mem::take(&mut scan.warnings);
        warnings.extend(unread(&root));
        let cache = cache.map(|directory| Cache::new(directory, &scan, resize));
        if cache.is_none() {
            warnings
                .push("decoded images are not kept: no cache directory is known; set GAAT_CACHE".to_owned());
        }
        Ok(Self { scan, warnings, cache })
    }
}

/// Reads an image folder into memory, from the cache where that is possible.
pub(crate) fn load(root: &Path, resize: Option<(usize, usize)>, cache: Option<&Path>) -> Result<FolderSets> {
    resident(Seen::of(root, resize, cache)?, resize)
}

fn resident(seen: Seen, resize: Option<(usize, usize)>) -> Result<FolderSets> {
    let Seen { scan, mut warnings, cache } = seen;
    match cache.as_ref().map_or(Ok(None), Cache::read) {
        Ok(Some(entry)) => {
            return Ok(FolderSets { sets: sets(entry, &scan)?, warnings, cached: true });
        }
        Ok(None) => {}
        Err(warning) => warnings.push(warning),
    }
    let entry = decode::decode(&scan, resize)?;
    if let Some(cache) = &cache {
        warnings.extend(cache.write(&entry).err());
    }
    Ok(FolderSets { sets: sets(entry, &scan)?, warnings, cached: false })
}

fn name(scan: &Scan) -> String {
    scan.root.file_name().map_or_else(|| "folder".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn sets(entry: Entry, scan: &Scan) -> Result<Divided<ImageSet>> {
    let name = name(scan);
    let Entry { shape, mut train, test } = entry;
    let parts = scan.parts();
    let validation = train.split_off(parts.train.len() * shape.bytes());
    let set = |pixels: Vec<u8>, files: &[ImageFile]| {
        let labels = files.iter().map(|file| file.label).collect();
        ImageSet::new(pixels, shape, labels, scan.class_names.clone(), name.clone())
    };
    Ok(Divided {
        train: set(train, parts.train)?,
        validation: parts.validation.map(|files| set(validation, files)).transpose()?,
        test: set(test, parts.test)?,
    })
}

#[cfg(test)]
mod tests;
