//! What is on disk: where it was looked for, what was found, whether it is whole and whether it is the official data.
//!
//! Nothing is an error here: what is wrong becomes the condition, for the caller to print. Of CIFAR the published archive
//! has a known digest; of files that were unpacked from it the structure is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cifar_files::{Store, file_of};
use crate::directories::Directories;
use crate::duplicates::{Duplicates, duplicates};
use crate::error::{Error, Remedy, Result};
use crate::folder::{self, Arrangement, ImageFile, Part, Place};
use crate::idx_files::Judged;
use crate::image_set::{ImageSet, ImageShape};
use crate::layouts::cifar::Format;
use crate::layouts::{self, Kind};
use crate::load::{Loaded, Location, Source, load_with};
use gaat_spec::{DatasetName, visible_path};

/// What is known of one data set.
#[derive(Clone, Debug)]
pub struct DatasetReport {
    /// Which data set.
    pub dataset: DatasetName,
    /// Every place that would be searched, in order; empty for embedded data.
    pub searched: Vec<PathBuf>,
    /// Where it was found.
    pub location: Option<Location>,
    /// Its files, or for an image folder its class folders.
    pub files: Vec<FileReport>,
    /// What is in it, as far as it was read.
    pub contents: Option<Contents>,
    /// The conclusion.
    pub condition: Condition,
    /// Images that are in both parts; only after [`verify`].
    pub duplicates: Option<Duplicates>,
    /// What else the user should hear.
    pub notes: Vec<String>,
}

/// One file, one shard, or one class folder of an image folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// How many images a class folder or a shard has; `None` for another file.
    pub images: Option<usize>,
    /// SHA-256 of the content, for MNIST unpacked; only after [`verify`], and only where an official one is known.
    pub sha256: Option<String>,
    /// Whether that is the official digest.
    pub official: Option<bool>,
}

/// What is in a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The names of the classes.
    pub class_names: Vec<String>,
    /// Training images of each class.
    pub train_per_class: Vec<usize>,
    /// Validation images of each class; empty where the data set has none of its own.
    pub validation_per_class: Vec<usize>,
    /// Test images of each class.
    pub test_per_class: Vec<usize>,
    /// The shape of an image; `None` where none was decoded.
    pub shape: Option<ImageShape>,
}

impl Contents {
    /// How many training images there are.
    pub fn train(&self) -> usize {
        self.train_per_class.iter().sum()
    }

    /// How many validation images there are.
    pub fn validation(&self) -> usize {
        self.validation_per_class.iter().sum()
    }

    /// How many test images there are.
    pub fn test(&self) -> usize {
        self.test_per_class.iter().sum()
    }
}

/// The conclusion about a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not found.
    Missing {
        /// What was expected, and what to do.
        problem: String,
        /// What would help.
        remedy: Option<Remedy>,
    },
    /// Found, but it cannot be used.
    Unusable {
        /// What is wrong, and what to do.
        problem: String,
        /// What would help.
        remedy: Option<Remedy>,
    },
    /// Whole and readable; whether the bytes are official was not asked, or is not known.
    Readable,
    /// Whole and readable, but not the official bytes.
    NotOfficial,
    /// The official bytes.
    Official,
}

/// Looks for a data set and reads as much of it as is quick.
pub fn info(source: &Source) -> DatasetReport {
    info_with(source, &Directories::from_environment())
}

/// [`info`] with places of the caller's choice.
pub fn info_with(source: &Source, places: &Directories) -> DatasetReport {
    inspect(source, places, Depth::Quick)
}

/// Looks for a data set, reads all of it and compares digests where official ones are known.
pub fn verify(source: &Source) -> DatasetReport {
    verify_with(source, &Directories::from_environment())
}

/// [`verify`] with places of the caller's choice.
pub fn verify_with(source: &Source, places: &Directories) -> DatasetReport {
    inspect(source, places, Depth::Full)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Quick,
    Full,
}

fn inspect(source: &Source, places: &Directories, depth: Depth) -> DatasetReport {
    let mut report = DatasetReport {
        dataset: source.dataset,
        searched: searched(source.dataset, &source.roots(places)),
        location: None,
        files: Vec::new(),
        contents: None,
        condition: Condition::Readable,
        duplicates: None,
        notes: Vec::new(),
    };
    if let Err(error) = fill(&mut report, source, places, depth) {
        let (problem, remedy) = (error.to_string(), error.remedy());
        report.condition = match error {
            Error::Missing { .. } => Condition::Missing { problem, remedy },
            _ => Condition::Unusable { problem, remedy },
        };
    }
    report
}

fn searched(dataset: DatasetName, roots: &[PathBuf]) -> Vec<PathBuf> {
    match Kind::of(dataset) {
        Kind::Embedded => Vec::new(),
        Kind::Idx(layout) => layout.candidates(roots),
        Kind::Cifar(versions) => Store::searched(versions, roots),
        Kind::Folder => folder::candidates(roots),
    }
}

fn fill(report: &mut DatasetReport, source: &Source, places: &Directories, depth: Depth) -> Result<()> {
    let roots = source.roots(places);
    let mut names = None;
    match Kind::of(source.dataset) {
        Kind::Embedded => report.condition = Condition::Official,
        Kind::Idx(layout) => fill_idx(report, layout, &roots, depth)?,
        Kind::Cifar(versions) => fill_cifar(report, versions, &roots, depth)?,
        Kind::Folder => {
            let (root, arrangement) = folder::find(&roots)?;
            report.location = Some(Location::Path(root.clone()));
            if arrangement == Arrangement::Arrays {
                let parts = Part::ALL.iter().filter_map(|part| part.arrays(&root));
                report.files = parts.map(|path| file_report(&path)).collect::<Result<_>>()?;
            } else {
                names = Some(fill_folder(report, &root, arrangement)?);
                if depth == Depth::Quick {
                    return Ok(());
                }
            }
        }
    }
    // A place is named for all data sets at once, and the embedded one lies in none.
    let data_dir = source.data_dir.clone().filter(|_| source.dataset != DatasetName::Digits);
    // A cached folder proves nothing about its files, so that verifying goes without the cache.
    let loaded =
        load_with(&Source { data_dir, ..source.clone() }, &Directories { cache: None, ..places.clone() })?;
    report.location = Some(loaded.location.clone());
    report.contents = Some(contents(&loaded));
    note_partial(report);
    if depth == Depth::Full {
        find_duplicates(report, &loaded, names.as_ref());
    }
    Ok(())
}

/// Paths of the images of a folder, training and test.
type Names = (Vec<PathBuf>, Vec<PathBuf>);

/// Looks for images that are in both parts. `names` are the paths of a folder's images, in the order of the two sets.
fn find_duplicates(report: &mut DatasetReport, loaded: &Loaded, names: Option<&Names>) {
    let found = duplicates(&loaded.train, &loaded.test);
    let name = |part: &str, place: usize| {
        let paths = names.map(|(train, test)| if part == "train" { train } else { test });
        match paths.and_then(|paths| paths.get(place)) {
            Some(path) => visible_path(path),
            None => format!("{part} image {place}"),
        }
    };
    report.notes.extend(found.note(loaded.test.len(), name));
    report.duplicates = Some(found);
}

fn contents(loaded: &Loaded) -> Contents {
    Contents {
        class_names: loaded.train.class_names().to_vec(),
        train_per_class: loaded.train.images_per_class(),
        validation_per_class: loaded.validation.as_ref().map(ImageSet::images_per_class).unwrap_or_default(),
        test_per_class: loaded.test.images_per_class(),
        shape: Some(loaded.train.shape()),
    }
}

fn note_partial(report: &mut DatasetReport) {
    let Kind::Cifar([layout, _]) = Kind::of(report.dataset) else { return };
    let official = layout.official_counts();
    let found = report.contents.as_ref().map(|contents| (contents.train(), contents.test()));
    if let Some((train, test)) = found.filter(|&found| found != official) {
        report.condition = Condition::NotOfficial;
        report.notes.push(format!(
            "partial: {train} of {} training images and {test} of {} test images",
            official.0, official.1,
        ));
    }
}

fn fill_idx(
    report: &mut DatasetReport,
    layout: &layouts::idx::Layout,
    roots: &[PathBuf],
    depth: Depth,
) -> Result<()> {
    let files = layout.find(roots)?;
    report.location = Some(Location::Path(files.directory.clone()));
    for (part, path) in files.paths.iter().enumerate() {
        let mut file = file_report(path)?;
        if depth == Depth::Full {
            let Judged { sha256, official } = layout.judge(part, path)?;
            (file.sha256, file.official) = (Some(sha256), official);
        }
        report.files.push(file);
    }
    report.condition = condition_of(&report.files);
    Ok(())
}

fn fill_cifar(
    report: &mut DatasetReport,
    versions: [&'static layouts::cifar::Layout; 2],
    roots: &[PathBuf],
    depth: Depth,
) -> Result<()> {
    let (layout, store) = Store::find(versions, roots)?;
    report.location = Some(Location::Path(store.path().to_path_buf()));
    report.files = match &store {
        Store::Archive(path) => vec![file_report(path)?],
        Store::Directory(path) => layout
            .record_files()
            .filter_map(|file| file_of(path, file))
            .map(|path| file_report(&path))
            .collect::<Result<_>>()?,
    };
    // The digests that are known are those of the binary version.
    let is_known = layout.format == Format::Binary && depth == Depth::Full;
    if let (Store::Archive(path), true, [file]) = (&store, is_known, report.files.as_mut_slice()) {
        let sha256 = gaat_files::digest_of_file(path)?;
        file.official = Some(layout.published.iter().any(|known| known.sha256 == sha256));
        file.sha256 = Some(sha256);
    }
    report.condition = condition_of(&report.files);
    Ok(())
}

/// What the digests say, where there are any.
fn condition_of(files: &[FileReport]) -> Condition {
    if files.iter().any(|file| file.official == Some(false)) {
        Condition::NotOfficial
    } else if files.iter().all(|file| file.official == Some(true)) {
        Condition::Official
    } else {
        Condition::Readable
    }
}

/// The paths of the images, below the root, training first.
fn fill_folder(report: &mut DatasetReport, root: &Path, arrangement: Arrangement) -> Result<Names> {
    let scan = folder::scan(root)?;
    let per_class = |files: &[ImageFile]| {
        let mut counts = vec![0; scan.class_names.len()];
        for file in files {
            counts[usize::from(file.label)] += 1;
        }
        counts
    };
    let parts = scan.parts();
    report.contents = Some(Contents {
        train_per_class: per_class(parts.train),
        validation_per_class: parts.validation.map(per_class).unwrap_or_default(),
        test_per_class: per_class(parts.test),
        class_names: scan.class_names.clone(),
        shape: None,
    });
    let parts = [
        (Part::Train, Some(parts.train)),
        (Part::Validation, parts.validation),
        (Part::Test, Some(parts.test)),
    ];
    for (part, files) in parts {
        let Some(files) = files else { continue };
        let containers: Vec<PathBuf> = match arrangement {
            Arrangement::Shards => part.shards(root),
            _ => {
                scan.class_names.iter().filter_map(|class| Some(part.directory(root)?.join(class))).collect()
            }
        };
        let mut found: BTreeMap<&Path, (u64, usize)> = BTreeMap::new();
        for file in files {
            let container = match &file.place {
                Place::File(path) => path.parent().unwrap_or(path),
                Place::Member { shard, .. } => shard,
            };
            let (bytes, images) = found.entry(container).or_default();
            (*bytes, *images) = (*bytes + file.bytes, *images + 1);
        }
        // Also those without an image; blanks around the name of a folder are no part of its class.
        let class = |path: &Path| path.file_name().map(|name| name.to_string_lossy().trim().to_owned());
        let known: BTreeSet<Option<String>> = found.keys().map(|path| class(path)).collect();
        for container in containers.iter().filter(|container| !known.contains(&class(container))) {
            found.entry(container).or_default();
        }
        report.files.extend(found.into_iter().map(|(path, (bytes, images))| FileReport {
            path: path.to_path_buf(),
            bytes,
            images: Some(images),
            sha256: None,
            official: None,
        }));
    }
    let below = |file: &ImageFile| {
        let path = file.path();
        path.strip_prefix(&scan.root).map_or_else(|_| path.clone(), Path::to_path_buf)
    };
    let parts = scan.parts();
    let names = (parts.train.iter().map(below).collect(), parts.test.iter().map(below).collect());
    report.notes = scan.warnings;
    report.notes.extend(folder::unread(root));
    Ok(names)
}

fn file_report(path: &Path) -> Result<FileReport> {
    let bytes = gaat_files::regular(path)?.len();
    Ok(FileReport { path: path.to_path_buf(), bytes, images: None, sha256: None, official: None })
}
