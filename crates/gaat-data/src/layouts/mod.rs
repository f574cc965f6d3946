//! How each data set lies on disk: the table that a new data set is entered into.

pub(crate) mod cifar;
pub(crate) mod idx;

use crate::official::OfficialFile;
use cifar::{CIFAR10, CIFAR10_PYTHON, CIFAR100, CIFAR100_PYTHON};
use gaat_spec::DatasetName;
use idx::{FASHION_MNIST, MNIST};

/// How a data set lies on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Part of the program.
    Embedded,
    /// Four files of IDX.
    Idx(&'static idx::Layout),
    /// Files of CIFAR: every version, in the order in which they are looked for.
    Cifar([&'static cifar::Layout; 2]),
    /// Images of the user's own.
    Folder,
}

impl Kind {
    pub(crate) fn of(dataset: DatasetName) -> Self {
        match dataset {
            DatasetName::Digits => Self::Embedded,
            DatasetName::Mnist => Self::Idx(&MNIST),
            DatasetName::FashionMnist => Self::Idx(&FASHION_MNIST),
            DatasetName::Cifar10 => Self::Cifar([&CIFAR10, &CIFAR10_PYTHON]),
            DatasetName::Cifar100 => Self::Cifar([&CIFAR100, &CIFAR100_PYTHON]),
            DatasetName::Folder => Self::Folder,
        }
    }

    /// The names of folders and archives that hold nothing but this data set.
    pub(crate) fn places(self) -> Vec<&'static str> {
        match self {
            Self::Embedded | Self::Folder => Vec::new(),
            Self::Idx(layout) => vec![layout.torchvision],
            Self::Cifar(versions) => {
                versions.iter().flat_map(|layout| [layout.directory, layout.archive]).collect()
            }
        }
    }
}

/// The files of a data set that is published; none where it is embedded or the user's own.
pub fn official_files(dataset: DatasetName) -> &'static [OfficialFile] {
    match Kind::of(dataset) {
        Kind::Idx(layout) => layout.packed,
        Kind::Cifar([binary, _]) => binary.published,
        Kind::Embedded | Kind::Folder => &[],
    }
}
