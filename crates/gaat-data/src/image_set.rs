//! Labelled images in memory, as bytes.
//!
//! Not a tensor and not a stream: pixels stay `u8` until a batch is uploaded, and a whole set is resident. Others see it as an
//! [`ImageSource`].

use std::fmt;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::source::{ImageSource, hash_frame};
use gaat_files::hexadecimal;

/// The shape of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Colour planes: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Bytes of one image; saturates where the product does not fit.
    pub const fn bytes(self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} x {} x {}", self.channels, self.height, self.width)
    }
}

/// Labelled images: u8 pixels `[N, C, H, W]`, contiguous, row-major (channel planes), in 0..=255.
#[derive(Clone)]
pub struct ImageSet {
    pixels: Vec<u8>,
    shape: ImageShape,
    labels: Vec<i64>,
    class_names: Vec<String>,
    name: String,
    digest: OnceLock<String>,
}

impl ImageSet {
    /// Puts a set together. `pixels` is `[N, C, H, W]`, contiguous, with as many images as labels.
    ///
    /// # Errors
    /// When a dimension is zero, the lengths do not agree, or a label has no class name.
    pub fn new(
        pixels: Vec<u8>,
        shape: ImageShape,
        labels: Vec<u16>,
        class_names: Vec<String>,
        name: String,
    ) -> Result<Self> {
        let inconsistent = |expected: String, found: String| {
            Err(Error::Inconsistent { name: name.clone(), expected, found })
        };
        if shape.bytes() == 0 || shape.bytes() == usize::MAX {
            return inconsistent("an image shape without a zero".to_owned(), shape.to_string());
        }
        if labels.len().checked_mul(shape.bytes()) != Some(pixels.len()) {
            return inconsistent(
                format!("{} images of {shape} bytes, one a label", labels.len()),
                format!("{} bytes", pixels.len()),
            );
        }
        if let Some(label) = labels.iter().find(|&&label| usize::from(label) >= class_names.len()) {
            return inconsistent(format!("labels below {}", class_names.len()), format!("label {label}"));
        }
        let labels = labels.into_iter().map(i64::from).collect();
        Ok(Self { pixels, shape, labels, class_names, name, digest: OnceLock::new() })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of each image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// All pixels, `[N, C, H, W]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels of one image, `[C, H, W]`.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.shape.bytes();
        &self.pixels[index * bytes..(index + 1) * bytes]
    }

    /// The label of each image, each below [`class_count`](Self::class_count).
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The names of the classes; a label is an index into them.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// How many classes there are, whether or not each has an image here.
    pub fn class_count(&self) -> usize {
        self.class_names.len()
    }

    /// How many images each class has.
    pub fn images_per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.class_names.len()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The name of the data set, for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over shape, labels and pixels, as hexadecimal; computed at the first call.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let mut hasher = Sha256::new();
            hash_frame(&mut hasher, self.shape, &self.labels);
            hasher.update(&self.pixels);
            hexadecimal(&hasher.finalize())
        })
    }

    /// The images of `source` at `indices`, in that order, read into memory.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn of(source: &dyn ImageSource, indices: &[usize]) -> Result<Self> {
        let mut pixels = vec![0; indices.len() * source.shape().bytes()];
        source.read(indices, &mut pixels)?;
        Ok(Self {
            pixels,
            shape: source.shape(),
            labels: indices.iter().map(|&index| source.labels()[index]).collect(),
            class_names: source.class_names().to_vec(),
            name: source.name().to_owned(),
            digest: OnceLock::new(),
        })
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape.bytes());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        Self {
            pixels,
            shape: self.shape,
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            class_names: self.class_names.clone(),
            name: self.name.clone(),
            digest: OnceLock::new(),
        }
    }

    /// The same labels with other pixels; the caller keeps the number of images.
    pub(crate) fn with_pixels(self, pixels: Vec<u8>, shape: ImageShape) -> Self {
        debug_assert_eq!(pixels.len(), self.len() * shape.bytes());
        Self { pixels, shape, digest: OnceLock::new(), ..self }
    }
}

impl fmt::Debug for ImageSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ImageSet")
            .field("name", &self.name)
            .field("images", &self.len())
            .field("shape", &self.shape)
            .field("classes", &self.class_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: Vec<u16>, bytes: usize) -> Result<ImageSet> {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let pixels = (0..bytes).map(|value| value as u8).collect();
        ImageSet::new(pixels, shape, labels, vec!["a".to_owned(), "b".to_owned()], "tiny".to_owned())
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert!(set(vec![0, 1], 4).is_ok());
        assert!(set(vec![0, 1], 3).unwrap_err().to_string().contains("tiny"));
        assert!(set(vec![0, 2], 4).unwrap_err().to_string().contains("label 2"));
        let flat = ImageShape { channels: 1, height: 0, width: 2 };
        assert!(ImageSet::new(vec![], flat, vec![], vec!["a".to_owned()], "flat".to_owned()).is_err());
    }

    #[test]
    fn select_keeps_the_order_that_was_asked_for() {
        let chosen = set(vec![0, 1, 0], 6).unwrap().select(&[2, 1]);
        assert_eq!(chosen.pixels(), [4, 5, 2, 3]);
        assert_eq!(chosen.labels(), [0, 1]);
        assert_eq!(chosen.images_per_class(), [1, 1]);
    }

    #[test]
    fn the_digest_sees_pixels_labels_and_shape() {
        let base = set(vec![0, 1], 4).unwrap();
        assert_eq!(base.digest(), set(vec![0, 1], 4).unwrap().digest());
        assert_eq!(base.digest().len(), 64);
        assert_ne!(base.digest(), set(vec![1, 1], 4).unwrap().digest());
        assert_ne!(base.digest(), base.select(&[1, 0]).digest());
        let tall = ImageShape { channels: 1, height: 2, width: 1 };
        let turned = base.clone().with_pixels(base.pixels().to_vec(), tall);
        assert_ne!(base.digest(), turned.digest());
    }
}
