//! CIFAR-10 and CIFAR-100, in the binary version and in that for Python. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use crate::official::{self, OfficialFile};
use gaat_spec::DatasetName;

/// How the files of a layout hold images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Binary,
    /// Pickles: labels under the first key, the names of the classes, in their own file, under the second.
    Python(&'static str, &'static str),
}

/// What tells the data sets and their versions apart.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    pub(crate) dataset: DatasetName,
    /// The directory inside the official archive.
    pub(crate) directory: &'static str,
    pub(crate) archive: &'static str,
    /// What is published of the binary version.
    pub(crate) published: &'static [OfficialFile; 1],
    pub(crate) train: &'static [&'static str],
    pub(crate) test: &'static str,
    /// The file with one class name a line; optional.
    pub(crate) names: &'static str,
    /// Bytes before the pixels of a record.
    pub(crate) label_bytes: usize,
    pub(crate) classes: u16,
    /// Records of an official training file; a test file has 10,000 in both.
    pub(crate) train_records: usize,
}

/// Records of a test file.
pub(crate) const TEST_RECORDS: usize = 10_000;

/// CIFAR-10.
pub(crate) const CIFAR10: Layout = Layout {
    format: Format::Binary,
    dataset: DatasetName::Cifar10,
    directory: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    published: &official::CIFAR10,
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    label_bytes: 1,
    classes: 10,
    train_records: 10_000,
};

/// CIFAR-100.
pub(crate) const CIFAR100: Layout = Layout {
    format: Format::Binary,
    dataset: DatasetName::Cifar100,
    directory: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    published: &official::CIFAR100,
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    label_bytes: 2,
    classes: 100,
    train_records: 50_000,
};

/// CIFAR-10 for Python.
pub(crate) const CIFAR10_PYTHON: Layout = Layout {
    format: Format::Python("labels", "label_names"),
    directory: "cifar-10-batches-py",
    archive: "cifar-10-python.tar.gz",
    train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test: "test_batch",
    names: "batches.meta",
    ..CIFAR10
};

/// CIFAR-100 for Python.
pub(crate) const CIFAR100_PYTHON: Layout = Layout {
    format: Format::Python("fine_labels", "fine_label_names"),
    directory: "cifar-100-python",
    archive: "cifar-100-python.tar.gz",
    train: &["train"],
    test: "test",
    names: "meta",
    ..CIFAR100
};
