//! Files that are whole or absent: written beside their place, synced, then renamed.

use crate::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Replaces the file at `path` by `bytes`; a crash leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let failed = |error: std::io::Error| Error::File {
        path: path.to_owned(),
        reason: format!("could not be written ({error}); the previous version, if any, is untouched"),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself is only safe once the folder is; not every file system can sync folders.
    if let Ok(folder) = fs_err::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}
