//! SHA-256 as lower-case hexadecimal text.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::regular;

/// SHA-256 of a file's bytes, in lower-case hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of_file(path: &Path) -> io::Result<String> {
    digest_of_reader(&mut regular::open(path)?)
}

/// SHA-256 of `bytes`, in lower-case hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of all that `reader` still holds, in lower-case hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of_reader(reader: &mut dyn Read) -> io::Result<String> {
    let mut writer = DigestWriter(Sha256::new());
    io::copy(reader, &mut writer)?;
    Ok(hexadecimal(&writer.0.finalize()))
}

/// Two lower-case digits a byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FIPS 180-4.
    #[test]
    fn files_readers_and_bytes_have_the_digest_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs_err::write(&path, "abc").unwrap();
        assert_eq!(digest_of(b"abc"), expected);
        assert_eq!(digest_of_file(&path).unwrap(), expected);
        assert_eq!(digest_of_reader(&mut &b"abc"[..]).unwrap(), expected);
        assert!(digest_of_file(folder.path()).unwrap_err().to_string().contains("a directory"));
    }
}
