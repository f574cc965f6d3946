//! Files that are whole or absent, with errors that say so.

use crate::{Error, Result};
use std::path::Path;

/// Replaces the file at `path` by `bytes`; a crash leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    gaat_data::write_whole(path, bytes).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: format!("could not be written ({error}); the previous version, if any, is untouched"),
    })
}
