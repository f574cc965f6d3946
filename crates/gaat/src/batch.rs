//! Images on a device: from the bytes of an [`ImageSet`] to the float batches that networks take.

use crate::Result;
use gaat_data::{ImageSet, epoch_order};
use tch::{Device, Kind, Tensor};

/// Some images with their labels, ready for a network.
#[derive(Debug)]
pub struct Batch {
    /// `[N, C, H, W]`, floating point, in `[0, 1]`.
    pub pixels: Tensor,
    /// `[N]`, i64, in `0..classes`.
    pub labels: Tensor,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.size().first().copied().unwrap_or(0) as usize
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A whole image set on a device, as bytes.
#[derive(Debug)]
pub struct Images {
    pixels: Tensor,
    labels: Tensor,
}

impl Images {
    /// Copies `images` to `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn upload(images: &ImageSet, device: Device) -> Result<Self> {
        let shape = images.shape();
        let size = [images.len() as i64, shape.channels as i64, shape.height as i64, shape.width as i64];
        let pixels = Tensor::f_from_data_size(images.pixels(), &size, Kind::Uint8)?.f_to_device(device)?;
        let labels = Tensor::f_from_slice(images.labels())?.f_to_device(device)?;
        Ok(Self { pixels, labels })
    }

    /// Copies at most `limit` of `images` to `device`: a subset fixed by `seed`, in its old order.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn upload_some(images: &ImageSet, limit: usize, seed: u64, device: Device) -> Result<Self> {
        if limit >= images.len() {
            return Self::upload(images, device);
        }
        let mut order = epoch_order(seed, 0, images.len());
        order.truncate(limit);
        order.sort_unstable();
        Self::upload(&images.select(&order), device)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.size().first().copied().unwrap_or(0) as usize
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of each image.
    ///
    /// # Errors
    /// When libtorch cannot copy them.
    pub fn classes(&self) -> Result<Vec<usize>> {
        let labels = Vec::<i64>::try_from(self.labels.f_to_device(Device::Cpu)?)?;
        Ok(labels.into_iter().map(|label| label as usize).collect())
    }

    /// `indices` as a tensor where the images lie, `[N]`, i64.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn indices(&self, indices: &[usize]) -> Result<Tensor> {
        let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
        Ok(Tensor::f_from_slice(&indices)?.f_to_device(self.labels.device())?)
    }

    /// The images at `indices` (`[N]`, i64) as bytes `[N, C, H, W]` in `0..=255`, with their labels.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn gather(&self, indices: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.pixels.f_index_select(0, indices)?, self.labels.f_index_select(0, indices)?))
    }

    /// Images `start..end` as a batch of `kind`.
    ///
    /// # Errors
    /// When the range is out of bounds.
    pub fn range(&self, start: usize, end: usize, kind: Kind) -> Result<Batch> {
        let (start, length) = (start as i64, end.saturating_sub(start) as i64);
        let pixels = to_unit(&self.pixels.f_narrow(0, start, length)?, kind)?;
        Ok(Batch { pixels, labels: self.labels.f_narrow(0, start, length)? })
    }

    /// All images in order, `size` at a time (at least 1), as batches of `kind` with their numbers from 0.
    pub fn batches(&self, size: usize, kind: Kind) -> impl Iterator<Item = (usize, Result<Batch>)> + '_ {
        let count = self.len();
        let starts = (0..count).step_by(size).enumerate();
        starts.map(move |(index, start)| (index, self.range(start, (start + size).min(count), kind)))
    }
}

/// Bytes in `0..=255` as floating-point numbers in `[0, 1]`.
///
/// # Errors
/// When libtorch has no room.
pub fn to_unit(bytes: &Tensor, kind: Kind) -> Result<Tensor> {
    // By division, as torchvision's ToTensor: multiplying by 1/255 rounds some values differently.
    let scale = Tensor::f_full([1], 255.0, (kind, bytes.device()))?;
    Ok(bytes.f_to_kind(kind)?.f_div_(&scale)?)
}
