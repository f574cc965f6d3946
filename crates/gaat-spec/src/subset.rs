//! Which images of a test set are looked at, where it is not all of them.

use crate::error::{Error, Result};
use crate::names::named;
use serde::{Deserialize, Serialize};

named! {
    /// How a number of images is chosen.
    Selection, "selection" {
        /// A subset that the seed fixes, spread over the whole set.
        Seeded = "seeded",
        /// Those that come first, as `RobustBench` and AutoAttack take them.
        First = "first",
    }
}

/// The images of a test set that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subset {
    /// How they were chosen.
    pub selection: Selection,
    /// How many.
    pub images: usize,
    /// Of how many.
    pub of: usize,
    /// What fixed the choice; `None` for the first ones, which need no seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Subset {
    /// In words that go before "test images", such as `the first 500 of 10000`.
    pub fn words(&self) -> String {
        let Self { selection, images, of, seed } = self;
        match (selection, seed) {
            (Selection::First, _) => format!("the first {images} of {of}"),
            (Selection::Seeded, Some(seed)) => format!("{images} (chosen by seed {seed}) of {of}"),
            (Selection::Seeded, None) => format!("{images} of {of}"),
        }
    }
}
