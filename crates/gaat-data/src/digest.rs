//! SHA-256 of files, as they lie on disk and unpacked.

use std::io::{self, Read, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files;
use crate::gzip;
use crate::hexadecimal::hexadecimal;

/// SHA-256 of a file's bytes, in lower-case hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of_file(path: &Path) -> Result<String> {
    of_reader(&mut files::open(path)?, path)
}

/// SHA-256 of `bytes`, in lower-case hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of what a file holds, unpacked where it is packed by gzip, which may give at most `most` bytes.
pub(crate) fn digest_unpacked(path: &Path, most: u64) -> Result<String> {
    of_reader(gzip::open(path, most)?.as_mut(), path)
}

fn of_reader(reader: &mut dyn Read, path: &Path) -> Result<String> {
    let mut writer = DigestWriter(Sha256::new());
    let damaged = |error| Error::reading(path, "an undamaged file", error);
    io::copy(reader, &mut writer).and_then(|_| writer.flush()).map_err(damaged)?;
    Ok(hexadecimal(&writer.0.finalize()))
}

struct DigestWriter(Sha256);

impl io::Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
