//! Files that are whole or absent, with errors that say so.

use crate::error::Result;
use std::path::Path;

/// Replaces the file at `path` by `bytes`; a crash leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(gaat_files::write_whole(path, bytes).map_err(|error| gaat_files::Error::unwritten(path, &error))?)
}
