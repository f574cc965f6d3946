//! MNIST, and anything else in its four files of its format.
//!
//! Source of the names and of the digests: <http://yann.lecun.com/exdb/mnist/>. Packed and unpacked files are accepted,
//! with `-` or `.` before `idx`. Any image size is read, and ten classes are insisted upon.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::gzip;
use crate::idx::{Images, read_images, read_labels};
use crate::image_set::{ImageSet, ImageShape};
use gaat_spec::DatasetName;

const CLASSES: u16 = 10;

/// What is expected, for a message.
pub(crate) const EXPECTED: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, \
     t10k-labels-idx1-ubyte, each with or without .gz, in the directory itself, in mnist/ or in MNIST/raw/";

/// One of the four files.
struct Part {
    stem: &'static str,
    kind: &'static str,
    /// SHA-256 of the official file, unpacked.
    official: &'static str,
}

const PARTS: [Part; 4] = [
    Part {
        stem: "train-images",
        kind: "idx3-ubyte",
        official: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    Part {
        stem: "train-labels",
        kind: "idx1-ubyte",
        official: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    Part {
        stem: "t10k-images",
        kind: "idx3-ubyte",
        official: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    Part {
        stem: "t10k-labels",
        kind: "idx1-ubyte",
        official: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// A directory with the four files.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) directory: PathBuf,
    /// Train images, train labels, test images, test labels, each with the official digest of its unpacked content.
    pub(crate) parts: [(PathBuf, &'static str); 4],
}

/// The directories in which files are looked for, in order.
pub(crate) fn candidates(roots: &[PathBuf]) -> Vec<PathBuf> {
    roots.iter().flat_map(|root| [root.join("mnist"), root.join("MNIST").join("raw"), root.clone()]).collect()
}

/// The files in the first directory that has any of them.
pub(crate) fn find(roots: &[PathBuf]) -> Result<Files> {
    let searched = candidates(roots);
    for directory in &searched {
        let paths = PARTS.each_ref().map(|part| part.path(directory));
        if paths.iter().all(Option::is_none) {
            continue;
        }
        let missing = PARTS.iter().zip(&paths).filter(|(_, path)| path.is_none());
        let missing: Vec<String> = missing.map(|(part, _)| format!("{}-{}", part.stem, part.kind)).collect();
        return match paths {
            [Some(a), Some(b), Some(c), Some(d)] => {
                let [w, x, y, z] = PARTS.each_ref().map(|part| part.official);
                Ok(Files { directory: directory.clone(), parts: [(a, w), (b, x), (c, y), (d, z)] })
            }
            _ => {
                Err(Error::Incomplete { dataset: DatasetName::Mnist, directory: directory.clone(), missing })
            }
        };
    }
    Err(Error::Missing { dataset: DatasetName::Mnist, searched, expected: EXPECTED.to_owned() })
}

impl Part {
    fn path(&self, directory: &Path) -> Option<PathBuf> {
        let Self { stem, kind, .. } = self;
        let names = [
            format!("{stem}-{kind}"),
            format!("{stem}-{kind}.gz"),
            format!("{stem}.{kind}"),
            format!("{stem}.{kind}.gz"),
        ];
        names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
    }
}

/// Reads the four files, in parallel, into (train, test).
pub(crate) fn load(files: &Files) -> Result<(ImageSet, ImageSet)> {
    let [(train_images, _), (train_labels, _), (test_images, _), (test_labels, _)] = &files.parts;
    let (train, test) =
        rayon::join(|| read_pair(train_images, train_labels), || read_pair(test_images, test_labels));
    let (train, test) = (train?, test?);
    if train.shape() != test.shape() {
        let expected = format!("images of {} as in {}", train.shape(), train_images.display());
        return Err(Error::malformed(test_images, expected, test.shape().to_string()));
    }
    Ok((train, test))
}

fn read_pair(images: &Path, labels: &Path) -> Result<ImageSet> {
    let (images_read, labels_read) = rayon::join(
        || read_images(&mut gzip::open(images)?, images),
        || read_labels(&mut gzip::open(labels)?, labels, CLASSES),
    );
    let (Images { count, height, width, pixels }, labels_read) = (images_read?, labels_read?);
    if labels_read.len() != count {
        let expected = format!("{count} labels, one for each image in {}", images.display());
        return Err(Error::malformed(labels, expected, format!("{} labels", labels_read.len())));
    }
    let class_names = (0..CLASSES).map(|digit| digit.to_string()).collect();
    let shape = ImageShape { channels: 1, height, width };
    ImageSet::new(pixels, shape, labels_read, class_names, "mnist".to_owned())
}
