//! Resizing by bilinear interpolation (a triangle filter as wide as the step, so that shrinking does not alias).
//!
//! Source of the filter: the `fast_image_resize` crate, in whole numbers, as Pillow and with it torchvision compute. Values are taken as they
//! are, not linearised first, as is usual for training.

use std::borrow::Cow;
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
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

/// Pixels `[H, W, C]` of one image, `C` 1 or 3, in another size, `[height, width, C]`.
///
/// # Errors
/// When there are not as many pixels as `from` says, in words.
pub(crate) fn resize_pixels(
    pixels: &[u8],
    from: ImageShape,
    (height, width): (usize, usize),
) -> std::result::Result<Cow<'_, [u8]>, String> {
    if (from.height, from.width) == (height, width) {
        return Ok(Cow::Borrowed(pixels));
    }
    let kind = if from.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let view = ImageRef::new(from.width as u32, from.height as u32, pixels, kind);
    let view = view.map_err(|error| error.to_string())?;
    let mut resized = Image::new(width as u32, height as u32, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let done = Resizer::new().resize(&view, &mut resized, &options);
    done.map_err(|error| error.to_string())?;
    Ok(Cow::Owned(resized.into_vec()))
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
    let plane = ImageShape { channels: 1, ..from };
    pixels
        .par_chunks_exact_mut(height * width)
        .zip(set.pixels().par_chunks_exact(plane.bytes()))
        .try_for_each(|(resized, pixels)| {
            resized.copy_from_slice(&resize_pixels(pixels, plane, (height, width))?);
            Ok(())
        })
        .map_err(|reason: String| {
            Error::malformed(Path::new(set.name()), format!("images of {from}"), reason)
        })?;
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

    /// Pillow 13.0.0, `Image.frombytes(..).resize((width, height), Image.BILINEAR)`, of pixels `(7 i i + 29 i) mod 256`. Its weights have
    /// more bits than 16, so that a value may be another by one.
    #[test]
    fn sizes_change_as_in_pillow() {
        let cases: [(ImageShape, (usize, usize), &[u8]); 3] = [
            (
                ImageShape { channels: 3, height: 5, width: 7 },
                (2, 3),
                &[135, 138, 102, 124, 159, 139, 123, 124, 151, 149, 111, 167, 134, 165, 134, 88, 143, 125],
            ),
            (
                ImageShape { channels: 3, height: 2, width: 3 },
                (4, 5),
                &[
                    0, 36, 86, 60, 113, 77, 150, 228, 64, 162, 112, 126, 170, 34, 168, 15, 83, 100, 62, 121,
                    103, 132, 177, 109, 162, 118, 151, 182, 78, 179, 45, 176, 128, 65, 136, 156, 95, 75, 198,
                    161, 129, 200, 206, 165, 201, 60, 222, 142, 66, 143, 182, 76, 24, 242, 161, 134, 224,
                    218, 208, 212,
                ],
            ),
            (
                ImageShape { channels: 1, height: 4, width: 9 },
                (3, 4),
                &[67, 127, 144, 141, 122, 100, 141, 189, 153, 87, 139, 134],
            ),
        ];
        for (from, size, expected) in cases {
            let pixels: Vec<u8> = (0..from.bytes()).map(|i| ((i * i * 7 + i * 29) % 256) as u8).collect();
            let resized = resize_pixels(&pixels, from, size).unwrap();
            assert_eq!(resized.len(), expected.len());
            let apart = resized.iter().zip(expected).map(|(ours, theirs)| ours.abs_diff(*theirs)).max();
            assert!(apart <= Some(1), "{from} to {size:?}: {resized:?}");
        }
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
