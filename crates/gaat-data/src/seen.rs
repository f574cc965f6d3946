//! What lies where data was looked for and cannot be used as it is: named, with what to do about it, so that no user wonders
//! why files that are there are "not found". The layouts are those of torchvision 0.26 (`torchvision/datasets`).

use std::path::{Path, PathBuf};

use crate::layouts::Kind;
use gaat_spec::{DatasetName, visible_path};

/// No more entries of a directory are looked at.
const MOST_ENTRIES: usize = 2000;
/// No more finds are named.
const MOST_NAMED: usize = 6;

/// What to do about a data set without a reader.
const AS_FOLDER: &str =
    "gaat does not read it; write its images as train/CLASS/*.png and test/CLASS/*.png, the data set folder";
/// What to do about arrays under another name.
const AS_ARRAYS: &str =
    "gaat reads train.npz and test.npz with the arrays image and label, the data set folder";
/// What to do about a data set with one.
const READABLE: &str = "gaat reads it under that name";

/// Names that tell a data set without a reader, whatever their letters' case, with what they are and what to do. An `*` stands for any
/// characters at either end.
const KNOWN: [(&str, &str, &str); 33] = [
    ("train_32x32.mat", "SVHN", AS_FOLDER),
    ("test_32x32.mat", "SVHN", AS_FOLDER),
    ("extra_32x32.mat", "SVHN", AS_FOLDER),
    ("stl10_binary", "STL10", AS_FOLDER),
    ("stl10_binary.tar.gz", "STL10", AS_FOLDER),
    ("train_x.bin", "STL10", AS_FOLDER),
    ("unlabeled_x.bin", "STL10", AS_FOLDER),
    ("emnist", "EMNIST", AS_FOLDER),
    ("emnist-*", "EMNIST", AS_FOLDER),
    ("emnist.zip", "EMNIST", AS_FOLDER),
    ("kmnist", "KMNIST", AS_FOLDER),
    ("k49-*", "KMNIST", AS_FOLDER),
    ("qmnist", "QMNIST", AS_FOLDER),
    ("qmnist-*", "QMNIST", AS_FOLDER),
    (
        "cifar-10-batches-mat",
        "CIFAR-10 for Matlab",
        "gaat reads the binary and the Python version, not this one",
    ),
    (
        "cifar-10-matlab.tar.gz",
        "CIFAR-10 for Matlab",
        "gaat reads the binary and the Python version, not this one",
    ),
    (
        "cifar-100-matlab*",
        "CIFAR-100 for Matlab",
        "gaat reads the binary and the Python version, not this one",
    ),
    (
        "training.pt",
        "MNIST as old versions of torchvision kept it",
        "gaat reads the files in raw/, not this one",
    ),
    ("ilsvrc2012_*", "ImageNet", "unpack it into train/CLASS/ and test/CLASS/, the data set folder"),
    ("usps*", "USPS", AS_FOLDER),
    ("101_objectcategories", "Caltech 101", AS_FOLDER),
    ("256_objectcategories", "Caltech 256", AS_FOLDER),
    ("food-101", "Food-101", AS_FOLDER),
    ("flowers-102", "Flowers-102", AS_FOLDER),
    ("gtsrb", "GTSRB", AS_FOLDER),
    ("*.npz", "arrays of numpy", AS_ARRAYS),
    ("*.npy", "an array of numpy", AS_FOLDER),
    ("*.parquet", "a table in Parquet, as Hugging Face keeps images", AS_FOLDER),
    ("*.arrow", "a table in Arrow, as Hugging Face keeps images", AS_FOLDER),
    ("*.tfrecord*", "records of TensorFlow", AS_FOLDER),
    ("*.h5", "an HDF5 file", AS_FOLDER),
    ("*.hdf5", "an HDF5 file", AS_FOLDER),
    ("*.mdb", "an LMDB", AS_FOLDER),
];

/// Lines on what lies in `roots` beside `wanted`, which was not found there.
pub(crate) fn seen(roots: &[PathBuf], wanted: DatasetName) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut told: Vec<(PathBuf, &str)> = Vec::new();
    for root in roots {
        // The root itself may be a data set's own folder, such as KMNIST or its raw.
        let places =
            [Some(root.clone()), root.parent().filter(|_| is_named(root, "raw")).map(Path::to_path_buf)];
        for place in places.into_iter().flatten() {
            tell(&place, wanted, &mut told, &mut lines);
        }
        for place in [root.clone(), root.join(wanted.as_str()), root.join("raw"), root.join("processed")] {
            for entry in entries(&place) {
                tell(&entry, wanted, &mut told, &mut lines);
            }
        }
        if wanted == DatasetName::Folder {
            lines.extend(classes_alone(root));
        }
    }
    let more = lines.len().saturating_sub(MOST_NAMED);
    lines.truncate(MOST_NAMED);
    if more > 0 {
        lines.push(format!("and {more} more files of other data sets"));
    }
    lines
}

/// The data set that files in `directory` belong to though they have the names of MNIST's, by the names of the folders.
pub(crate) fn namesake(directory: &Path) -> Option<&'static str> {
    let folder = if is_named(directory, "raw") { directory.parent()? } else { directory };
    ["KMNIST", "EMNIST", "QMNIST"].into_iter().find(|name| is_named(folder, name))
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

fn tell(path: &Path, wanted: DatasetName, told: &mut Vec<(PathBuf, &'static str)>, lines: &mut Vec<String>) {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().to_lowercase()) else { return };
    let known = || KNOWN.iter().find(|(pattern, ..)| matches(pattern, &name)).map(|known| (known.1, known.2));
    let found = readable(&name).map(|dataset| (dataset.as_str(), READABLE)).or_else(known);
    let Some((what, advice)) = found.filter(|(what, _)| *what != wanted.as_str() && path.exists()) else {
        return;
    };
    // One line for all files of a data set in a place.
    let place = path.parent().unwrap_or(path).to_path_buf();
    if told.contains(&(place.clone(), what)) {
        return;
    }
    told.push((place, what));
    lines.push(format!("{}: {what}; {advice}", visible_path(path)));
}

/// The data set with a reader that lies under `name`.
fn readable(name: &str) -> Option<DatasetName> {
    let is_there = |dataset: &DatasetName| {
        Kind::of(*dataset).places().iter().any(|place| place.eq_ignore_ascii_case(name))
    };
    DatasetName::ALL.iter().copied().find(is_there)
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (None, None) => pattern == name,
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
    }
}

/// What is in a directory, sorted; nothing where it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(read) = fs_err::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = read.flatten().take(MOST_ENTRIES).map(|entry| entry.path()).collect();
    // The training part is what people know a data set by.
    let is_training =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train"));
    found.sort_by_key(|path| (!is_training(path), path.clone()));
    found
}

/// A root of torchvision's `ImageFolder`, whose folders are the classes themselves.
fn classes_alone(root: &Path) -> Option<String> {
    let is_image = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default();
        ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    let classes: Vec<PathBuf> = entries(root)
        .into_iter()
        .filter(|path| path.is_dir() && entries(path).iter().any(is_image))
        .collect();
    let first = classes.first()?;
    Some(format!(
        "{}: {} folders of images, such as {}, without train and test above them; gaat judges on images that it did not train \
         on: put the classes into train/, and some images of each into test/",
        visible_path(root),
        classes.len(),
        visible_path(first)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_at_either_end() {
        for (pattern, name, is_match) in [
            ("usps*", "usps.bz2", true),
            ("*.npz", "mnist.npz", true),
            ("*.tfrecord*", "mnist.tfrecord-00000", true),
            ("kmnist", "kmnist-extra", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }
}
