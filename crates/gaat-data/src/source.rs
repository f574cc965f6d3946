//! Where images come from, as the rest of the library sees it: a source hands out the pixels of any of its images.
//!
//! An [`ImageSet`] is one, in memory; so is a part of another source, and whatever a program brings.

use std::fmt;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::classes;
use crate::error::{Error, Result};
use crate::image_set::{ImageSet, ImageShape};
use gaat_files::hexadecimal;

/// Bytes of pixels that are read at once where all images are gone through.
const CHUNK: usize = 16 << 20;

/// Labelled images of one shape. Labels lie in memory; pixels are read when they are asked for, by several threads at once.
pub trait ImageSource: Send + Sync {
    /// The shape of each image.
    fn shape(&self) -> ImageShape;

    /// The class of each image, each below [`class_count`](Self::class_count).
    fn labels(&self) -> &[i64];

    /// The names of the classes, no two alike; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The name of the data set, for reports.
    fn name(&self) -> &str;

    /// Writes the pixels of the images at `indices` (each below [`len`](Self::len)) into `pixels`, one image after the other,
    /// `[C, H, W]` each. The same index gives the same bytes every time.
    ///
    /// # Errors
    /// When an image cannot be read.
    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()>;

    /// SHA-256 over shape, labels and pixels, as hexadecimal: what a run is known by to have been trained on these images.
    ///
    /// # Errors
    /// When an image cannot be read.
    fn digest(&self) -> Result<String> {
        digest_of(self)
    }

    /// Whether the pixels lie in memory, so that reading them costs next to nothing.
    fn is_resident(&self) -> bool {
        true
    }

    /// How many images there are.
    fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// How many classes there are, whether or not each has an image here.
    fn class_count(&self) -> usize {
        self.class_names().len()
    }

    /// How many images each class has.
    fn images_per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.class_count()];
        for &label in self.labels() {
            counts[label as usize] += 1;
        }
        counts
    }
}

impl fmt::Debug for dyn ImageSource + '_ {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ImageSource")
            .field("name", &self.name())
            .field("images", &self.len())
            .field("shape", &self.shape())
            .field("classes", &self.class_count())
            .finish_non_exhaustive()
    }
}

impl<S: ImageSource + ?Sized> ImageSource for Arc<S> {
    fn shape(&self) -> ImageShape {
        (**self).shape()
    }

    fn labels(&self) -> &[i64] {
        (**self).labels()
    }

    fn class_names(&self) -> &[String] {
        (**self).class_names()
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        (**self).read(indices, pixels)
    }

    fn digest(&self) -> Result<String> {
        (**self).digest()
    }

    fn is_resident(&self) -> bool {
        (**self).is_resident()
    }
}

impl ImageSource for ImageSet {
    fn shape(&self) -> ImageShape {
        self.shape()
    }

    fn labels(&self) -> &[i64] {
        self.labels()
    }

    fn class_names(&self) -> &[String] {
        self.class_names()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        for (index, target) in indices.iter().zip(pixels.chunks_exact_mut(self.shape().bytes())) {
            target.copy_from_slice(self.image(*index));
        }
        Ok(())
    }

    fn digest(&self) -> Result<String> {
        Ok(self.digest().to_owned())
    }
}

/// Goes through all pixels of `source` in the order of the images, a few megabytes at a time: `visit` gets whole images.
///
/// # Errors
/// When an image cannot be read.
pub fn for_each_chunk<S: ImageSource + ?Sized>(source: &S, mut visit: impl FnMut(&[u8])) -> Result<()> {
    let (count, bytes) = (source.len(), source.shape().bytes());
    let at_once = (CHUNK / bytes.max(1)).max(1);
    let mut pixels = vec![0; at_once.min(count) * bytes];
    for start in (0..count).step_by(at_once) {
        let indices: Vec<usize> = (start..count.min(start + at_once)).collect();
        let pixels = &mut pixels[..indices.len() * bytes];
        source.read(&indices, pixels)?;
        visit(pixels);
    }
    Ok(())
}

fn digest_of<S: ImageSource + ?Sized>(source: &S) -> Result<String> {
    let mut hasher = Sha256::new();
    hash_frame(&mut hasher, source.shape(), source.labels());
    for_each_chunk(source, |pixels| hasher.update(pixels))?;
    Ok(hexadecimal(&hasher.finalize()))
}

/// The digest of a source that does not change: computed at the first call, and kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptDigest(OnceLock<String>);

impl KeptDigest {
    /// The digest of `source`, which is the one that keeps this.
    pub(crate) fn of<S: ImageSource + ?Sized>(&self, source: &S) -> Result<String> {
        if let Some(known) = self.0.get() {
            return Ok(known.clone());
        }
        let found = digest_of(source)?;
        Ok(self.0.get_or_init(|| found).clone())
    }
}

/// What comes before the pixels in a digest.
pub(crate) fn hash_frame(hasher: &mut Sha256, shape: ImageShape, labels: &[i64]) {
    let ImageShape { channels, height, width } = shape;
    for length in [labels.len(), channels, height, width] {
        hasher.update((length as u64).to_le_bytes());
    }
    let labels: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    hasher.update(&labels);
}

/// Insists on what every source promises: a shape without a zero, and a class name for each label, each
/// name its own.
pub(crate) fn check(source: &dyn ImageSource) -> Result<()> {
    let inconsistent = |expected: String, found: String| Error::Inconsistent {
        name: source.name().to_owned(),
        expected,
        found,
    };
    let shape = source.shape();
    if shape.bytes() == 0 || shape.bytes() == usize::MAX {
        return Err(inconsistent("an image shape without a zero".to_owned(), shape.to_string()));
    }
    let classes = source.class_count();
    match source.labels().iter().find(|label| !(0..classes as i64).contains(*label)) {
        Some(label) => Err(inconsistent(format!("labels below {classes}"), format!("label {label}"))),
        None => classes::check(source.class_names())
            .map_err(|fault| inconsistent("class names that differ".to_owned(), fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_the_digest_of_its_images_in_memory_however_it_is_read() {
        let shape = ImageShape { channels: 1, height: 300, width: 400 };
        // More than one chunk.
        let count = CHUNK / shape.bytes() + 3;
        let pixels: Vec<u8> = (0..count * shape.bytes()).map(|place| (place % 251) as u8).collect();
        let labels = (0..count).map(|index| (index % 2) as u16).collect();
        let names = vec!["a".to_owned(), "b".to_owned()];
        let set = ImageSet::new(pixels, shape, labels, names, "many".to_owned()).unwrap();
        assert_eq!(digest_of(&set).unwrap(), set.digest());
        assert_eq!(ImageSource::digest(&Arc::new(set.clone())).unwrap(), set.digest());
    }
}
