//! Two sources as one: the images of the first, and after these the images of the second.

use std::sync::Arc;

use crate::error::{Error, Result, names};
use crate::image_set::ImageShape;
use crate::source::{ImageSource, KeptDigest, check};

/// The images of two sources of one shape and the same classes.
pub struct Joined {
    first: Arc<dyn ImageSource>,
    second: Arc<dyn ImageSource>,
    labels: Vec<i64>,
    digest: KeptDigest,
}

impl Joined {
    /// The images of `first` and then those of `second`.
    ///
    /// # Errors
    /// When the two differ in image shape or classes, or a label has no class name; the message names the second.
    pub fn of(first: Arc<dyn ImageSource>, second: Arc<dyn ImageSource>) -> Result<Self> {
        check(second.as_ref())?;
        let inconsistent = |expected: String, found: String| {
            Err(Error::Inconsistent { name: second.name().to_owned(), expected, found })
        };
        if first.shape() != second.shape() {
            return inconsistent(format!("images of {}", first.shape()), second.shape().to_string());
        }
        if first.class_names() != second.class_names() {
            let expected = format!("the classes {}", names(first.class_names()));
            return inconsistent(expected, names(second.class_names()));
        }
        let labels = [first.labels(), second.labels()].concat();
        Ok(Self { first, second, labels, digest: KeptDigest::default() })
    }
}

impl ImageSource for Joined {
    fn shape(&self) -> ImageShape {
        self.first.shape()
    }

    fn labels(&self) -> &[i64] {
        &self.labels
    }

    fn class_names(&self) -> &[String] {
        self.first.class_names()
    }

    fn name(&self) -> &str {
        self.first.name()
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        let (bytes, count) = (self.shape().bytes(), self.first.len());
        let mut read = 0;
        // Neighbours of one source are read together.
        for run in indices.chunk_by(|one, other| (*one < count) == (*other < count)) {
            let target = &mut pixels[read * bytes..(read + run.len()) * bytes];
            if run[0] < count {
                self.first.read(run, target)?;
            } else {
                let inner: Vec<usize> = run.iter().map(|index| index - count).collect();
                self.second.read(&inner, target)?;
            }
            read += run.len();
        }
        Ok(())
    }

    fn digest(&self) -> Result<String> {
        self.digest.of(self)
    }

    fn is_resident(&self) -> bool {
        self.first.is_resident() && self.second.is_resident()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_set::ImageSet;

    fn set(pixels: Vec<u8>, width: usize, classes: &[&str]) -> Arc<dyn ImageSource> {
        let shape = ImageShape { channels: 1, height: 1, width };
        let labels = (0..pixels.len() / width).map(|image| (image % classes.len()) as u16).collect();
        let names = classes.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(ImageSet::new(pixels, shape, labels, names, format!("of {width}")).unwrap())
    }

    #[test]
    fn images_of_both_are_read_in_any_order() {
        let joined =
            Joined::of(set((0..6).collect(), 2, &["a", "b"]), set((6..14).collect(), 2, &["a", "b"]))
                .unwrap();
        assert_eq!((joined.len(), joined.labels()), (7, [0, 1, 0, 0, 1, 0, 1].as_slice()));
        let indices = [6, 0, 2, 3, 5, 1];
        let mut pixels = vec![0; 12];
        joined.read(&indices, &mut pixels).unwrap();
        let expected: Vec<u8> =
            indices.iter().flat_map(|index| [2 * index, 2 * index + 1]).map(|byte| byte as u8).collect();
        assert_eq!(pixels, expected);
        assert!(joined.is_resident());
        joined.read(&[], &mut []).unwrap();
    }

    #[test]
    fn other_shapes_and_classes_are_refused_by_name() {
        let first = || set((0..6).collect(), 2, &["a", "b"]);
        let refused =
            |second| Joined::of(first(), second).err().map(|error| error.to_string()).unwrap_or_default();
        let text = refused(set((0..6).collect(), 3, &["a", "b"]));
        assert!(text.contains("of 3") && text.contains("1 x 1 x 2"), "{text}");
        let text = refused(set((0..6).collect(), 2, &["a", "c"]));
        assert!(text.contains("the classes a, b") && text.contains("a, c"), "{text}");
    }
}
