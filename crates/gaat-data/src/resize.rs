//! Resizing by bilinear interpolation (a triangle filter as wide as the step, so that shrinking does not alias).
//!
//! Source of the filter: the `image` crate. Values are taken as they are, not linearised first, as is usual for training.

use std::borrow::Cow;

use image::imageops::{FilterType, resize};
use image::{GrayImage, ImageBuffer, Luma};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::image_set::{ImageSet, ImageShape};
use crate::room;

/// No image for these networks is larger; keeps a slip of the pen from asking for terabytes.
const LARGEST_SIDE: usize = 8192;

/// Insists on a size (height, width) that can be meant.
pub(crate) fn check_size(size: Option<(usize, usize)>) -> Result<()> {
    match size {
        Some((height, width))
            if !(1..=LARGEST_SIDE).contains(&height) || !(1..=LARGEST_SIDE).contains(&width) =>
        {
            Err(Error::Option {
                option: "resize",
                expected: "a height and a width from 1 to 8192",
                found: format!("{height} x {width}"),
            })
        }
        _ => Ok(()),
    }
}

/// Planes `[C, H, W]` of one image in another size, `[C, height, width]`.
pub(crate) fn resize_planes(
    planes: &[u8],
    from: ImageShape,
    (height, width): (usize, usize),
) -> Cow<'_, [u8]> {
    if (from.height, from.width) == (height, width) {
        return Cow::Borrowed(planes);
    }
    let mut resized = Vec::with_capacity(from.channels * height * width);
    for plane in planes.chunks_exact(from.height * from.width) {
        let view: Option<ImageBuffer<Luma<u8>, &[u8]>> =
            ImageBuffer::from_raw(from.width as u32, from.height as u32, plane);
        let scaled: GrayImage = view
            .map(|view| resize(&view, width as u32, height as u32, FilterType::Triangle))
            .unwrap_or_default();
        resized.extend_from_slice(scaled.as_raw());
    }
    Cow::Owned(resized)
}

/// The set with every image in another size; `None` leaves it alone.
///
/// # Errors
/// When the images in that size do not fit into memory.
pub(crate) fn resize_set(set: ImageSet, size: Option<(usize, usize)>) -> Result<ImageSet> {
    let from = set.shape();
    let Some((height, width)) = size.filter(|&size| size != (from.height, from.width)) else {
        return Ok(set);
    };
    let to = ImageShape { height, width, ..from };
    let needed = set.len().saturating_mul(to.bytes());
    room::insist(|| format!("{}: {} images of {to}", set.name(), set.len()), needed as u64)?;
    let mut pixels = vec![0; needed];
    pixels
        .par_chunks_exact_mut(to.bytes())
        .zip(set.pixels().par_chunks_exact(from.bytes()))
        .for_each(|(resized, planes)| resized.copy_from_slice(&resize_planes(planes, from, (height, width))));
    Ok(set.with_pixels(pixels, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_rows_and_planes_stay_planes() {
        let from = ImageShape { channels: 2, height: 1, width: 2 };
        let set =
            ImageSet::new(vec![0, 200, 50, 50], from, vec![0], vec!["a".to_owned()], String::new()).unwrap();
        let set = resize_set(set, Some((2, 4))).unwrap();
        assert_eq!(set.shape(), ImageShape { channels: 2, height: 2, width: 4 });
        assert_eq!(set.pixels(), [0, 50, 150, 200, 0, 50, 150, 200, 50, 50, 50, 50, 50, 50, 50, 50]);
    }

    #[test]
    fn a_size_of_nothing_is_refused() {
        for (size, is_refused) in [
            (Some((0, 4)), true),
            (Some((4, 1 << 20)), true),
            (Some((1, 1)), false),
            (Some((32, 32)), false),
            (None, false),
        ] {
            assert_eq!(check_size(size).is_err(), is_refused, "{size:?}");
        }
    }
}
