//! Temporary files that do not stay behind: each is locked while its writer lives, so that the next writer in the folder
//! tells those of killed writers from those that are being written, and removes them.
//!
//! The lock is the kernel's and ends with the process, whichever way the process ends.

use gaat_spec::visible_path;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// What the names of temporary files begin with.
const PREFIX: &str = ".tmp-gaat-";
/// Attempts at a file that no sweep has taken for a dead one between its making and its locking.
const ATTEMPTS: usize = 16;
/// How long the end of the process waits for a rename that is under way.
const PATIENCE: Duration = Duration::from_millis(200);

/// The temporary files of this process, and the folders that were swept.
struct Kept {
    files: BTreeSet<PathBuf>,
    swept: BTreeSet<PathBuf>,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { files: BTreeSet::new(), swept: BTreeSet::new() });

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary file in a folder, locked, and known to [`abandon_writes`].
pub(crate) struct Temporary {
    file: Option<NamedTempFile>,
}

impl Temporary {
    /// A new file in `folder`. What killed writers have left there is removed first, once a process.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        if kept().swept.insert(folder.to_path_buf()) {
            sweep(folder);
        }
        for _ in 0..ATTEMPTS {
            let file = {
                // Registered under the lock, so that the end of the process misses none.
                let mut kept = kept();
                let file = builder().prefix(PREFIX).tempfile_in(folder)?;
                kept.files.insert(file.path().to_path_buf());
                file
            };
            let temporary = Self { file: Some(file) };
            if temporary.is_ours() {
                return Ok(temporary);
            }
        }
        Err(io::Error::other(format!(
            "{}: another process removes temporary files here",
            visible_path(folder)
        )))
    }

    /// Locks the file; whether no sweep was faster.
    fn is_ours(&self) -> bool {
        let Some(file) = &self.file else { return false };
        match file.as_file().try_lock() {
            Ok(()) => file.path().exists(),
            Err(TryLockError::WouldBlock) => false,
            // Where the file system knows no locks, no sweep can take one either.
            Err(TryLockError::Error(_)) => true,
        }
    }

    pub(crate) fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().map(NamedTempFile::as_file_mut).ok_or_else(|| io::Error::other("already renamed"))
    }

    /// Gives the file its name.
    pub(crate) fn rename(mut self, path: &Path) -> io::Result<()> {
        let mut kept = kept();
        let Some(file) = self.file.take() else { return Ok(()) };
        kept.files.remove(file.path());
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            kept().files.remove(file.path());
        }
    }
}

/// Temporary files are for their owner alone; these become files like all others.
#[cfg(unix)]
fn builder() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn builder() -> tempfile::Builder<'static, 'static> {
    tempfile::Builder::new()
}

/// Removes the temporary files in `folder` whose writers are dead; what cannot be looked at stays.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_temporary {
            remove_if_dead(&entry.path());
        }
    }
}

/// Removes a file that no process writes. The lock is held meanwhile: a writer that has just made the file finds it gone, and
/// makes another.
fn remove_if_dead(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if file.try_lock().is_ok() {
        let _ = fs_err::remove_file(path);
    }
}

/// Removes the temporary files of this process, for a process that ends in the midst of its work. Nothing gets its name any
/// more; a thread that tries waits for the end.
pub fn abandon_writes() {
    let begun = Instant::now();
    loop {
        if let Ok(kept) = KEPT.try_lock() {
            for file in &kept.files {
                let _ = fs_err::remove_file(file);
            }
            // Held for ever: a rename must not follow.
            std::mem::forget(kept);
            return;
        }
        if begun.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join(format!("{PREFIX}dead"));
        let foreign = folder.path().join(".tmp-of-somebody");
        fs_err::write(&dead, "half a file").unwrap();
        fs_err::write(&foreign, "").unwrap();
        let living = Temporary::new(folder.path()).unwrap();
        assert!(!dead.exists() && foreign.exists());
        fs_err::write(&dead, "half a file").unwrap();
        sweep(folder.path());
        assert!(!dead.exists(), "swept on request too");
        living.rename(&folder.path().join("whole")).unwrap();
        drop(Temporary::new(folder.path()).unwrap());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_process_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let _half = Temporary::new(folder.path()).unwrap();
        // The lock of what this process keeps is never given back: in a process of its own under nextest, the last act here.
        let files: Vec<PathBuf> = kept().files.iter().cloned().collect();
        assert!(files.iter().any(|file| file.starts_with(folder.path())));
    }
}
