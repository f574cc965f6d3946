//! The IDX format of unsigned bytes, rank 1 (labels) and rank 3 (images).
//!
//! Format: <http://yann.lecun.com/exdb/mnist/>, "The IDX file format": two zero bytes, the type (8 = unsigned byte), the
//! rank, each dimension as a big-endian u32, then the data, row-major. Nothing but that: no other type, no other rank.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::gzip::{expect_end, read_exactly};

/// The longest that a packed file may become: half as much again as the largest published set of this format, EMNIST.
pub(crate) const LONGEST: u64 = 1 << 30;
/// The same of labels, a byte each: as many as there are images of 16 pixels in the longest file.
pub(crate) const LONGEST_LABELS: u64 = LONGEST / 16;

/// Grey images, `[count, height, width]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Images {
    pub(crate) count: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// Reads an image file to its end.
pub(crate) fn read_images(reader: &mut dyn Read, path: &Path) -> Result<Images> {
    let [count, height, width] = read_dimensions::<3>(reader, path)?;
    let bytes = count.checked_mul(height).and_then(|rows| rows.checked_mul(width));
    let Some(bytes) = bytes.filter(|&bytes| bytes > 0) else {
        let found = format!("{count} images of {height} x {width}");
        return Err(Error::malformed(path, "at least one image of at least one pixel", found));
    };
    let what = format!("pixels ({count} images of {height} x {width})");
    let pixels = read_exactly(reader, bytes, path, &what)?;
    expect_end(reader, path)?;
    Ok(Images { count, height, width, pixels })
}

/// Reads a label file to its end; labels must be below `classes`.
pub(crate) fn read_labels(reader: &mut dyn Read, path: &Path, classes: u16) -> Result<Vec<u16>> {
    let [count] = read_dimensions::<1>(reader, path)?;
    let labels = read_exactly(reader, count, path, "labels")?;
    expect_end(reader, path)?;
    if let Some((index, label)) = labels.iter().enumerate().find(|&(_, &label)| u16::from(label) >= classes) {
        let expected = format!("labels from 0 to {}", classes - 1);
        return Err(Error::malformed(path, expected, format!("label {label} at index {index}")));
    }
    Ok(labels.into_iter().map(u16::from).collect())
}

fn read_dimensions<const RANK: usize>(reader: &mut dyn Read, path: &Path) -> Result<[usize; RANK]> {
    let magic = read_exactly(reader, 4, path, "an IDX header")?;
    let expected = [0, 0, 8, RANK as u8];
    if magic != expected {
        let found = format!("{magic:02x?}; this is another kind of file");
        return Err(Error::malformed(path, format!("the IDX magic number {expected:02x?}"), found));
    }
    let bytes = read_exactly(reader, 4 * RANK, path, "an IDX header")?;
    let mut dimensions = [0; RANK];
    for (dimension, bytes) in dimensions.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *dimension = u32::from_be_bytes(*bytes) as usize;
    }
    Ok(dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn images(bytes: &[u8]) -> Result<Images> {
        read_images(&mut &*bytes, Path::new("images"))
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..64), rank in 0_u8..4) {
            let bytes = [&[0, 0, 8, rank], tail.as_slice()].concat();
            let _ = images(&bytes);
            let _ = images(&tail);
            let _ = read_labels(&mut bytes.as_slice(), Path::new("labels"), 10);
        }

        #[test]
        fn small_dimensions_are_read_or_named(dimensions in [0_u8..3, 0..3, 0..3], length in 0_usize..12) {
            let [count, height, width] = dimensions;
            let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, height, 0, 0, 0, width];
            bytes.extend(std::iter::repeat_n(7, length));
            let exact = dimensions.map(usize::from).iter().product::<usize>();
            prop_assert_eq!(images(&bytes).is_ok(), exact == length && exact > 0);
        }
    }

    #[test]
    fn a_huge_header_costs_no_memory() {
        let bytes = [0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 255, 255, 0, 0, 0, 255, 1, 2];
        let message = images(&bytes).unwrap_err().to_string();
        assert!(message.contains("only 2 bytes"), "{message}");
        let bytes = [&[0, 0, 8, 3][..], &[255; 12]].concat();
        assert!(images(&bytes).is_err());
    }
}
