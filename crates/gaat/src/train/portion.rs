//! What the processes that train together divide: which images of a batch are whose.
//!
//! An attack needs nothing of the others: its losses are summed, so that the gradient of an image does not depend on its batch, and
//! its random numbers are drawn for the whole batch and cut. Only the descent, the numbers of a step and what is decided on them
//! are common. So several processes end with the weights of one, up to rounding and the statistics of batches.

use crate::error::Result;
use crate::nn::Part;
use crate::world::World;
use tch::Tensor;

/// The images of a batch that one process computes: neighbours, as many as the others have, or one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    /// Place of the first one in the batch.
    pub(super) start: usize,
    /// How many.
    pub(super) images: usize,
    /// Images of the whole batch.
    pub(super) of: usize,
}

impl Portion {
    /// That of `world` in a batch of `of` images.
    pub(super) fn new(world: &dyn World, of: usize) -> Self {
        let first = |rank: usize| rank * of / world.size();
        let start = first(world.rank());
        Self { start, images: first(world.rank() + 1) - start, of }
    }

    /// The portion of `whole`, which has a row for each image of the batch.
    ///
    /// # Errors
    /// When it has fewer.
    pub(super) fn cut(&self, whole: &Tensor) -> Result<Tensor> {
        if self.is_all() {
            return Ok(whole.shallow_clone());
        }
        Ok(whole.f_narrow(0, self.start as i64, self.images as i64)?)
    }

    /// Images of `part`, a part of this portion, over those of the whole batch.
    pub(super) fn share_of(&self, part: Part) -> f64 {
        part.images() as f64 / self.of as f64
    }

    /// Whether it is the whole batch.
    pub(super) fn is_all(&self) -> bool {
        self.images == self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(usize, usize);

    impl World for Named {
        fn rank(&self) -> usize {
            self.0
        }
        fn size(&self) -> usize {
            self.1
        }
        fn sum(&self, _tensors: &[Tensor]) -> Result<()> {
            Ok(())
        }
        fn share(&self, _tensors: &[Tensor]) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_image_of_a_batch_is_in_one_portion_and_none_is_empty_that_need_not_be() {
        for size in 1..6 {
            for of in size..20 {
                let portions: Vec<_> = (0..size).map(|rank| Portion::new(&Named(rank, size), of)).collect();
                let mut next = 0;
                for portion in portions {
                    assert_eq!((portion.start, portion.of), (next, of));
                    assert!((of / size..=of.div_ceil(size)).contains(&portion.images), "{portion:?}");
                    next += portion.images;
                }
                assert_eq!(next, of);
            }
        }
    }
}
