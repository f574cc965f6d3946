//! Decoding the files of an image folder, on all cores, straight into one buffer.

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use image::{DynamicImage, ImageFormat, ImageReader};
use rayon::prelude::*;

use super::cache::Entry;
use super::failures::Failures;
use super::jpeg;
use super::scan::{ImageFile, Scan};
use crate::error::{Error, Result};
use crate::image_set::ImageShape;
use crate::resize::resize_planes;

/// Decodes every file of a scan.
pub(crate) fn decode(scan: &Scan, resize: Option<(usize, usize)>) -> Result<Entry> {
    let Some(first) = scan.files().next() else {
        return Err(Error::malformed(&scan.root, "at least one image", "none"));
    };
    // An image is decoded in full before anything is reserved on its word: the first that can be. Where none can, all are
    // failures below, whatever the size.
    let readable = scan.files().find_map(|file| Some((file, decode_file(&file.path).ok()?.shape)));
    let (first, own) = readable.map_or((first, (1, 1)), |(file, shape)| (file, (shape.height, shape.width)));
    let (height, width) = resize.unwrap_or(own);
    let resizes = resize.is_some();
    let job = Job { scan, first: &first.path, height, width, resizes, colour: AtomicBool::new(false) };
    let (mut train, failures) = job.decode_all(&scan.train)?;
    let (mut test, further) = job.decode_all(&scan.test)?;
    failures.followed_by(further).check()?;
    let channels = if job.colour.into_inner() { CHANNELS } else { 1 };
    if channels == 1 {
        drop_copies(&mut train, height * width);
        drop_copies(&mut test, height * width);
    }
    Ok(Entry { shape: ImageShape { channels, height, width }, train, test })
}

/// Planes while decoding; grey images are repeated in all three until it is known that there is no colour at all.
const CHANNELS: usize = 3;

struct Job<'a> {
    scan: &'a Scan,
    first: &'a Path,
    height: usize,
    width: usize,
    resizes: bool,
    colour: AtomicBool,
}

impl Job<'_> {
    /// The pixels of `files`, and what could not be decoded of them.
    fn decode_all(&self, files: &[ImageFile]) -> Result<(Vec<u8>, Failures)> {
        let shape = ImageShape { channels: CHANNELS, height: self.height, width: self.width };
        let mut pixels = Vec::new();
        let total = shape.bytes().checked_mul(files.len());
        let reserved = total.is_some_and(|total| pixels.try_reserve_exact(total).is_ok());
        let Some(total) = total.filter(|_| reserved) else {
            return Err(Error::TooLarge {
                path: self.scan.root.clone(),
                images: files.len(),
                channels: CHANNELS,
                height: self.height,
                width: self.width,
            });
        };
        pixels.resize(total, 0);
        // In the order of the files, so that the message does not depend on timing.
        let failures = pixels
            .par_chunks_exact_mut(shape.bytes())
            .zip(files)
            .filter_map(|(target, file)| self.decode_into(target, &file.path).err())
            .fold(Failures::default, |before, error| before.followed_by(error.into()))
            .reduce(Failures::default, Failures::followed_by);
        Ok((pixels, failures))
    }

    fn decode_into(&self, target: &mut [u8], path: &Path) -> Result<()> {
        let Decoded { shape, planes } = decode_file(path)?;
        self.check_size(path, shape)?;
        let planes = resize_planes(&planes, shape, (self.height, self.width));
        if shape.channels == CHANNELS {
            self.colour.store(true, Ordering::Relaxed);
            target.copy_from_slice(&planes);
        } else {
            for plane in target.chunks_exact_mut(planes.len()) {
                plane.copy_from_slice(&planes);
            }
        }
        Ok(())
    }

    /// Without resizing, the first image sets the size.
    fn check_size(&self, path: &Path, shape: ImageShape) -> Result<()> {
        let (expected, found) = ((self.height, self.width), (shape.height, shape.width));
        if self.resizes || found == expected {
            return Ok(());
        }
        let reference = self.first.to_path_buf();
        Err(Error::ImageSize { path: path.to_path_buf(), expected, reference, found })
    }
}

/// Keeps the first of the three equal planes of each image.
fn drop_copies(pixels: &mut Vec<u8>, plane: usize) {
    let images = pixels.len() / (CHANNELS * plane);
    for image in 1..images {
        let start = image * CHANNELS * plane;
        pixels.copy_within(start..start + plane, image * plane);
    }
    pixels.truncate(images * plane);
    pixels.shrink_to_fit();
}

/// One image as planes `[C, H, W]`.
struct Decoded {
    shape: ImageShape,
    planes: Vec<u8>,
}

/// The format is told by content, since many a `.jpg` is a PNG.
fn decode_file(path: &Path) -> Result<Decoded> {
    let failed = |reason: String| Error::Image { path: path.to_path_buf(), reason };
    let bytes = fs_err::read(path)?;
    let format = image::guess_format(&bytes).map_err(|error| failed(error.to_string()))?;
    if format == ImageFormat::Jpeg && !jpeg::is_whole(&bytes) {
        return Err(failed("the JPEG data is cut short".to_owned()));
    }
    let image = ImageReader::with_format(Cursor::new(&bytes), format)
        .decode()
        .map_err(|error| failed(error.to_string()))?;
    let (height, width) = (image.height() as usize, image.width() as usize);
    if height == 0 || width == 0 {
        return Err(failed("it has no pixels".to_owned()));
    }
    Ok(planar(image, height, width))
}

fn planar(image: DynamicImage, height: usize, width: usize) -> Decoded {
    if !image.color().has_color() {
        let shape = ImageShape { channels: 1, height, width };
        return Decoded { shape, planes: image.into_luma8().into_raw() };
    }
    let interleaved = image.into_rgb8().into_raw();
    let mut planes = Vec::with_capacity(interleaved.len());
    for channel in 0..CHANNELS {
        planes.extend(interleaved.iter().skip(channel).step_by(CHANNELS));
    }
    Decoded { shape: ImageShape { channels: CHANNELS, height, width }, planes }
}
