//! Decoding the files of an image folder, on all cores: all of them into one buffer, or some at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::cache::Entry;
use super::failures::Failures;
use super::picture::{self, CHANNELS, Decoded, decode_file};
use super::scan::{ImageFile, Scan};
use crate::error::{Error, Result};
use crate::image_set::ImageShape;
use crate::resize::resize_pixels;
use crate::room;
use gaat_spec::visible_path;

/// Decodes every file of a scan into memory.
pub(crate) fn decode(scan: &Scan, resize: Option<(usize, usize)>) -> Result<Entry> {
    let job = Job::of(scan, resize)?;
    let images = scan.train.len() + scan.test.len();
    let what = || format!("{}: {images} images of {}", visible_path(&scan.root), job.planes());
    room::insist(what, (images as u64).saturating_mul(job.planes().bytes() as u64))?;
    let (mut train, failures) = job.decode_all(&scan.train)?;
    let (mut test, further) = job.decode_all(&scan.test)?;
    failures.followed_by(further).check()?;
    let (height, width) = (job.height, job.width);
    let channels = if job.colour.into_inner() { CHANNELS } else { 1 };
    if channels == 1 {
        drop_copies(&mut train, height * width);
        drop_copies(&mut test, height * width);
    }
    Ok(Entry { shape: ImageShape { channels, height, width }, train, test })
}

/// How the files of one folder become pixels.
#[derive(Debug)]
pub(super) struct Job {
    root: PathBuf,
    /// What sets the size where nothing is resized.
    first: PathBuf,
    height: usize,
    width: usize,
    resizes: bool,
    colour: AtomicBool,
}

impl Job {
    /// For the files of `scan`: without a size to bring them to, the first that can be decoded sets that of all.
    pub(super) fn of(scan: &Scan, resize: Option<(usize, usize)>) -> Result<Self> {
        let Some(first) = scan.files().next() else {
            return Err(Error::malformed(&scan.root, "at least one image", "none"));
        };
        // An image is decoded in full before anything is reserved on its word: the first that can be. Where none can, all are
        // failures later, whatever the size.
        let readable = scan.files().find_map(|file| Some((file, decode_file(file).ok()?.shape)));
        let (first, own) =
            readable.map_or((first, (1, 1)), |(file, shape)| (file, (shape.height, shape.width)));
        let (height, width) = resize.unwrap_or(own);
        let (root, first, resizes) = (scan.root.clone(), first.path(), resize.is_some());
        Ok(Self { root, first, height, width, resizes, colour: AtomicBool::new(false) })
    }

    /// The shape of an image while it is decoded.
    pub(super) fn planes(&self) -> ImageShape {
        ImageShape { channels: CHANNELS, height: self.height, width: self.width }
    }

    /// The shape of all images of `scan`, from the headers of the files: if one image is in colour, all are read in colour.
    pub(super) fn shape(&self, scan: &Scan) -> ImageShape {
        let is_coloured = scan.files().any(picture::has_colour);
        ImageShape { channels: if is_coloured { CHANNELS } else { 1 }, ..self.planes() }
    }

    /// The pixels of `files`, and what could not be decoded of them.
    fn decode_all(&self, files: &[ImageFile]) -> Result<(Vec<u8>, Failures)> {
        let shape = self.planes();
        let mut pixels = Vec::new();
        let total = shape.bytes().saturating_mul(files.len());
        if pixels.try_reserve_exact(total).is_err() {
            let what = format!("{}: {} images of {shape}", visible_path(&self.root), files.len());
            let (needed, available) = (total as u64, gaat_files::free_memory().unwrap_or_default());
            return Err(Error::TooLarge { what, needed, available });
        }
        pixels.resize(total, 0);
        let failures = self.decode_some(files.iter().collect(), &mut pixels);
        Ok((pixels, failures))
    }

    /// Writes the pixels of `files` into `pixels`, one image after the other, on all cores; what could not be decoded of them.
    fn decode_some(&self, files: Vec<&ImageFile>, pixels: &mut [u8]) -> Failures {
        // In the order of the files, so that the message does not depend on timing.
        pixels
            .par_chunks_exact_mut(self.planes().bytes())
            .zip(files)
            .filter_map(|(target, file)| self.decode_into(target, file).err())
            .fold(Failures::default, |before, error| before.followed_by(error.into()))
            .reduce(Failures::default, Failures::followed_by)
    }

    /// The same, with as many `channels` as all images of the folder have.
    pub(super) fn decode_chunk(&self, files: Vec<&ImageFile>, channels: usize) -> (Vec<u8>, Failures) {
        let mut pixels = vec![0; files.len() * self.planes().bytes()];
        let failures = self.decode_some(files, &mut pixels);
        if channels == 1 {
            drop_copies(&mut pixels, self.height * self.width);
        }
        (pixels, failures)
    }

    fn decode_into(&self, target: &mut [u8], file: &ImageFile) -> Result<()> {
        let Decoded { shape, pixels } = decode_file(file)?;
        self.check_size(file, shape)?;
        let _alone = picture::alone(file, shape, (self.height, self.width))?;
        let pixels = resize_pixels(&pixels, shape, (self.height, self.width))
            .map_err(|reason| Error::Image { path: file.path(), reason })?;
        if shape.channels == CHANNELS {
            self.colour.store(true, Ordering::Relaxed);
            into_planes(target, &pixels);
        } else {
            for plane in target.chunks_exact_mut(pixels.len()) {
                plane.copy_from_slice(&pixels);
            }
        }
        Ok(())
    }

    /// Without resizing, the first image sets the size.
    fn check_size(&self, file: &ImageFile, shape: ImageShape) -> Result<()> {
        let (expected, found) = ((self.height, self.width), (shape.height, shape.width));
        if self.resizes || found == expected {
            return Ok(());
        }
        let reference = self.first.clone();
        Err(Error::ImageSize { path: file.path(), expected, reference, found })
    }
}

/// Pixels `[H, W, 3]` as planes `[3, H, W]`.
fn into_planes(planes: &mut [u8], pixels: &[u8]) {
    let (red, others) = planes.split_at_mut(planes.len() / CHANNELS);
    let (green, blue) = others.split_at_mut(red.len());
    for (((pixel, red), green), blue) in pixels.chunks_exact(CHANNELS).zip(red).zip(green).zip(blue) {
        [*red, *green, *blue] = [pixel[0], pixel[1], pixel[2]];
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
