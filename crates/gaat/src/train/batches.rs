//! How an epoch is cut into batches: all of one size, but the last, which takes what is left.

use crate::nn::{Classifier, Mode};
use crate::{Error, Result};
use gaat_spec::Plan;
use tch::Tensor;

/// The batches of an epoch, by number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batches {
    images: usize,
    size: usize,
    count: usize,
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
        Ok(Self::new(images, plan.batch_size(), least))
    }

    /// Batches of `size` of `images`, both at least 1. A rest of fewer than `least` images joins the batch before.
    pub(super) fn new(images: usize, size: usize, least: usize) -> Self {
        let rest = images % size;
        let joins = rest > 0 && rest < least && images > size;
        Self { images, size, count: images.div_ceil(size) - usize::from(joins) }
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
