//! Arrays for numpy: `.npz`, an uncompressed zip archive of `.npy` files.
//!
//! Formats: PKWARE APPNOTE.TXT 6.3; numpy's `lib/format.py`, version 1.0.

use crate::error::{Error, Result};
use crate::whole::write_whole;
use std::path::Path;

/// What the time of a member says: the first of January 1980, so that equal arrays give equal files.
const DATE: u16 = 1 << 5 | 1;

/// A type of numbers, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Whole numbers of 64 bits.
    I64,
    /// Whole numbers from 0 to 255.
    U8,
}

impl Dtype {
    /// As numpy writes it.
    fn descriptor(self) -> &'static str {
        match self {
            Self::F32 => "<f4",
            Self::F64 => "<f8",
            Self::I64 => "<i8",
            Self::U8 => "|u1",
        }
    }
}

/// An array with its name.
#[derive(Debug, Clone)]
pub struct Array<'a> {
    /// What `numpy.load` finds it under.
    pub name: &'a str,
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its sizes; none for a single number.
    pub shape: Vec<i64>,
    /// Its numbers, little-endian, the last index running fastest.
    pub bytes: Vec<u8>,
}

/// Writes `arrays` by name, atomically; `numpy.load` reads them.
///
/// # Errors
/// When they are over 4 GiB together, or the file cannot be written.
pub fn write(path: &Path, arrays: &[Array<'_>]) -> Result<()> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for array in arrays {
        let content = npy(array);
        let name = format!("{}.npy", array.name);
        let place = u32::try_from(file.len()).ok().zip(u32::try_from(content.len()).ok());
        let (offset, size) =
            place.ok_or_else(|| Error::file(path, "more than 4 GiB do not fit; take fewer images"))?;
        let shared = shared_header(crc32fast::hash(&content), size, name.len() as u16);
        file.extend(b"PK\x03\x04");
        file.extend(&shared);
        file.extend(name.as_bytes());
        file.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(shared);
        // Comment, disk, attributes: none.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = u32::try_from(file.len()).map_err(|_| Error::file(path, "more than 4 GiB do not fit"))?;
    let (count, length) = ((arrays.len() as u16).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend([length, start.to_le_bytes()].concat());
    file.extend([0, 0]);
    write_whole(path, &file).map_err(|error| Error::unwritten(path, &error))
}

/// What the headers before a member and in the directory share: from the version needed to the empty extra field.
fn shared_header(crc: u32, size: u32, name_length: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [20, 0, 0, 0, DATE] {
        bytes.extend(word.to_le_bytes());
    }
    for word in [crc, size, size] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(name_length.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn npy(array: &Array<'_>) -> Vec<u8> {
    let descriptor = array.dtype.descriptor();
    let sizes: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    // A tuple of one needs its comma.
    let sizes = sizes.join(", ") + if sizes.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Magic number, version and length take 10 bytes; the whole is a multiple of 64 and ends with a line break.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let head = [b"\x93NUMPY\x01\x00", &(length as u16).to_le_bytes()[..], header.as_bytes()];
    [&head.concat(), array.bytes.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::NpyFile;
    use zip::ZipArchive;

    #[test]
    fn arrays_come_back_through_another_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let image = [0.5, -1.0, 2.0, 3.25, 4.0, 5.0];
        let arrays = [
            Array { name: "images", dtype: Dtype::F32, shape: vec![2, 3], bytes: bytes(&image) },
            Array { name: "label", dtype: Dtype::I64, shape: vec![1], bytes: (-7i64).to_le_bytes().to_vec() },
            Array { name: "one", dtype: Dtype::F64, shape: vec![], bytes: 0.1f64.to_le_bytes().to_vec() },
        ];
        write(&path, &arrays).unwrap();
        let first = fs_err::read(&path).unwrap();
        write(&path, &arrays).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), first, "equal arrays are equal files");
        let mut archive = ZipArchive::new(std::io::Cursor::new(first)).unwrap();
        let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
        assert_eq!(names, ["images.npy", "label.npy", "one.npy"]);
        let images = NpyFile::new(archive.by_name("images.npy").unwrap()).unwrap();
        assert_eq!((images.shape(), images.order()), (&[2, 3][..], npyz::Order::C));
        assert_eq!(images.into_vec::<f32>().unwrap(), image);
        let labels = NpyFile::new(archive.by_name("label.npy").unwrap()).unwrap();
        assert_eq!(labels.shape(), [1]);
        assert_eq!(labels.into_vec::<i64>().unwrap(), [-7]);
        let one = NpyFile::new(archive.by_name("one.npy").unwrap()).unwrap();
        assert_eq!(one.shape(), [0; 0]);
        assert_eq!(one.into_vec::<f64>().unwrap(), [0.1]);
    }
}
