//! What a method remembers of each training image: perturbations and single numbers.
//!
//! An image memory lies in the frame of the images as stored; a [`Placement`] carries it to the augmented view and back.

use super::{Placement, Setting};
use crate::{Error, Result};
use tch::{Kind, Tensor};

/// Steps on either side of 0 in a quantised memory: code 127 is 0, codes 0 and 254 are the two ends.
const LEVELS: f64 = 127.0;

/// One perturbation, or something else of an image's shape, for every training image.
#[derive(Debug)]
pub struct ImageMemory {
    values: Tensor,
    /// Bound of every number, where they are quantised.
    bound: Option<f64>,
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
        Ok(Self { values, bound: Some(bound) })
    }

    /// Zeros in bf16, of any size and within 0.4 %. Takes two bytes a pixel and channel.
    ///
    /// # Errors
    /// As [`quantized`](Self::quantized).
    pub fn half(setting: &Setting) -> Result<Self> {
        check_views(setting)?;
        let values = Tensor::f_zeros(setting.memory_size(), (Kind::BFloat16, setting.device))?;
        Ok(Self { values, bound: None })
    }

    /// What is remembered of the images at `indices` (`[N]`, i64), `[N, C, H, W]` of `kind`, in the images' own frame.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn read(&self, indices: &Tensor, kind: Kind) -> Result<Tensor> {
        let values = self.values.f_index_select(0, indices)?.f_to_kind(kind)?;
        Ok(match self.bound {
            Some(bound) => (values - LEVELS) * (bound / LEVELS),
            None => values,
        })
    }

    /// Remembers `values` (`[N, C, H, W]`) of the images at `indices`; beyond the bound they are cut.
    ///
    /// # Errors
    /// When an index is out of range or the shapes differ.
    pub fn write(&mut self, indices: &Tensor, values: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let values = match self.bound {
            Some(bound) => (values * (LEVELS / bound) + LEVELS).round().clamp(0.0, 2.0 * LEVELS),
            None => values.shallow_clone(),
        };
        let _ = self.values.f_index_copy_(0, indices, &values.f_to_kind(self.values.kind())?)?;
        Ok(())
    }

    /// As [`read`](Self::read), in the frame of the augmented view.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_view(&self, indices: &Tensor, placement: &Placement, kind: Kind) -> Result<Tensor> {
        placement.forward(&self.read(indices, kind)?)
    }

    /// As [`write`](Self::write), from the frame of the augmented view. What the view does not show stays.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_view(&mut self, indices: &Tensor, placement: &Placement, view: &Tensor) -> Result<()> {
        let before = self.read(indices, view.kind())?;
        self.write(indices, &placement.back(view, &before)?)
    }

    /// The stored tensor, for checkpoints; it shares storage with the memory.
    pub fn tensor(&self) -> Tensor {
        self.values.shallow_clone()
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

/// One f32 number for every training image.
#[derive(Debug)]
pub struct ScalarMemory {
    values: Tensor,
}

impl ScalarMemory {
    /// `value` for every image.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn full(setting: &Setting, value: f64) -> Result<Self> {
        let values = Tensor::f_full([setting.images as i64], value, (Kind::Float, setting.device))?;
        Ok(Self { values })
    }

    /// The numbers of the images at `indices`, `[N]`, f32.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn read(&self, indices: &Tensor) -> Result<Tensor> {
        Ok(self.values.f_index_select(0, indices)?)
    }

    /// Remembers `values` (`[N]`) of the images at `indices`.
    ///
    /// # Errors
    /// When an index is out of range or the lengths differ.
    pub fn write(&mut self, indices: &Tensor, values: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let _ = self.values.f_index_copy_(0, indices, &values.f_to_kind(Kind::Float)?)?;
        Ok(())
    }

    /// The stored tensor, for checkpoints; it shares storage with the memory.
    pub fn tensor(&self) -> Tensor {
        self.values.shallow_clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{InputShape, Rng};
    use crate::train::Augmentation;
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
            memory.write(&indices, &values).unwrap();
            let read = memory.read(&indices, Kind::Double).unwrap();
            assert!(gap(&read, &values) <= error, "{memory:?}");
            assert_eq!(gap(&read.get(0).get(0).get(0).narrow(0, 0, 3), &ends), 0.0);
            assert_eq!(memory.read(&others, Kind::Double).unwrap().abs().max().double_value(&[]), 0.0);
            // Written again as read, nothing drifts.
            memory.write(&indices, &read).unwrap();
            assert_eq!(gap(&memory.read(&indices, Kind::Double).unwrap(), &read), 0.0);
        }
        let mut memory = ImageMemory::quantized(&setting(), 0.25).unwrap();
        memory.write(&indices, &(values * 100.0)).unwrap();
        assert!(memory.read(&indices, Kind::Double).unwrap().abs().max().double_value(&[]) <= 0.25);
        let mut scalars = ScalarMemory::full(&setting(), 1.5).unwrap();
        scalars.write(&indices, &Tensor::from_slice(&[7f64, 8.0])).unwrap();
        assert_eq!(Vec::<f32>::try_from(scalars.tensor()).unwrap(), [1.5, 8.0, 1.5, 1.5, 7.0, 1.5]);
        assert_eq!(Vec::<f32>::try_from(scalars.read(&indices).unwrap()).unwrap(), [7.0, 8.0]);
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
        memory.write_view(&indices, &first, &view).unwrap();
        for step in 1..20 {
            let second = place(step);
            let (remembered, content) = (
                memory.read_view(&indices, &second, Kind::Double).unwrap(),
                second.forward(&images).unwrap(),
            );
            // What the first view did not show is 0; the rest lies on its own content.
            let shown = remembered.not_equal(0.0);
            assert!(shown.sum(Kind::Int64).int64_value(&[]) > 20);
            assert_eq!(gap(&remembered, &(content * shown)), 0.0, "step {step}");
        }
    }
}
