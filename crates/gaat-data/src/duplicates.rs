//! Images that are in both parts of a data set, by their decoded pixels: accuracy on them says nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use rayon::prelude::*;

use crate::image_set::ImageSet;

/// Pairs that are named.
const NAMED: usize = 5;

/// Images of the test part that training shows too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Test images whose pixels are those of a training image.
    pub images: usize,
    /// Those of them whose class is another in training.
    pub of_another_class: usize,
    /// The first of them: place in the test part, place of the first such image in the training part.
    pub examples: Vec<(usize, usize)>,
}

/// Compares every test image with every training image, by a table of hashes; equal hashes are compared byte by byte.
pub(crate) fn duplicates(train: &ImageSet, test: &ImageSet) -> Duplicates {
    if train.shape() != test.shape() {
        return Duplicates::default();
    }
    let state = RandomState::new();
    let hashes = |set: &ImageSet| -> Vec<u64> {
        (0..set.len()).into_par_iter().map(|index| state.hash_one(set.image(index))).collect()
    };
    let (train_hashes, test_hashes) = (hashes(train), hashes(test));
    let mut places: HashMap<u64, Vec<usize>> = HashMap::with_capacity(train_hashes.len());
    for (place, hash) in train_hashes.into_iter().enumerate() {
        let same = places.entry(hash).or_default();
        // Copies within a part are all the same image.
        if same.iter().all(|known| train.image(*known) != train.image(place)) {
            same.push(place);
        }
    }
    let mut found = Duplicates::default();
    for (place, hash) in test_hashes.into_iter().enumerate() {
        let image = test.image(place);
        let same = places.get(&hash).into_iter().flatten().find(|known| train.image(**known) == image);
        let Some(&same) = same else { continue };
        found.images += 1;
        found.of_another_class += usize::from(train.labels()[same] != test.labels()[place]);
        if found.examples.len() < NAMED {
            found.examples.push((place, same));
        }
    }
    found
}

impl Duplicates {
    /// What is said of them, `name` giving an image by its part and place; `None` where there is none.
    pub(crate) fn note(&self, of: usize, name: impl Fn(&str, usize) -> String) -> Option<String> {
        if self.images == 0 {
            return None;
        }
        let pairs = self.examples.iter();
        let pairs = pairs.map(|(test, train)| format!("{} = {}", name("test", *test), name("train", *train)));
        let mut pairs: Vec<String> = pairs.collect();
        if self.images > pairs.len() {
            pairs.push(format!("and {} more", self.images - pairs.len()));
        }
        let another = match self.of_another_class {
            0 => String::new(),
            count => format!(", {count} of them under another class"),
        };
        Some(format!(
            "{} of {of} test images are training images too, pixel by pixel{another}: {}; what is found on them says nothing, so \
             remove them from one of the parts",
            self.images,
            pairs.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_set::ImageShape;

    fn set(images: &[[u8; 2]], labels: &[u16]) -> ImageSet {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let classes = vec!["a".to_owned(), "b".to_owned()];
        ImageSet::new(images.concat(), shape, labels.to_vec(), classes, "tiny".to_owned()).unwrap()
    }

    #[test]
    fn equal_pixels_are_found_whatever_their_class() {
        let train = set(&[[1, 2], [3, 4], [1, 2], [5, 6]], &[0, 0, 1, 1]);
        let test = set(&[[4, 3], [1, 2], [5, 6], [3, 4]], &[0, 0, 1, 1]);
        let found = duplicates(&train, &test);
        let examples = vec![(1, 0), (2, 3), (3, 1)];
        assert_eq!(found, Duplicates { images: 3, of_another_class: 1, examples });
        let note = found.note(4, |part, place| format!("{part} {place}")).unwrap();
        assert!(note.starts_with("3 of 4 test images are training images too"), "{note}");
        assert!(note.contains("1 of them under another class: test 1 = train 0, test 2 = train 3"), "{note}");
        let other = set(&[[9, 9]], &[0]);
        assert_eq!(duplicates(&train, &other).note(1, |_, _| String::new()), None);
    }
}
