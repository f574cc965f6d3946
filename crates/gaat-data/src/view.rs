//! Some images of a source, in an order of their own: indices, and no copy of a pixel.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::image_set::ImageShape;
use crate::source::{ImageSource, KeptDigest};

/// The images of a source at some indices.
pub struct View {
    source: Arc<dyn ImageSource>,
    indices: Vec<usize>,
    labels: Vec<i64>,
    digest: KeptDigest,
}

impl View {
    /// The images of `source` at `indices`, in that order.
    ///
    /// # Errors
    /// When an index is not below the number of images.
    pub fn of(source: Arc<dyn ImageSource>, indices: Vec<usize>) -> Result<Self> {
        let known = source.labels();
        let labels = indices.iter().map(|&index| known.get(index).copied());
        let Some(labels) = labels.collect::<Option<Vec<i64>>>() else {
            return Err(Error::Inconsistent {
                name: source.name().to_owned(),
                expected: format!("indices below {}", known.len()),
                found: format!("index {}", indices.iter().max().copied().unwrap_or_default()),
            });
        };
        Ok(Self { source, indices, labels, digest: KeptDigest::default() })
    }
}

impl ImageSource for View {
    fn shape(&self) -> ImageShape {
        self.source.shape()
    }

    fn labels(&self) -> &[i64] {
        &self.labels
    }

    fn class_names(&self) -> &[String] {
        self.source.class_names()
    }

    fn name(&self) -> &str {
        self.source.name()
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        let inner: Vec<usize> = indices.iter().map(|&index| self.indices[index]).collect();
        self.source.read(&inner, pixels)
    }

    fn digest(&self) -> Result<String> {
        self.digest.of(self)
    }

    fn is_resident(&self) -> bool {
        self.source.is_resident()
    }
}
