//! What a method remembers of each training image: a perturbation, or something else of its shape.
//!
//! An image memory lies in the frame of the images as stored; a [`Placement`] carries it to the augmented view and back.

use super::augment::Placement;
use super::portion::Portion;
use super::step::Setting;
use crate::error::{Error, Result};
use crate::world::{Alone, World};
use tch::{Kind, Tensor};

/// Steps on either side of 0 in a quantised memory: code 127 is 0, codes 0 and 254 are the two ends.
const LEVELS: f64 = 127.0;

/// A batch as those who compute it together see it. Each remembers the images whose index leaves its rank when it is divided by the
/// number of processes; what others remember or compute travels, once a call.
#[derive(Clone, Copy)]
pub struct Members<'a> {
    pub(super) world: &'a dyn World,
    pub(super) portion: Portion,
    /// Indices of the whole batch, `[N]`, i64.
    pub(super) indices: &'a Tensor,
}

impl<'a> Members<'a> {
    /// A process alone with the images at `indices`, `[N]`, i64.
    pub fn alone(indices: &'a Tensor) -> Self {
        let images = indices.size().first().map_or(0, |images| *images as usize);
        Self { world: &Alone, portion: Portion { start: 0, images, of: images }, indices }
    }

    /// Places in the batch of the images that are remembered here, and where they lie in this part of the memory, `[M]`, i64.
    fn own(&self) -> Result<(Tensor, Tensor)> {
        let (rank, size) = (self.world.rank() as i64, self.world.size() as i64);
        let places = self.indices.f_remainder(size)?.f_eq(rank)?.f_nonzero()?.f_squeeze_dim(1)?;
        let rows = self.indices.f_index_select(0, &places)?.f_floor_divide_scalar(size)?;
        Ok((places, rows))
    }

    /// The rows of `values`, a part of a memory, that belong to the images computed here.
    fn read(&self, values: &Tensor) -> Result<Tensor> {
        if self.world.size() == 1 {
            return Ok(values.f_index_select(0, self.indices)?);
        }
        let (places, rows) = self.own()?;
        let mut batch = self.batch(values)?;
        let _ = batch.f_index_copy_(0, &places, &values.f_index_select(0, &rows)?)?;
        self.world.sum(&[batch.shallow_clone()])?;
        self.portion.cut(&batch)
    }

    /// Puts `rows`, of the images computed here, where they belong in `values`, the part of a memory that is here.
    fn write(&self, values: &mut Tensor, own: &Tensor) -> Result<()> {
        if self.world.size() == 1 {
            let _ = values.f_index_copy_(0, self.indices, own)?;
            return Ok(());
        }
        let batch = self.batch(values)?;
        self.portion.cut(&batch)?.f_copy_(own)?;
        self.world.sum(&[batch.shallow_clone()])?;
        let (places, rows) = self.own()?;
        let _ = values.f_index_copy_(0, &rows, &batch.f_index_select(0, &places)?)?;
        Ok(())
    }

    /// Zeros for each image of the batch, of the shape and dtype of a row of `values`.
    fn batch(&self, values: &Tensor) -> Result<Tensor> {
        let mut size = values.size();
        size[0] = self.portion.of as i64;
        Ok(Tensor::f_zeros(size, (values.kind(), values.device()))?)
    }
}

/// One perturbation, or something else of an image's shape, for every training image: of several processes each holds a part.
#[derive(Debug)]
pub struct ImageMemory {
    values: Tensor,
    /// Bound of every number, where they are quantised.
    bound: Option<f64>,
    /// Images of all parts.
    images: i64,
    /// Which part this is, and of how many.
    part: (i64, i64),
}

impl ImageMemory {
    /// Zeros, quantised to 255 even steps over `[-bound, bound]`: 0 and both ends are exact, the rest within
    /// `bound / 254`. Takes one byte a pixel and channel: 154 MB for CIFAR-10.
    ///
    /// # Errors
    /// When the device has no room, or views are cropped or resized.
    pub fn quantized(setting: &Setting, bound: f64) -> Result<Self> {
        check_views(setting)?;
        let values = Tensor::f_full(setting.memory_size(), LEVELS, (Kind::Uint8, setting.device))?;
        Ok(Self::whole(values, Some(bound)))
    }

    /// Zeros in bf16, of any size and within 0.4 %. Takes two bytes a pixel and channel.
    ///
    /// # Errors
    /// As [`quantized`](Self::quantized).
    pub fn half(setting: &Setting) -> Result<Self> {
        check_views(setting)?;
        let values = Tensor::f_zeros(setting.memory_size(), (Kind::BFloat16, setting.device))?;
        Ok(Self::whole(values, None))
    }

    fn whole(values: Tensor, bound: Option<f64>) -> Self {
        let images = values.size()[0];
        Self { values, bound, images, part: (0, 1) }
    }

    /// Keeps the part of this process of `world` alone, before anything is remembered.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn divide(&mut self, world: &dyn World) -> Result<()> {
        self.part = (world.rank() as i64, world.size() as i64);
        // A copy, so that the rest is freed.
        self.values = self.own_rows(&self.values)?.f_contiguous()?.f_alias_copy()?;
        Ok(())
    }

    /// Rows of this part in `whole`, a row for each image.
    fn own_rows(&self, whole: &Tensor) -> Result<Tensor> {
        let (rank, size) = self.part;
        Ok(whole.f_slice(0, rank, whole.size()[0], size)?)
    }

    /// What is remembered of the images that `members` compute here, `[N, C, H, W]` of `kind`, in the images' own frame.
    ///
    /// # Errors
    /// When an index is out of range, or one of the others cannot be reached.
    pub fn read(&self, members: Members<'_>, kind: Kind) -> Result<Tensor> {
        let values = members.read(&self.values)?.f_to_kind(kind)?;
        Ok(match self.bound {
            Some(bound) => (values - LEVELS) * (bound / LEVELS),
            None => values,
        })
    }

    /// Remembers `values` (`[N, C, H, W]`) of the images that `members` compute here; beyond the bound they are cut.
    ///
    /// # Errors
    /// When an index is out of range, the shapes differ, or one of the others cannot be reached.
    pub fn write(&mut self, members: Members<'_>, values: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let values = match self.bound {
            Some(bound) => (values * (LEVELS / bound) + LEVELS).round().clamp(0.0, 2.0 * LEVELS),
            None => values.shallow_clone(),
        };
        let kind = self.values.kind();
        members.write(&mut self.values, &values.f_to_kind(kind)?)
    }

    /// As [`read`](Self::read), in the frame of the augmented view.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_view(&self, members: Members<'_>, placement: &Placement, kind: Kind) -> Result<Tensor> {
        placement.forward(&self.read(members, kind)?)
    }

    /// As [`write`](Self::write), from the frame of the augmented view. What the view does not show stays.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_view(&mut self, members: Members<'_>, placement: &Placement, view: &Tensor) -> Result<()> {
        let before = self.read(members, view.kind())?;
        self.write(members, &placement.back(view, &before)?)
    }

    /// The part that is stored here; it shares storage with the memory.
    pub fn tensor(&self) -> Tensor {
        self.values.shallow_clone()
    }

    /// All parts of `world` together, in the order of the images, for checkpoints.
    ///
    /// # Errors
    /// When one of the others cannot be reached.
    pub fn gather(&self, world: &dyn World) -> Result<Tensor> {
        if self.part.1 == 1 {
            return Ok(self.tensor());
        }
        let mut size = self.values.size();
        size[0] = self.images;
        let whole = Tensor::f_zeros(size, (self.values.kind(), self.values.device()))?;
        self.own_rows(&whole)?.f_copy_(&self.values)?;
        world.sum(&[whole.shallow_clone()])?;
        Ok(whole)
    }

    /// The part of this memory of the tensor `name` of `state`, which [`gather`](Self::gather) gave.
    ///
    /// # Errors
    /// When the tensor is missing or is one of another number of images.
    pub fn part_of(&self, name: &str, state: &[(String, Tensor)]) -> Result<(String, Tensor)> {
        let found = state.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
        let found = found.ok_or_else(|| Error::Usage(format!("method memory `{name}` is missing")))?;
        if found.size().first() != Some(&self.images) {
            return Err(Error::Shape {
                what: format!("method memory `{name}`"),
                expected: format!("{} images", self.images),
                found: format!("{:?}", found.size()),
            });
        }
        Ok((name.to_owned(), self.own_rows(found)?))
    }
}

/// Refuses views that show another part of an image than the whole, or in another size.
fn check_views(setting: &Setting) -> Result<()> {
    if setting.are_views_whole {
        return Ok(());
    }
    Err(Error::Usage(
        "the method remembers each image pixel by pixel, which a crop (crop, random-resized-crop) does not allow: leave the crop out, or \
         train by a method without a memory of images"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{InputShape, Rng};
    use crate::train::augment::Augmentation;
    use gaat_spec::recipe::AugmentationSpec;
    use gaat_spec::{Norm, PixelLength, ThreatModel};
    use tch::Device;

    fn setting() -> Setting {
        Setting {
            least_loss: 0.0,
            classes: 10,
            threat: ThreatModel::new(Norm::Linf, PixelLength::new(0.25).unwrap()).unwrap(),
            images: 6,
            batch_size: 3,
            shape: InputShape { channels: 2, height: 4, width: 5 },
            are_views_whole: true,
            device: Device::Cpu,
            kind: Kind::Double,
        }
    }

    fn gap(left: &Tensor, right: &Tensor) -> f64 {
        (left - right).abs().max().double_value(&[])
    }

    #[test]
    fn what_was_written_is_read_and_the_rest_stays() {
        let draws = Rng::new(3).seeded("memory", 0);
        let values = draws.uniform(&[2, 2, 4, 5], -0.25, 0.25, Kind::Double, Device::Cpu).unwrap();
        let ends = Tensor::from_slice(&[-0.25, 0.0, 0.25]);
        values.get(0).get(0).get(0).narrow(0, 0, 3).copy_(&ends);
        let indices = Tensor::from_slice(&[4i64, 1]);
        let others = Tensor::from_slice(&[0i64, 2, 3, 5]);
        for (mut memory, error) in [
            (ImageMemory::quantized(&setting(), 0.25).unwrap(), 0.25 / 253.0),
            (ImageMemory::half(&setting()).unwrap(), 0.25 / 256.0),
        ] {
            memory.write(Members::alone(&indices), &values).unwrap();
            let read = memory.read(Members::alone(&indices), Kind::Double).unwrap();
            assert!(gap(&read, &values) <= error, "{memory:?}");
            assert_eq!(gap(&read.get(0).get(0).get(0).narrow(0, 0, 3), &ends), 0.0);
            assert_eq!(
                memory.read(Members::alone(&others), Kind::Double).unwrap().abs().max().double_value(&[]),
                0.0
            );
            // Written again as read, nothing drifts.
            memory.write(Members::alone(&indices), &read).unwrap();
            assert_eq!(gap(&memory.read(Members::alone(&indices), Kind::Double).unwrap(), &read), 0.0);
        }
        let mut memory = ImageMemory::quantized(&setting(), 0.25).unwrap();
        memory.write(Members::alone(&indices), &(values * 100.0)).unwrap();
        assert!(
            memory.read(Members::alone(&indices), Kind::Double).unwrap().abs().max().double_value(&[])
                <= 0.25
        );
    }

    #[test]
    fn a_perturbation_stays_on_the_image_content_through_two_views() {
        let mut memory = ImageMemory::half(&setting()).unwrap();
        let indices = Tensor::from_slice(&[5i64, 0, 2]);
        let augmentation = Augmentation::new(AugmentationSpec {
            crop_padding: 1,
            flip: true,
            ..AugmentationSpec::default()
        });
        // Each pixel's value is its own label, so that content can be recognised; 0 is padding.
        let images = Tensor::arange_start(1, 121, (Kind::Double, Device::Cpu)).view([3, 2, 4, 5]);
        let place = |step| {
            augmentation.plan(&[3, 2, 4, 5], Device::Cpu, &Rng::new(1).seeded("augment", step)).unwrap()
        };
        let first = place(0);
        let view = first.forward(&images).unwrap();
        memory.write_view(Members::alone(&indices), &first, &view).unwrap();
        for step in 1..20 {
            let second = place(step);
            let (remembered, content) = (
                memory.read_view(Members::alone(&indices), &second, Kind::Double).unwrap(),
                second.forward(&images).unwrap(),
            );
            // What the first view did not show is 0; the rest lies on its own content.
            let shown = remembered.not_equal(0.0);
            assert!(shown.sum(Kind::Int64).int64_value(&[]) > 20);
            assert_eq!(gap(&remembered, &(content * shown)), 0.0, "step {step}");
        }
    }
}
