//! The feed of a run: the training images in the order of each epoch, cropped and flipped, batch by batch.

use super::augment::{Augmentation, Placement};
use super::batches::Batches;
use super::world::{Portion, World};
use crate::Result;
use crate::batch::{Batch, Images, to_unit};
use crate::nn::Rng;
use gaat_data::epoch_order;
use gaat_spec::Plan;
use tch::{Kind, Tensor};

/// Serves the batches of a run by number. Order and augmentation are pure functions of that number, so that replays see
/// the same images and nothing has to be saved.
pub(super) struct Feed {
    images: Images,
    augmentation: Augmentation,
    batches: Batches,
    seed: u64,
    /// Dtype of the pixels served.
    kind: Kind,
    /// Indices of the training images in the order of the epoch, `[N]`, i64, on the device.
    order: Tensor,
    /// The epoch of that order; 0 before the first.
    order_epoch: usize,
}

/// A batch, or this process' portion of it, and where its images come from.
pub(super) struct Served {
    pub(super) batch: Batch,
    pub(super) portion: Portion,
    /// Indices of its images among the training images, `[N]`, i64.
    pub(super) indices: Tensor,
    pub(super) placement: Placement,
}

impl Feed {
    /// Feeds `images`, cut into `batches`, as `plan` says, as pixels of `kind`.
    pub(super) fn new(images: Images, batches: Batches, plan: &Plan, kind: Kind) -> Self {
        Self {
            images,
            augmentation: Augmentation::new(plan.augmentation()),
            batches,
            seed: plan.seed(),
            kind,
            order: Tensor::new(),
            order_epoch: 0,
        }
    }

    /// The portion of `world` in batch `number` of the run, from 0.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub(super) fn serve(&mut self, number: usize, world: &dyn World) -> Result<Served> {
        let count = self.images.len();
        let batches = self.batches.count();
        let epoch = number / batches + 1;
        if self.order_epoch != epoch {
            self.order = self.images.indices(&epoch_order(self.seed, epoch as u64, count))?;
            self.order_epoch = epoch;
        }
        let (start, end) = self.batches.range(number % batches);
        let portion = Portion::new(world, end - start);
        let indices = self.order.f_narrow(0, (start + portion.start) as i64, portion.images as i64)?;
        let (bytes, labels) = self.images.gather(&indices)?;
        let draws = Rng::new(self.seed).seeded("augment", number as u64);
        let draws = draws.cut(portion.start, portion.images, portion.of);
        let placement = self.augmentation.plan(&bytes.size(), bytes.device(), &draws)?;
        let pixels = to_unit(&placement.forward(&bytes)?, self.kind)?;
        Ok(Served { batch: Batch { pixels, labels }, portion, indices, placement })
    }
}
