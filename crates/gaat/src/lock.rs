//! Who works in a directory: one owner at a time, and one writer at a time of what several add to.
//!
//! The locks are the kernel's and end with the process that holds them, so that a killed one leaves none behind. Where a file
//! system knows no locks, none are taken.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file that says who owns a directory, while somebody does.
pub(crate) const FILE: &str = "gaat.lock";
/// A writer adds to a record within a moment; an owner is waited for no longer.
const MOMENT: Duration = Duration::from_secs(2);
/// How long one writer waits for others.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes that are read of what an owner says of itself.
const MOST_SAID: u64 = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// Owns a directory until it is dropped: a training or a comparison, which write all of it for hours.
#[derive(Debug)]
pub struct Owner {
    path: PathBuf,
    /// The directories that were made for this, the innermost first.
    made: Vec<PathBuf>,
    _file: File,
}

impl Owner {
    /// Takes `directory`, which is made where it is missing, for `purpose`, such as `training`.
    ///
    /// # Errors
    /// When another process has the directory; the message says which, and since when. When nothing can be written there.
    pub fn of(directory: &Path, purpose: &str) -> Result<Self> {
        let missing = directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let made = missing.map(Path::to_owned).collect();
        fs_err::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let begun = Instant::now();
        loop {
            let mut file = gaat_files::rewrite(&path)?.into_file();
            if is_locked(&file, &path)? {
                // An owner that has just ended may have removed this very file.
                if !gaat_files::is_at(&file, &path) {
                    continue;
                }
                file.set_len(0)?;
                file.write_all(format!("process {}, {purpose}\n", std::process::id()).as_bytes())?;
                return Ok(Self { path, made, _file: file });
            }
            if begun.elapsed() > MOMENT {
                let mut holder = String::new();
                let _ = file.rewind().and_then(|()| file.take(MOST_SAID).read_to_string(&mut holder));
                let holder = gaat_spec::visible(holder.trim()).to_string();
                let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
                return Err(Error::InUse { path: directory.to_owned(), holder });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Before the lock is given back, so that no other process locks a file that is about to go.
        let _ = fs_err::remove_file(&self.path);
        // Succeeds where nothing has come into the directory.
        let _ = self.made.iter().try_for_each(fs_err::remove_dir);
    }
}

/// Alone in adding to the files of a directory until it is dropped; held for moments.
#[derive(Debug)]
pub struct Writer {
    _directory: Option<File>,
}

impl Writer {
    /// Waits until no other process adds to the files of `directory`.
    ///
    /// # Errors
    /// When the directory cannot be opened, or somebody holds it for a minute.
    pub fn in_directory(directory: &Path) -> Result<Self> {
        let handle = fs_err::File::open(directory)?.into_file();
        let begun = Instant::now();
        while !is_locked(&handle, directory)? {
            if begun.elapsed() > PATIENCE {
                let holder = "a process that has been writing there for a minute".to_owned();
                return Err(Error::InUse { path: directory.to_owned(), holder });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self { _directory: Some(handle) })
    }
}

/// Tries to lock; whether the lock is ours now, or none is available on this file system.
fn is_locked(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if is_without_locks(&error) => Ok(true),
        Err(TryLockError::Error(error)) => {
            Err(Error::File { path: path.to_owned(), reason: format!("could not be locked ({error})") })
        }
    }
}

/// What file systems say that know no locks, or none on directories.
fn is_without_locks(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidInput, Unsupported};
    matches!(error.kind(), Unsupported | InvalidInput)
        || matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOLCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        drop(Owner::of(&run, "training").unwrap());
        assert!(!run.exists(), "made for nothing");
        fs_err::create_dir(&run).unwrap();
        let owner = Owner::of(&run, "training").unwrap();
        let refused = Owner::of(&run, "training").unwrap_err().to_string();
        let expected = format!("process {}, training", std::process::id());
        assert!(refused.contains(&expected) && refused.contains("run"), "{refused}");
        drop(owner);
        assert_eq!(fs_err::read_dir(&run).unwrap().count(), 0);
        // What a killed owner has left is no lock.
        fs_err::write(run.join(FILE), "process 1, training").unwrap();
        Owner::of(&run, "training").unwrap();
        let theirs = folder.path().join("theirs");
        fs_err::write(&theirs, "theirs").unwrap();
        std::os::unix::fs::symlink(&theirs, run.join(FILE)).unwrap();
        let refused = Owner::of(&run, "training").unwrap_err().to_string();
        assert!(refused.contains("gaat.lock: ") && refused.contains("a symbolic link"), "{refused}");
        assert_eq!(fs_err::read(theirs).unwrap(), b"theirs");
    }

    #[test]
    fn writers_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        fs_err::write(&count, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let _turn = Writer::in_directory(folder.path()).unwrap();
                        let read: usize = fs_err::read_to_string(&count).unwrap().parse().unwrap();
                        fs_err::write(&count, (read + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs_err::read_to_string(&count).unwrap(), "40");
    }
}
