//! The names of the data sets that this crate reads.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A data set that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetName {
    /// 1,797 handwritten digits of 8 x 8 pixels, embedded in the program.
    Digits,
    /// MNIST: 70,000 handwritten digits of 28 x 28 pixels.
    Mnist,
    /// CIFAR-10: 60,000 colour images of 32 x 32 pixels in 10 classes.
    Cifar10,
    /// CIFAR-100: 60,000 colour images of 32 x 32 pixels in 100 classes (the fine labels).
    Cifar100,
    /// The user's own images, one folder a class.
    Folder,
}

impl DatasetName {
    /// Every data set, in the order in which they are listed to the user.
    pub const ALL: [Self; 5] = [Self::Digits, Self::Mnist, Self::Cifar10, Self::Cifar100, Self::Folder];

    /// The name in recipes, on the command line and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Folder => "folder",
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| Error::UnknownDataset {
            given: text.to_owned(),
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}
