//! How an epoch is cut into the batches of its steps: all of one size, but the last, which takes what is left; and in how many parts
//! each is computed.

use crate::error::{Error, Result};
use crate::nn::{Classifier, Mode};
use gaat_spec::Plan;
use tch::Tensor;

/// The batches of an epoch, by number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batches {
    images: usize,
    size: usize,
    count: usize,
    /// Images that are computed at once at most.
    at_once: usize,
    /// Images that one part has at least, in all processes together.
    least: usize,
    processes: usize,
}

impl Batches {
    /// The batches of `plan` for `network` on `images` training images, each divided among `processes`.
    ///
    /// # Errors
    /// When every batch is too small for the network, or it fails.
    pub(super) fn of(plan: &Plan, images: usize, network: &dyn Classifier, processes: usize) -> Result<Self> {
        let (least, size) = (least_batch(network)? * processes, plan.batch_size());
        if processes > size {
            return Err(Error::Usage(format!(
                "a batch of {size} images cannot be divided among {processes} processes: use a batch-size of at least {processes}, or \
                 fewer processes"
            )));
        }
        check(&network.name(), images, plan.batch_size(), least)?;
        Ok(Self { at_once: plan.batch_size(), processes, ..Self::new(images, plan.images_per_step(), least) })
    }

    /// Batches of `size` of `images`, both at least 1. A rest of fewer than `least` images joins the batch before.
    pub(super) fn new(images: usize, size: usize, least: usize) -> Self {
        let rest = images % size;
        let joins = rest > 0 && rest < least && images > size;
        let count = images.div_ceil(size) - usize::from(joins);
        Self { images, size, count, at_once: size, least, processes: 1 }
    }

    /// Batches in an epoch.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// First and one past the last image of batch `index`, places in the order of the epoch.
    pub(super) fn range(&self, index: usize) -> (usize, usize) {
        let start = index * self.size;
        (start, if index + 1 == self.count { self.images } else { start + self.size })
    }

    /// In how many parts batch `index` is computed, one after the other: the same number in every process.
    pub(super) fn parts(&self, index: usize) -> usize {
        let (start, end) = self.range(index);
        let images = end - start;
        // Fewer where one would be too small for the network, or a process would have none of it; a rest that has joined makes each
        // a little larger.
        images.div_ceil(self.at_once).min(self.size / self.at_once).min(images / self.least).max(1)
    }

    /// Images that one process needs at least in a pass by the statistics of a batch.
    pub(super) fn least_of_each(&self) -> usize {
        self.least / self.processes
    }

    /// Images in the largest batch.
    pub(super) fn largest(&self) -> usize {
        let (start, end) = self.range(self.count - 1);
        if self.count == 1 { end } else { self.size.max(end - start) }
    }
}

/// Images that `network` needs at least to normalise by the statistics of a batch: 2 where it normalises maps of one pixel, whose
/// variance over one image is undefined, else 1. Asks the network itself, by one forward pass of a black image that changes
/// nothing.
///
/// # Errors
/// When the network refuses the image for another reason.
pub(super) fn least_batch(network: &dyn Classifier) -> Result<usize> {
    let (shape, store) = (network.input_shape(), network.store());
    let size = [1, shape.channels, shape.height, shape.width];
    let image = Tensor::f_zeros(size, (store.kind(), store.device()))?;
    match tch::no_grad(|| network.logits(&image, Mode::TrainFrozenStats)) {
        Ok(_) => Ok(1),
        Err(Error::OneValue { .. }) => Ok(2),
        Err(other) => Err(other),
    }
}

/// Refuses data and batch sizes whose every batch is smaller than `least`.
///
/// # Errors
/// [`Error::Usage`], which says what to change.
pub(super) fn check(model: &str, images: usize, size: usize, least: usize) -> Result<()> {
    if images.min(size) >= least {
        return Ok(());
    }
    let found = if images < least {
        format!("there is {images} training image: use more images")
    } else {
        format!("the batch-size is {size}: use at least {least}")
    };
    Err(Error::Usage(format!(
        "{model} normalises maps of one pixel by the statistics of each batch, which needs at least {least} images in a batch, but \
         {found}, larger images, or a network without batch normalisation"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trial::Trial;
    use tch::Kind;

    #[test]
    fn a_rest_too_small_joins_the_batch_before() {
        let cut = |images, size, least| {
            let batches = Batches::new(images, size, least);
            let sizes: Vec<usize> = (0..batches.count())
                .map(|index| {
                    let (start, end) = batches.range(index);
                    end - start
                })
                .collect();
            assert_eq!(sizes.iter().sum::<usize>(), images);
            assert_eq!(sizes.iter().max(), Some(&batches.largest()));
            sizes
        };
        assert_eq!(cut(65, 64, 1), [64, 1]);
        assert_eq!(cut(65, 64, 2), [65]);
        assert_eq!(cut(129, 64, 2), [64, 65]);
        assert_eq!(cut(130, 64, 2), [64, 64, 2]);
        assert_eq!(cut(128, 64, 2), [64, 64]);
        assert_eq!(cut(40, 64, 2), [40]);
        assert_eq!(cut(1, 64, 1), [1]);
        assert_eq!(cut(5, 2, 2), [2, 3]);
    }

    #[test]
    fn a_step_has_as_many_parts_as_batches_and_none_is_too_small() {
        let parts = |images, at_once, accumulate, least| {
            let batches = Batches { at_once, ..Batches::new(images, at_once * accumulate, least) };
            (0..batches.count()).map(|index| batches.parts(index)).collect::<Vec<_>>()
        };
        assert_eq!(parts(130, 64, 1, 1), [1, 1, 1]);
        assert_eq!(parts(129, 64, 1, 2), [1, 1], "a rest of one joins");
        assert_eq!(parts(128, 16, 4, 1), [4, 4]);
        assert_eq!(parts(100, 16, 4, 1), [4, 3], "36 images of at most 16");
        assert_eq!(parts(65, 16, 4, 2), [4], "a rest of one joins, and makes a part larger");
        assert_eq!(parts(27, 3, 4, 2), [4, 4, 1], "three images are one part of at least two");
        assert_eq!(parts(15, 3, 4, 4), [3], "two processes with two images of each part");
    }

    #[test]
    fn networks_with_maps_of_one_pixel_need_two_images() {
        for (model, least) in [
            ("mlp", 1),
            ("convnet", 1),
            ("wide-resnet-10-1", 1),
            ("resnet-18-w8", 2),
            ("preact-resnet-18-w8", 2),
        ] {
            let trial = Trial::new(model, Kind::Float);
            let before = trial.classifier.store().state().unwrap();
            assert_eq!(least_batch(trial.classifier.as_ref()).unwrap(), least, "{model}");
            assert_eq!(trial.classifier.store().state().unwrap(), before, "{model}");
        }
    }

    #[test]
    fn what_no_joining_helps_is_refused_with_a_way_out() {
        check("mlp", 1, 1, 1).unwrap();
        check("resnet-18", 2, 2, 2).unwrap();
        let text = check("resnet-18", 1, 64, 2).unwrap_err().to_string();
        assert!(text.contains("resnet-18") && text.contains("1 training image"), "{text}");
        let text = check("resnet-18", 65, 1, 2).unwrap_err().to_string();
        assert!(text.contains("batch-size is 1"), "{text}");
    }
}
