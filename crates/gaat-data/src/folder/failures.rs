//! Images that cannot be used: all of them at once, so that they can be mended together.

use crate::error::{Error, Result};

/// Those that are named; of the others there is a count.
const NAMED: usize = 20;

/// What went wrong, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Failures {
    first: Vec<Error>,
    count: usize,
    /// The first image of another size. One is enough: a size is chosen for all, and mends all.
    size: Option<Error>,
}

impl From<Error> for Failures {
    fn from(error: Error) -> Self {
        match error {
            Error::ImageSize { .. } => Self { size: Some(error), ..Self::default() },
            error => Self { first: vec![error], count: 1, size: None },
        }
    }
}

impl Failures {
    pub(super) fn followed_by(mut self, later: Self) -> Self {
        self.first.extend(later.first);
        self.first.truncate(NAMED);
        self.count += later.count;
        self.size = self.size.or(later.size);
        self
    }

    /// # Errors
    /// Where there is a failure.
    pub(super) fn check(self) -> Result<()> {
        let Self { mut first, count, size } = self;
        match (count, size) {
            (0, None) => Ok(()),
            (0, Some(size)) => Err(size),
            (1, None) if first.len() == 1 => Err(first.remove(0)),
            (count, size) => Err(Error::Images { count, first, size: size.map(Box::new) }),
        }
    }
}
