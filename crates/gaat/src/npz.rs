//! Arrays for numpy: `.npz`, an uncompressed zip archive of `.npy` files.
//!
//! Formats: PKWARE APPNOTE.TXT 6.3; numpy's `lib/format.py`, version 1.0.

use crate::files::write_atomically;
use crate::{Error, Result};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What the time of a member says: the first of January 1980, so that equal arrays give equal files.
const DATE: u16 = 1 << 5 | 1;

/// Writes `arrays` (f32, f64, i64 or u8) by name, atomically; `numpy.load` reads them.
///
/// # Errors
/// When an array is of another type or over 4 GiB, or the file cannot be written.
pub fn write(path: &Path, arrays: &[(&str, &Tensor)]) -> Result<()> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        let content = npy(array).map_err(|error| failed(format!("`{name}`: {error}")))?;
        let name = format!("{name}.npy");
        let place = u32::try_from(file.len()).ok().zip(u32::try_from(content.len()).ok());
        let (offset, size) =
            place.ok_or_else(|| failed("more than 4 GiB do not fit; take fewer images".to_owned()))?;
        let shared = shared_header(crc32(&content), size, name.len() as u16);
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
    let start = u32::try_from(file.len()).map_err(|_| failed("more than 4 GiB do not fit".to_owned()))?;
    let (count, length) = ((arrays.len() as u16).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend([length, start.to_le_bytes()].concat());
    file.extend([0, 0]);
    write_atomically(path, &file)
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

fn npy(array: &Tensor) -> Result<Vec<u8>> {
    let array = array.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let (descriptor, width) = match array.kind() {
        Kind::Float => ("<f4", 4),
        Kind::Double => ("<f8", 8),
        Kind::Int64 => ("<i8", 8),
        Kind::Uint8 => ("|u1", 1),
        kind => return Err(Error::Usage(format!("arrays of {kind:?} are not written"))),
    };
    let sizes: Vec<String> = array.size().iter().map(ToString::to_string).collect();
    // A tuple of one needs its comma.
    let sizes = sizes.join(", ") + if sizes.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Magic number, version and length take 10 bytes; the whole is a multiple of 64 and ends with a line break.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    let start = bytes.len();
    bytes.resize(start + array.numel() * width, 0);
    array.f_copy_data_u8(&mut bytes[start..], array.numel())?;
    Ok(bytes)
}

/// CRC-32 of zip (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    let table: Vec<u32> = (0..256).map(|byte| (0..8).fold(byte, |crc, _| step(crc))).collect();
    !bytes.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ table[(crc as u8 ^ byte) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn arrays_come_back_through_another_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let images = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([2, 1, 3, 2]).transpose(2, 3);
        let labels = Tensor::from_slice(&[3i64, -1]);
        write(&path, &[("images", &images), ("labels", &labels)]).unwrap();
        let read = Tensor::read_npz(&path).unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["images", "labels"]);
        assert_eq!((&read[0].1, &read[1].1), (&images, &labels));
        let bytes = Tensor::from_slice(&[7u8, 255, 0]);
        write(&path, &[("bytes", &bytes)]).unwrap();
        assert_eq!(Tensor::read_npz(&path).unwrap()[0].1, bytes);
        let error = write(&path, &[("flags", &labels.to_kind(Kind::Bool))]).unwrap_err().to_string();
        assert!(error.contains("`flags`") && error.contains("Bool"), "{error}");
    }
}
