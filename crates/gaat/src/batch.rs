//! Images on a device: from the bytes of an [`ImageSource`] to the float batches that networks take.

use crate::Result;
use gaat_data::{ImageSource, epoch_order};
use gaat_spec::{Selection, Subset};
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

/// Which images of a set are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// At most so many.
    pub limit: usize,
    /// How they are chosen.
    pub selection: Selection,
    /// What fixes the choice, where it is by seed.
    pub seed: u64,
}

impl Choice {
    /// Places of the images in a set of `count`, rising; `None` where all are taken.
    pub fn places(&self, count: usize) -> Option<Vec<usize>> {
        if self.limit >= count {
            return None;
        }
        Some(match self.selection {
            Selection::First => (0..self.limit).collect(),
            Selection::Seeded => {
                let mut order = epoch_order(self.seed, 0, count);
                order.truncate(self.limit);
                order.sort_unstable();
                order
            }
        })
    }

    /// What a verdict says of the choice out of a set of `count`; `None` where all are taken.
    pub fn subset(&self, count: usize) -> Option<Subset> {
        let Self { limit, selection, seed } = *self;
        let seed = (selection == Selection::Seeded).then_some(seed);
        (limit < count).then_some(Subset { selection, images: limit, of: count, seed })
    }
}

/// Bytes of pixels that go to the device at once.
const AT_ONCE: usize = 16 << 20;

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
    /// When an image cannot be read, or the device has no room.
    pub fn upload(images: &dyn ImageSource, device: Device) -> Result<Self> {
        let places: Vec<usize> = (0..images.len()).collect();
        Self::upload_places(images, &places, device)
    }

    /// Copies those of `images` that `choice` takes to `device`, in their old order.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub fn upload_some(images: &dyn ImageSource, choice: Choice, device: Device) -> Result<Self> {
        match choice.places(images.len()) {
            Some(places) => Self::upload_places(images, &places, device),
            None => Self::upload(images, device),
        }
    }

    /// Copies those of `images` at `places` to `device`, in that order.
    pub(crate) fn upload_places(images: &dyn ImageSource, places: &[usize], device: Device) -> Result<Self> {
        let shape = images.shape();
        let size = |count: usize| [count, shape.channels, shape.height, shape.width].map(|side| side as i64);
        let pixels = Tensor::f_empty(size(places.len()), (Kind::Uint8, device))?;
        // Some megabytes at a time, so that no second copy of all images ever lies in memory.
        let at_once = (AT_ONCE / shape.bytes().max(1)).max(1);
        let mut bytes = Vec::new();
        for (index, places) in places.chunks(at_once).enumerate() {
            bytes.resize(places.len() * shape.bytes(), 0);
            images.read(places, &mut bytes)?;
            let some = Tensor::f_from_data_size(&bytes, &size(places.len()), Kind::Uint8)?;
            pixels.f_narrow(0, (index * at_once) as i64, places.len() as i64)?.f_copy_(&some)?;
        }
        let labels: Vec<i64> = places.iter().map(|&place| images.labels()[place]).collect();
        Ok(Self { pixels, labels: Tensor::f_from_slice(&labels)?.f_to_device(device)? })
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
