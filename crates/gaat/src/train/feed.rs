//! The feed of a run: the training images in the order of each epoch, cropped and flipped, batch by batch.

use super::ahead::Ahead;
use super::augment::{Augmentation, Placement};
use super::batches::Batches;
use super::portion::Portion;
use crate::batch::{Batch, Images, of_bytes, to_unit};
use crate::error::Result;
use crate::nn::Rng;
use crate::world::World;
use gaat_data::{ImageShape, ImageSource, epoch_order};
use gaat_spec::Plan;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Serves the batches of a run by number. Order and augmentation are pure functions of that number, so that replays see
/// the same images and nothing has to be saved.
pub(super) struct Feed {
    supply: Supply,
    shape: ImageShape,
    /// Classes of the images, `[N]`, i64, on the device.
    labels: Tensor,
    augmentation: Augmentation,
    batches: Batches,
    epochs: usize,
    seed: u64,
    /// Dtype of the pixels served.
    kind: Kind,
    /// Indices of the training images in the order of the epochs at hand: the one that is trained on, and the next where a batch
    /// of it is read ahead.
    orders: Vec<(usize, Vec<usize>)>,
    /// The first of them as `[N]`, i64, on the device.
    order: Tensor,
    /// The epoch of that order; 0 before the first.
    order_epoch: usize,
}

/// Where the pixels come from.
enum Supply {
    Resident(Images<'static>),
    Streamed(Ahead),
}

/// A batch, or this process' portion of it, and where its images come from.
pub(super) struct Served {
    pub(super) batch: Batch,
    pub(super) portion: Portion,
    /// In how many parts the portion is computed, one after the other.
    pub(super) parts: usize,
    /// Indices of the images of the whole batch among the training images, `[N]`, i64.
    pub(super) whole_indices: Tensor,
    pub(super) placement: Placement,
}

impl Feed {
    /// Feeds `images`, cut into `batches`, as `plan` says, as pixels of `kind` on `device`.
    ///
    /// # Errors
    /// When an image cannot be read, or the device has no room.
    pub(super) fn new(
        images: Arc<dyn ImageSource>,
        batches: Batches,
        plan: &Plan,
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let (shape, labels) = (images.shape(), Tensor::f_from_slice(images.labels())?.f_to_device(device)?);
        let supply = if images.is_resident() {
            let all = (0..images.len()).collect();
            Supply::Resident(Images::upload_shared(images, all, device)?)
        } else {
            Supply::Streamed(Ahead::of(images)?)
        };
        Ok(Self {
            supply,
            shape,
            labels,
            augmentation: Augmentation::new(plan.augmentation()),
            batches,
            epochs: plan.epochs(),
            seed: plan.seed(),
            kind,
            orders: Vec::new(),
            order: Tensor::new(),
            order_epoch: 0,
        })
    }

    /// Images that each process needs at least in a pass by the statistics of a batch.
    pub(super) fn least(&self) -> usize {
        self.batches.least_of_each()
    }

    /// The portion of `world` in batch `number` of the run, from 0.
    ///
    /// # Errors
    /// When an image cannot be read, or libtorch cannot allocate.
    pub(super) fn serve(&mut self, number: usize, world: &dyn World) -> Result<Served> {
        let device = self.labels.device();
        let epoch = number / self.batches.count() + 1;
        if self.order_epoch != epoch {
            self.orders.retain(|(known, _)| *known >= epoch);
            let count = self.labels.size()[0] as usize;
            let order = order_of(&mut self.orders, self.seed, epoch, count);
            let order: Vec<i64> = order.iter().map(|index| *index as i64).collect();
            self.order = Tensor::f_from_slice(&order)?.f_to_device(device)?;
            self.order_epoch = epoch;
        }
        let index = number % self.batches.count();
        let (start, end) = self.batches.range(index);
        let portion = Portion::new(world, end - start);
        let parts = self.batches.parts(index);
        let whole_indices = self.order.f_narrow(0, start as i64, portion.of as i64)?;
        let indices = portion.cut(&whole_indices)?;
        let bytes = self.read(number, &indices, world)?;
        let labels = self.labels.f_index_select(0, &indices)?;
        let draws = Rng::new(self.seed).seeded("augment", number as u64);
        let draws = draws.cut(portion.start, portion.images, portion.of);
        let placement = self.augmentation.plan(&bytes.size(), bytes.device(), &draws)?;
        let pixels = to_unit(&placement.forward(&bytes)?, self.kind)?;
        let pixels = self.augmentation.colour(pixels, &draws.branch("colour"))?;
        Ok(Served { batch: Batch::new(pixels, labels), portion, parts, whole_indices, placement })
    }

    /// The bytes of the portion of `world` in batch `number`, whose images are those at `indices`.
    fn read(&mut self, number: usize, indices: &Tensor, world: &dyn World) -> Result<Tensor> {
        let ahead = match &mut self.supply {
            Supply::Resident(images) => return Ok(images.gather(indices)?.0),
            Supply::Streamed(ahead) => ahead,
        };
        let (batches, epochs, seed) = (self.batches, self.epochs, self.seed);
        let (orders, count) = (&mut self.orders, self.labels.size()[0] as usize);
        let places = |number: usize| {
            let epoch = number / batches.count() + 1;
            (epoch <= epochs).then(|| {
                let (start, end) = batches.range(number % batches.count());
                let portion = Portion::new(world, end - start);
                let start = start + portion.start;
                order_of(orders, seed, epoch, count)[start..start + portion.images].to_vec()
            })
        };
        of_bytes(ahead.batch(number, places)?, self.shape, self.labels.device())
    }
}

/// The order of `epoch`, made where it is not among `orders` yet.
fn order_of(orders: &mut Vec<(usize, Vec<usize>)>, seed: u64, epoch: usize, count: usize) -> &[usize] {
    let place = orders.iter().position(|(known, _)| *known == epoch).unwrap_or_else(|| {
        orders.push((epoch, epoch_order(seed, epoch as u64, count)));
        orders.len() - 1
    });
    &orders[place].1
}
