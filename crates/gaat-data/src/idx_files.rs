//! MNIST and Fashion-MNIST, and anything else in four files of that format.
//!
//! Source of the names and of the digests: <http://yann.lecun.com/exdb/mnist/> and
//! <https://github.com/zalandoresearch/fashion-mnist>. Packed and unpacked files are accepted, with `-` or `.` before `idx`.
//! Any image size is read, and ten classes are insisted upon.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::gzip;
use crate::idx::{Images, LONGEST, LONGEST_LABELS, read_images, read_labels};
use crate::image_set::{ImageSet, ImageShape};
use crate::layouts::idx::{ALL, CLASSES, Layout};
use crate::seen::{namesake, seen};
use gaat_spec::visible_path;

/// Names of the four files, without the ending `.gz`: stem and kind.
const PARTS: [(&str, &str); 4] = [
    ("train-images", "idx3-ubyte"),
    ("train-labels", "idx1-ubyte"),
    ("t10k-images", "idx3-ubyte"),
    ("t10k-labels", "idx1-ubyte"),
];

/// A directory with the four files: train images, train labels, test images, test labels.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) directory: PathBuf,
    pub(crate) paths: [PathBuf; 4],
}

/// The digest of a file, and whether it is the official one.
pub(crate) struct Judged {
    pub(crate) sha256: String,
    /// `None` where that cannot be told.
    pub(crate) official: Option<bool>,
}

impl Layout {
    /// The directories in which files are looked for, in order.
    pub(crate) fn candidates(&self, roots: &[PathBuf]) -> Vec<PathBuf> {
        // The root may be that of all data sets, as torchvision keeps them, or the folder of this one.
        let below = |root: &PathBuf| {
            let own = root.join(self.dataset.as_str());
            let (inner, kept) = (own.join(self.torchvision).join("raw"), root.join(self.torchvision));
            [own, inner, kept.join("raw"), kept, root.join("raw"), root.clone()]
        };
        let mut places: Vec<PathBuf> = Vec::new();
        for place in roots.iter().flat_map(below) {
            // `mnist` and `MNIST` are one folder on some file systems, and it is of no use to search a root twice.
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// The files in the first directory that has any of them.
    pub(crate) fn find(&self, roots: &[PathBuf]) -> Result<Files> {
        let searched = self.candidates(roots);
        for directory in &searched {
            let paths = PARTS.map(|(stem, kind)| path_of(stem, kind, directory));
            if paths.iter().all(Option::is_none) {
                continue;
            }
            let missing = PARTS.iter().zip(&paths).filter(|(_, path)| path.is_none());
            let missing: Vec<String> = missing.map(|((stem, kind), _)| format!("{stem}-{kind}")).collect();
            let directory = directory.clone();
            let [Some(a), Some(b), Some(c), Some(d)] = paths else {
                return Err(Error::Incomplete { dataset: self.dataset, directory, missing });
            };
            let files = Files { directory, paths: [a, b, c, d] };
            self.check_identity(&files)?;
            return Ok(files);
        }
        let (folder, torchvision) = (self.dataset, self.torchvision);
        let names = PARTS.map(|(stem, kind)| format!("{stem}-{kind}")).join(", ");
        let expected = format!(
            "{names}, each with or without .gz, in the directory itself, in {folder}/ or in {torchvision}/raw/"
        );
        let seen = seen(roots, self.dataset);
        Err(Error::Missing { dataset: self.dataset, searched, expected, seen })
    }

    /// Refuses the files of another set, which have the same names: their test labels are short and give
    /// them away. Files that are not published pass.
    fn check_identity(&self, files: &Files) -> Result<()> {
        if let Some(other) = namesake(&files.directory) {
            let found = format!(
                "files of {other}, which have the same names; gaat does not read {other}: write its images as \
                 train/CLASS/*.png and test/CLASS/*.png, the data set folder"
            );
            return Err(Error::malformed(&files.directory, format!("the files of {}", self.dataset), found));
        }
        let labels = &files.paths[3];
        for other in ALL.into_iter().filter(|other| other.dataset != self.dataset) {
            if other.judge(3, labels)?.official == Some(true) {
                let found = format!("the file of {} under the same name", other.dataset);
                return Err(Error::malformed(labels, format!("the labels of {}", self.dataset), found));
            }
        }
        Ok(())
    }

    /// Compares one of the four files, by its number, with the official one: unpacked where that digest is known, else as
    /// it was published.
    pub(crate) fn judge(&self, part: usize, path: &Path) -> Result<Judged> {
        if let Some(known) = self.unpacked {
            // Images and labels take turns.
            let longest = if part.is_multiple_of(2) { LONGEST } else { LONGEST_LABELS };
            let sha256 = gzip::digest(path, longest)?;
            let official = Some(sha256 == known[part]);
            return Ok(Judged { sha256, official });
        }
        let sha256 = gaat_files::digest_of_file(path)?;
        let official = gzip::is_packed(path)?.then(|| sha256 == self.packed[part].sha256);
        Ok(Judged { sha256, official })
    }

    /// Reads the four files, in parallel, into (train, test).
    pub(crate) fn load(&self, files: &Files) -> Result<(ImageSet, ImageSet)> {
        let [train_images, train_labels, test_images, test_labels] = &files.paths;
        let (train, test) = rayon::join(
            || self.read_pair(train_images, train_labels),
            || self.read_pair(test_images, test_labels),
        );
        let (train, test) = (train?, test?);
        if train.shape() != test.shape() {
            let expected = format!("images of {} as in {}", train.shape(), visible_path(train_images));
            return Err(Error::malformed(test_images, expected, test.shape().to_string()));
        }
        Ok((train, test))
    }

    fn read_pair(&self, images: &Path, labels: &Path) -> Result<ImageSet> {
        let (images_read, labels_read) = rayon::join(
            || read_images(&mut gzip::open(images, LONGEST)?, images),
            || read_labels(&mut gzip::open(labels, LONGEST_LABELS)?, labels, CLASSES as u16),
        );
        let (Images { count, height, width, pixels }, labels_read) = (images_read?, labels_read?);
        if labels_read.len() != count {
            let expected = format!("{count} labels, one for each image in {}", visible_path(images));
            return Err(Error::malformed(labels, expected, format!("{} labels", labels_read.len())));
        }
        let class_names = self.class_names.map(str::to_owned).to_vec();
        let shape = ImageShape { channels: 1, height, width };
        ImageSet::new(pixels, shape, labels_read, class_names, self.dataset.to_string())
    }
}

fn path_of(stem: &str, kind: &str, directory: &Path) -> Option<PathBuf> {
    let names = [
        format!("{stem}-{kind}"),
        format!("{stem}-{kind}.gz"),
        format!("{stem}.{kind}"),
        format!("{stem}.{kind}.gz"),
    ];
    // Something else in the place of a file is told apart when it is opened.
    let paths = names.map(|name| directory.join(name));
    let found = paths.iter().find(|path| path.is_file()).or_else(|| paths.iter().find(|path| path.exists()));
    found.cloned()
}
