//! The processes that train together: who this one is, what they add up, and which images of a batch are its own.
//!
//! An attack needs nothing of the others: its losses are summed, so that the gradient of an image does not hang on its batch, and
//! its random numbers are drawn for the whole batch and cut. Only the descent, the numbers of a step and what is decided on them
//! are common. So several processes end with the weights of one, up to rounding and the statistics of batches.

use crate::Result;
use crate::nn::Classifier;
use tch::Tensor;

/// One of the processes, or threads, that train together. All make the same calls in the same order.
pub trait World: Send {
    /// Which one this is, from 0; 0 is the leader, which keeps the files.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn size(&self) -> usize;

    /// Sets each of `tensors`, which have the same shapes everywhere, to its sum over all, in place and to the same bits
    /// everywhere.
    ///
    /// # Errors
    /// When one of the others cannot be reached.
    fn sum(&self, tensors: &[Tensor]) -> Result<()>;

    /// Sets each of `tensors`, which have the same shapes everywhere, to the leader's, in place.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn share(&self, tensors: &[Tensor]) -> Result<()>;
}

/// A training in one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _tensors: &[Tensor]) -> Result<()> {
        Ok(())
    }

    fn share(&self, _tensors: &[Tensor]) -> Result<()> {
        Ok(())
    }
}

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

    /// Whether it is the whole batch.
    pub(super) fn is_all(&self) -> bool {
        self.images == self.of
    }
}

/// Whether any of `world` says `flag`.
pub(super) fn any(world: &dyn World, flag: bool) -> Result<bool> {
    if world.size() == 1 {
        return Ok(flag);
    }
    let count = Tensor::from_slice(&[i64::from(flag)]);
    world.sum(&[count.shallow_clone()])?;
    Ok(count.f_int64_value(&[0])? > 0)
}

/// The leader's `numbers`.
pub(super) fn of_leader<const N: usize>(world: &dyn World, numbers: [f64; N]) -> Result<[f64; N]> {
    if world.size() == 1 {
        return Ok(numbers);
    }
    let shared = Tensor::from_slice(&numbers);
    world.share(&[shared.shallow_clone()])?;
    let shared = Vec::<f64>::try_from(shared)?;
    Ok(std::array::from_fn(|index| shared[index]))
}

/// Sets the running statistics of `network` to their means over `world`: each process has followed its own images.
pub(super) fn average_statistics(world: &dyn World, network: &dyn Classifier) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let _no_grad = tch::no_grad_guard();
    let entries = network.store().named().iter();
    let statistics = entries.filter(|entry| !entry.role.is_trainable() && entry.tensor.is_floating_point());
    let statistics: Vec<Tensor> = statistics.map(|entry| entry.tensor.detach()).collect();
    world.sum(&statistics)?;
    for mut tensor in statistics {
        let _ = tensor.f_div_scalar_(world.size() as f64)?;
    }
    Ok(())
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
