//! The unfinished file beside its place: grown, cut back, or given its name. One process at a time may hold it.

use crate::error::{Error, Result};
use gaat_files::digest_of_file;
use std::fs::TryLockError;
use std::io::Write;
use std::path::{Path, PathBuf};

/// `NAME.part`, open and locked.
pub(crate) struct Part {
    file: fs_err::File,
    path: PathBuf,
    length: u64,
}

impl Part {
    /// Opens what an earlier download left, or begins.
    pub(crate) fn open(directory: &Path, name: &str) -> Result<Self> {
        fs_err::create_dir_all(directory)?;
        let path = directory.join(format!("{name}.part"));
        let file = gaat_files::append(&path)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path }),
            Err(TryLockError::Error(error)) => return Err(Error::Io(error)),
        }
        // Whoever held it may have given it its name meanwhile.
        if !gaat_files::is_at(file.file(), &path) {
            return Err(Error::Busy { path });
        }
        let length = file.metadata()?.len();
        Ok(Self { file, path, length })
    }

    /// Bytes on disk.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what has arrived after the first `length` bytes.
    pub(crate) fn cut(&mut self, length: u64) -> Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    /// SHA-256 of what is on disk.
    pub(crate) fn digest(&self) -> Result<String> {
        Ok(digest_of_file(&self.path)?)
    }

    /// Gives the file its name.
    pub(crate) fn finish(self, path: &Path) -> Result<()> {
        self.file.sync_all()?;
        Ok(fs_err::rename(&self.path, path)?)
    }

    /// Leaves nothing behind where nothing has arrived.
    pub(crate) fn give_up(self) -> Result<u64> {
        if self.length == 0 {
            fs_err::remove_file(&self.path)?;
        }
        Ok(self.length)
    }
}

/// Removes what an earlier download of `name` has left, where the whole file is there by now and no process is downloading it.
pub(crate) fn forget(directory: &Path, name: &str) {
    let path = directory.join(format!("{name}.part"));
    let is_idle = gaat_files::open(&path).is_ok_and(|file| file.file().try_lock().is_ok());
    if is_idle {
        // What cannot be removed takes room and does no harm.
        let _ = fs_err::remove_file(&path);
    }
}
