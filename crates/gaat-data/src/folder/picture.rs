//! One image file, decoded: formats, and bounds on what a file of kilobytes may take.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::jpeg;
use super::scan::{ImageFile, Place};
use crate::error::{Error, Result};
use crate::image_set::ImageShape;
use crate::room;
use gaat_spec::visible_path;

/// Planes while decoding; grey images are repeated in all three until it is known that there is no colour at all.
pub(super) const CHANNELS: usize = 3;

/// No photograph of use for training is larger, in bytes of its file, pixels, or pixels along a side.
const LONGEST_FILE: u64 = 256 << 20;
const MOST_PIXELS: u64 = 8192 * 8192;
const LARGEST_SIDE: u32 = 16_384;

/// Images that take more than this are decoded one at a time, however many cores there are.
const LARGE: u64 = 64 << 20;
static LARGE_ONES: Mutex<()> = Mutex::new(());

/// One image, pixels `[H, W, C]`.
pub(super) struct Decoded {
    pub(super) shape: ImageShape,
    pub(super) pixels: Vec<u8>,
}

/// The content decides the format, not the file name: many files named `.jpg` are PNG files.
///
/// # Errors
/// When it is no whole image, or so large that it cannot be meant or held.
pub(super) fn decode_file(file: &ImageFile) -> Result<Decoded> {
    let path = file.path();
    let failed = |reason: String| Error::Image { path: path.clone(), reason };
    let bytes = file.read(LONGEST_FILE, "any image file that is read here")?;
    let format = image::guess_format(&bytes).map_err(|error| failed(error.to_string()))?;
    if format == ImageFormat::Jpeg {
        jpeg::check(&bytes).map_err(failed)?;
    }
    let decoder = ImageReader::with_format(Cursor::new(&bytes), format).into_decoder();
    let decoder = decoder.map_err(|error| failed(error.to_string()))?;
    let (width, height) = decoder.dimensions();
    if height == 0 || width == 0 {
        return Err(failed("it has no pixels".to_owned()));
    }
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > LARGEST_SIDE || pixels > MOST_PIXELS {
        return Err(failed(format!(
            "{height} x {width} pixels (height x width); at most {LARGEST_SIDE} along a side and {MOST_PIXELS} in all are read"
        )));
    }
    // The decoder's buffer and its coefficients, and the pixels.
    let what = || format!("{}: an image of {height} x {width} pixels", visible_path(&path));
    let _alone = one_at_a_time(what, decoder.total_bytes().saturating_mul(4))?;
    let image = DynamicImage::from_decoder(decoder).map_err(|error| failed(error.to_string()))?;
    Ok(of_bytes(image, height as usize, width as usize))
}

/// Whether the header of the image says that the image is stored in colour; false if the image cannot be read.
pub(super) fn has_colour(file: &ImageFile) -> bool {
    fn header(source: impl BufRead + Seek) -> Option<bool> {
        let reader = ImageReader::new(source).with_guessed_format().ok()?;
        Some(reader.into_decoder().ok()?.color_type().has_color())
    }
    let colour = match &file.place {
        Place::File(path) => gaat_files::open(path).ok().and_then(|file| header(BufReader::new(file))),
        Place::Member { .. } => file.read(LONGEST_FILE, "").ok().and_then(|bytes| header(Cursor::new(bytes))),
    };
    colour.unwrap_or(false)
}

/// Waits until no other large image is in hand, where resizing this one from `shape` is a large matter itself.
///
/// # Errors
/// When it does not fit into memory.
pub(super) fn alone(
    file: &ImageFile,
    shape: ImageShape,
    (height, width): (usize, usize),
) -> Result<Option<MutexGuard<'static, ()>>> {
    if (shape.height, shape.width) == (height, width) {
        return Ok(None);
    }
    // The filter goes along the rows first, and the image of its width waits for the way down the columns.
    let needed = (shape.channels * width) as u64 * (shape.height + height) as u64;
    let what =
        || format!("{}: an image of {shape} in the size {height} x {width}", visible_path(&file.path()));
    one_at_a_time(what, needed)
}

fn one_at_a_time(what: impl FnOnce() -> String, needed: u64) -> Result<Option<MutexGuard<'static, ()>>> {
    if needed <= LARGE {
        return Ok(None);
    }
    let guard = LARGE_ONES.lock().unwrap_or_else(PoisonError::into_inner);
    room::insist(what, needed)?;
    Ok(Some(guard))
}

fn of_bytes(image: DynamicImage, height: usize, width: usize) -> Decoded {
    let (channels, pixels) = if image.color().has_color() {
        (CHANNELS, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    Decoded { shape: ImageShape { channels, height, width }, pixels }
}
