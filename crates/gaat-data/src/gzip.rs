//! Files that may be compressed with gzip, and reads that distrust lengths.
//!
//! Compression is told by content, not by name: browsers and mirrors unpack files without renaming them.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::room;
use gaat_files::in_words;
use gaat_spec::visible_path;

/// No more than this is reserved on the word of a header; longer data grows as it arrives.
const LARGEST_RESERVATION: usize = 64 << 20;

/// What every gzip file begins with (RFC 1952, section 2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file and unpacks it on the way if it starts as gzip does; a packed one gives at most `most` bytes.
pub(crate) fn open(path: &Path, most: u64) -> Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(256 << 10, gaat_files::open(path)?);
    let packed = file.fill_buf()?.starts_with(&MAGIC);
    if packed {
        Ok(Box::new(AtMost { inner: MultiGzDecoder::new(file), most, left: most }))
    } else {
        Ok(Box::new(file))
    }
}

/// SHA-256 of what a file holds, unpacked where it is packed by gzip, which may give at most `most` bytes.
pub(crate) fn digest(path: &Path, most: u64) -> Result<String> {
    let damaged = |error| Error::reading(path, "an undamaged file", error);
    gaat_files::digest_of_reader(open(path, most)?.as_mut()).map_err(damaged)
}

/// A thousand bytes unpack to a million: what is no data set is not unpacked to its end.
struct AtMost<R> {
    inner: R,
    most: u64,
    left: u64,
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let reason = format!("it unpacks to more than {}", in_words(self.most));
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        Ok(count)
    }
}

/// Whether a file starts as gzip does.
pub(crate) fn is_packed(path: &Path) -> Result<bool> {
    Ok(read_up_to(&mut gaat_files::open(path)?, MAGIC.len())? == MAGIC)
}

/// Reads at most `count` bytes; fewer only where the data ends.
pub(crate) fn read_up_to(reader: &mut dyn Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count.min(LARGEST_RESERVATION));
    reader.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads exactly `count` bytes of what `expected` describes.
pub(crate) fn read_exactly(
    reader: &mut dyn Read,
    count: usize,
    path: &Path,
    expected: &str,
) -> Result<Vec<u8>> {
    let failed = |error| Error::reading(path, expected, error);
    let mut bytes = read_up_to(reader, count.min(LARGEST_RESERVATION)).map_err(failed)?;
    if bytes.len() == LARGEST_RESERVATION {
        // So much is really there; the rest had better fit too.
        room::insist(|| format!("{}: {expected}", visible_path(path)), count as u64)?;
        reader.take((count - bytes.len()) as u64).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() < count {
        let found = format!("only {} bytes; the file is cut short", bytes.len());
        return Err(Error::malformed(path, format!("{count} bytes of {expected}"), found));
    }
    Ok(bytes)
}

/// Insists that nothing follows; for gzip this also checks the checksum at the end.
pub(crate) fn expect_end(reader: &mut dyn Read, path: &Path) -> Result<()> {
    let expected = "the end of the file";
    let rest = read_up_to(reader, 1).map_err(|error| Error::reading(path, expected, error))?;
    if rest.is_empty() { Ok(()) } else { Err(Error::malformed(path, expected, "more bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn packed_files_are_unpacked_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let (packed, plain) = (folder.path().join("packed"), folder.path().join("plain"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[0; 10_000]).unwrap();
        fs_err::write(&packed, encoder.finish().unwrap()).unwrap();
        fs_err::write(&plain, [1; 10_000]).unwrap();
        let read = |path: &Path, most| read_exactly(&mut open(path, most).unwrap(), 10_000, path, "zeros");
        assert_eq!(read(&packed, 10_000).unwrap(), [0; 10_000]);
        assert_eq!(read(&plain, 10).unwrap().len(), 10_000);
        let said = read(&packed, 9_999).unwrap_err().to_string();
        assert!(said.contains("it unpacks to more than 10.0 kB"), "{said}");
    }
}
