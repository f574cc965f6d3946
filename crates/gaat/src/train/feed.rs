//! The feed of a run: the training images in the order of each epoch, cropped, flipped and mixed, batch by batch.

use super::ahead::Ahead;
use super::augment::{Augmentation, Placement};
use super::batches::Batches;
use super::boxes::cut_out;
use super::mixing::mix;
use super::ordering::Ordering;
use super::portion::Portion;
use crate::batch::{Batch, Images, of_bytes, to_unit};
use crate::error::Result;
use crate::nn::{Draws, Rng};
use crate::world::World;
use gaat_data::{ImageShape, ImageSource, Joined};
use gaat_spec::{MixSpec, Plan};
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
    /// How images are mixed, among how many classes, and whether attacks take the mixed labels.
    mixing: Option<(MixSpec, i64, bool)>,
    batches: Batches,
    epochs: usize,
    ordering: Ordering,
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
    /// Feeds `images`, cut into `batches`, and the `extra` ones that the plan wants beside them, as `plan` says, as pixels of `kind` on
    /// `device`.
    ///
    /// # Errors
    /// When an image cannot be read, or the device has no room.
    pub(super) fn new(
        images: Arc<dyn ImageSource>,
        extra: Option<Arc<dyn ImageSource>>,
        batches: Batches,
        plan: &Plan,
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let ordering = Ordering {
            seed: plan.seed(),
            batches,
            images: images.len(),
            extra: plan.extra().zip(extra.as_ref()).map(|(spec, extra)| (extra.len(), spec.share)),
        };
        let images = match extra {
            Some(extra) => Arc::new(Joined::of(images, extra)?),
            None => images,
        };
        let classes = images.class_count() as i64;
        let in_attack = plan.labels().is_some_and(|labels| labels.in_attack);
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
            mixing: plan.mixing().map(|spec| (spec, classes, in_attack)),
            batches,
            epochs: plan.epochs(),
            ordering,
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
            let order = order_of(&mut self.orders, self.ordering, epoch);
            let order: Vec<i64> = order.iter().map(|index| *index as i64).collect();
            self.order = Tensor::f_from_slice(&order)?.f_to_device(device)?;
            self.order_epoch = epoch;
        }
        let index = number % self.batches.count();
        let (start, end) = self.batches.range(index);
        let portion = Portion::new(world, end - start);
        let parts = self.batches.parts(index);
        let whole_indices = self.order.f_narrow(0, start as i64, portion.of as i64)?;
        let own = portion.cut(&whole_indices)?;
        let draws = Rng::new(self.ordering.seed).seeded("augment", number as u64);
        let draws = draws.cut(portion.start, portion.images, portion.of);
        let Some((spec, classes, in_attack)) = self.mixing else {
            let bytes = self.read(number, &own, world)?;
            let (batch, placement) = self.view(&bytes, &own, &draws)?;
            return Ok(Served { batch, portion, parts, whole_indices, placement });
        };
        // The one before in the batch, as torchvision's `MixUp` and `CutMix` have it, in a view of its own.
        let other = portion.cut(&whole_indices.f_roll([1i64], [0i64])?)?;
        let bytes = self.read(number, &Tensor::f_cat(&[&own, &other], 0)?, world)?;
        let count = portion.images as i64;
        let (batch, placement) = self.view(&bytes.f_narrow(0, 0, count)?, &own, &draws)?;
        let (other, _) = self.view(&bytes.f_narrow(0, count, count)?, &other, &draws.branch("other"))?;
        let batch = mix(batch, &other, spec, classes, in_attack, &draws.branch("mix"))?;
        Ok(Served { batch, portion, parts, whole_indices, placement })
    }

    /// The images at `indices`, whose bytes are `bytes` (`[N, C, H, W]`), as they are trained on, and where they were put.
    fn view(&self, bytes: &Tensor, indices: &Tensor, draws: &Draws) -> Result<(Batch, Placement)> {
        let labels = self.labels.f_index_select(0, indices)?;
        let placement = self.augmentation.plan(&bytes.size(), bytes.device(), draws)?;
        let pixels = to_unit(&placement.forward(bytes)?, self.kind)?;
        let pixels = self.augmentation.colour(pixels, &draws.branch("colour"))?;
        let pixels = cut_out(pixels, self.augmentation.cutout(), &draws.branch("cutout"))?;
        Ok((Batch::new(pixels, labels), placement))
    }

    /// The bytes of the images that the portion of `world` needs of batch `number`, which are those at `indices`.
    fn read(&mut self, number: usize, indices: &Tensor, world: &dyn World) -> Result<Tensor> {
        let ahead = match &mut self.supply {
            Supply::Resident(images) => return Ok(images.gather(indices)?.0),
            Supply::Streamed(ahead) => ahead,
        };
        let (batches, epochs, ordering, mixes) =
            (self.batches, self.epochs, self.ordering, self.mixing.is_some());
        let orders = &mut self.orders;
        let places = |number: usize| {
            let epoch = number / batches.count() + 1;
            (epoch <= epochs).then(|| {
                let (start, end) = batches.range(number % batches.count());
                let portion = Portion::new(world, end - start);
                let batch = &order_of(orders, ordering, epoch)[start..end];
                let own = portion.start..portion.start + portion.images;
                let mut places = batch[own.clone()].to_vec();
                if mixes {
                    places.extend(own.map(|place| batch[(place + batch.len() - 1) % batch.len()]));
                }
                places
            })
        };
        of_bytes(ahead.batch(number, places)?, self.shape, self.labels.device())
    }
}

/// The order of `epoch`, made where it is not among `orders` yet.
fn order_of(orders: &mut Vec<(usize, Vec<usize>)>, ordering: Ordering, epoch: usize) -> &[usize] {
    let place = orders.iter().position(|(known, _)| *known == epoch).unwrap_or_else(|| {
        orders.push((epoch, ordering.of_epoch(epoch)));
        orders.len() - 1
    });
    &orders[place].1
}
