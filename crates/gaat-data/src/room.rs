//! How much memory and disk there is for what a file or an option asks for, before it is taken.

use std::path::Path;

use crate::error::{Error, Result};
use gaat_files::free_memory;

/// Bytes that are free on the disk of `folder`, or of the nearest folder above that is there.
pub(crate) fn disk(folder: &Path) -> Option<u64> {
    let here = |folder: &Path| folder.as_os_str().is_empty();
    let there = folder.ancestors().find(|folder| here(folder) || folder.is_dir())?;
    free(if here(there) { Path::new(".") } else { there })
}

/// Insists that `needed` bytes of memory are free for `what`.
pub(crate) fn insist(what: impl FnOnce() -> String, needed: u64) -> Result<()> {
    match free_memory() {
        Some(available) if needed > available => Err(Error::TooLarge { what: what(), needed, available }),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn more_memory_than_there_is_is_refused() {
        assert!(disk(Path::new("absent/folder")).unwrap() > 0);
        let what = || "a test".to_owned();
        assert!(insist(what, 1).is_ok());
        let message = insist(what, u64::MAX).unwrap_err().to_string();
        assert!(
            message.starts_with("a test: needs 18.4 EB of memory, and ") && message.contains(" free"),
            "{message}"
        );
    }
}
