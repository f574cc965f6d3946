//! The middle of every image of a source: what is judged where training crops at random.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::image_set::ImageShape;
use crate::source::{ImageSource, KeptDigest};

/// A source whose images are cut about their centre; of an odd rest the larger part is cut off below and to the right, as by
/// torchvision's `CenterCrop` for even rests.
pub struct CentreCrop {
    source: Arc<dyn ImageSource>,
    height: usize,
    width: usize,
    digest: KeptDigest,
}

impl CentreCrop {
    /// The middle `height` x `width` of the images of `source`.
    ///
    /// # Errors
    /// When it is empty, or larger than the images.
    pub fn of(source: Arc<dyn ImageSource>, (height, width): (usize, usize)) -> Result<Self> {
        let shape = source.shape();
        let fits = |side: usize, most: usize| (1..=most).contains(&side);
        if !fits(height, shape.height) || !fits(width, shape.width) {
            return Err(Error::Inconsistent {
                name: source.name().to_owned(),
                expected: format!(
                    "a crop of at most {} x {} pixels (height x width), which is what the images have (resize makes them larger)",
                    shape.height, shape.width
                ),
                found: format!("{height} x {width}"),
            });
        }
        Ok(Self { source, height, width, digest: KeptDigest::default() })
    }
}

impl ImageSource for CentreCrop {
    fn shape(&self) -> ImageShape {
        ImageShape { height: self.height, width: self.width, ..self.source.shape() }
    }

    fn labels(&self) -> &[i64] {
        self.source.labels()
    }

    fn class_names(&self) -> &[String] {
        self.source.class_names()
    }

    fn name(&self) -> &str {
        self.source.name()
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        let whole = self.source.shape();
        let (top, left) = ((whole.height - self.height) / 2, (whole.width - self.width) / 2);
        let mut image = vec![0; whole.bytes()];
        for (index, target) in indices.iter().zip(pixels.chunks_exact_mut(self.shape().bytes())) {
            self.source.read(&[*index], &mut image)?;
            let planes = image.chunks_exact(whole.height * whole.width);
            for (plane, target) in planes.zip(target.chunks_exact_mut(self.height * self.width)) {
                let rows = plane.chunks_exact(whole.width).skip(top);
                for (row, target) in rows.zip(target.chunks_exact_mut(self.width)) {
                    target.copy_from_slice(&row[left..left + self.width]);
                }
            }
        }
        Ok(())
    }

    fn digest(&self) -> Result<String> {
        self.digest.of(self)
    }

    fn is_resident(&self) -> bool {
        self.source.is_resident()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_set::ImageSet;

    #[test]
    fn the_middle_of_every_plane_is_kept() {
        let shape = ImageShape { channels: 2, height: 4, width: 5 };
        let pixels = (0..80).collect();
        let set = ImageSet::new(pixels, shape, vec![0, 0], vec!["a".to_owned()], "s".to_owned()).unwrap();
        let set: Arc<dyn ImageSource> = Arc::new(set);
        let crop = CentreCrop::of(Arc::clone(&set), (2, 3)).unwrap();
        let found = ImageSet::of(&crop, &[1]).unwrap();
        assert_eq!(found.shape(), ImageShape { channels: 2, height: 2, width: 3 });
        assert_eq!(found.pixels(), [46, 47, 48, 51, 52, 53, 66, 67, 68, 71, 72, 73]);
        for size in [(5, 3), (2, 6), (0, 3)] {
            let error = CentreCrop::of(Arc::clone(&set), size).map(drop).unwrap_err().to_string();
            assert!(error.contains("at most 4 x 5"), "{error}");
        }
    }
}
