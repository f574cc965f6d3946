//! Images that a network computes at once: a batch too large for one pass goes through in parts, one after the other, so that no
//! more than the graph of a part lies in memory.

use crate::error::{Error, Result};
use tch::Tensor;

/// Some neighbouring images of those that are to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    start: usize,
    images: usize,
    whole: usize,
}

impl Part {
    /// `images` in `count` parts, both at least 1 and `count` at most `images`: as many in each, or one more.
    pub(crate) fn all(images: usize, count: usize) -> impl Iterator<Item = Self> {
        let first = move |part: usize| part * images / count;
        (0..count).map(move |part| {
            let start = first(part);
            Self { start, images: first(part + 1) - start, whole: images }
        })
    }

    /// All `images` as one part.
    pub(crate) fn only(images: usize) -> Self {
        Self { start: 0, images, whole: images }
    }

    /// How many images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The rows of `whole`, which has one for each image that is to be computed, that belong to this part.
    ///
    /// # Errors
    /// When it has more rows or fewer.
    pub fn of(&self, whole: &Tensor) -> Result<Tensor> {
        if whole.size().first() != Some(&(self.whole as i64)) {
            return Err(Error::Shape {
                what: "a tensor that a part of a batch is taken of".to_owned(),
                expected: format!("a row for each of {} images", self.whole),
                found: format!("{:?}", whole.size()),
            });
        }
        if self.images == self.whole {
            return Ok(whole.shallow_clone());
        }
        Ok(whole.f_narrow(0, self.start as i64, self.images as i64)?)
    }
}

/// What is computed of some images; each result has a row for each of them.
type Work<'w> = &'w dyn Fn(&[&Tensor]) -> Result<Vec<Tensor>>;

/// The results of `work` on `inputs`, which have a row for each image, computed in `count` parts.
///
/// # Errors
/// Those of `work`, or when the inputs differ in length.
pub(crate) fn in_parts(count: usize, inputs: &[&Tensor], work: Work<'_>) -> Result<Vec<Tensor>> {
    let images = inputs.first().and_then(|input| input.size().first().copied()).unwrap_or(0) as usize;
    let count = count.min(images);
    if count <= 1 {
        return work(inputs);
    }
    let mut whole = Rows::default();
    for part in Part::all(images, count) {
        let own = inputs.iter().map(|input| part.of(input)).collect::<Result<Vec<_>>>()?;
        whole.put(part, &work(&own.iter().collect::<Vec<_>>())?)?;
    }
    Ok(whole.into_results())
}

/// Results of all parts. Room for them is made once, at the first part: what would stay of each part would lie among the memory that its
/// graph has given back, which the next graph would then not fit into.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Tensor>);

impl Rows {
    /// Takes the `results` of `part`, each with a row for each of its images: as many results of the same shapes for every part.
    ///
    /// # Errors
    /// When the shapes differ, or there is no room.
    pub(crate) fn put(&mut self, part: Part, results: &[Tensor]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        if self.0.is_empty() {
            let room = |result: &Tensor| {
                let mut size = result.size();
                size[0] = part.whole as i64;
                Ok(Tensor::f_empty(size, (result.kind(), result.device()))?)
            };
            self.0 = results.iter().map(room).collect::<Result<_>>()?;
        }
        for (whole, result) in self.0.iter().zip(results) {
            part.of(whole)?.f_copy_(result)?;
        }
        Ok(())
    }

    /// All rows of each result.
    pub(crate) fn into_results(self) -> Vec<Tensor> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn every_image_is_in_one_part_and_parts_are_alike() {
        for count in 1..6 {
            for images in count..20 {
                let mut next = 0;
                for part in Part::all(images, count) {
                    assert_eq!((part.start, part.whole), (next, images));
                    assert!((images / count..=images.div_ceil(count)).contains(&part.images), "{part:?}");
                    next += part.images;
                }
                assert_eq!(next, images);
            }
        }
    }

    #[test]
    fn results_of_parts_are_put_together_in_order() {
        let rows = Tensor::arange(14, (Kind::Float, Device::Cpu)).view([7, 2]);
        let labels = Tensor::arange(7, (Kind::Int64, Device::Cpu));
        for (count, most) in [(1, 7), (2, 4), (3, 3), (7, 1), (9, 1)] {
            let largest = std::cell::Cell::new(0);
            let found = in_parts(count, &[&rows, &labels], &|inputs| {
                largest.set(largest.get().max(inputs[0].size()[0]));
                Ok(vec![inputs[0] * 2.0, inputs[1] + 1])
            })
            .unwrap();
            assert_eq!(found, [&rows * 2.0, &labels + 1]);
            assert_eq!(largest.get(), most, "{count}");
        }
        let text = in_parts(2, &[&rows, &rows.narrow(0, 0, 3)], &|_| Ok(Vec::new())).unwrap_err().to_string();
        assert!(text.contains("each of 7 images") && text.contains("[3, 2]"), "{text}");
    }
}
