//! Files that may be compressed with gzip, and reads that distrust lengths.
//!
//! Compression is told by content, not by name: browsers and mirrors unpack files without renaming them.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// No more than this is reserved on the word of a header; longer data grows as it arrives.
const LARGEST_RESERVATION: usize = 64 << 20;

/// What every gzip file begins with (RFC 1952, section 2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file and unpacks it on the way if it starts as gzip does.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(256 << 10, fs_err::File::open(path)?);
    let packed = file.fill_buf()?.starts_with(&MAGIC);
    if packed { Ok(Box::new(MultiGzDecoder::new(file))) } else { Ok(Box::new(file)) }
}

/// Whether a file starts as gzip does.
pub(crate) fn is_packed(path: &Path) -> Result<bool> {
    Ok(read_up_to(&mut fs_err::File::open(path)?, MAGIC.len())? == MAGIC)
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
    let bytes = read_up_to(reader, count).map_err(|error| Error::reading(path, expected, error))?;
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
