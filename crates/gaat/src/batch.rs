//! Images on a device: from the bytes of an [`ImageSource`] to the float batches that networks take.

use crate::error::{Error, Result};
use gaat_data::{ImageShape, ImageSource, epoch_order};
use gaat_spec::{Selection, Subset};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Some images with their labels, ready for a network.
#[derive(Debug)]
pub struct Batch {
    /// `[N, C, H, W]`, floating point, in `[0, 1]`.
    pub pixels: Tensor,
    /// `[N]`, i64, in `0..classes`.
    pub labels: Tensor,
    /// What the losses of a training take for the labels, where those are soft.
    pub soft: Option<SoftLabels>,
}

/// Probabilities in place of classes.
#[derive(Debug)]
pub struct SoftLabels {
    /// `[N, classes]`, floating point; each row adds up to 1.
    pub probabilities: Tensor,
    /// Whether the loss that an attack climbs takes them too, and not the classes.
    pub in_attack: bool,
}

impl Batch {
    /// Images whose labels are classes.
    pub fn new(pixels: Tensor, labels: Tensor) -> Self {
        Self { pixels, labels, soft: None }
    }

    /// What the loss of a descent takes: classes, `[N]`, or probabilities, `[N, classes]`.
    pub fn targets(&self) -> &Tensor {
        self.soft.as_ref().map_or(&self.labels, |soft| &soft.probabilities)
    }

    /// What the loss that an attack climbs takes: classes, `[N]`, or probabilities, `[N, classes]`.
    pub fn attack_targets(&self) -> &Tensor {
        let soft = self.soft.as_ref().filter(|soft| soft.in_attack);
        soft.map_or(&self.labels, |soft| &soft.probabilities)
    }

    /// Whether descent and attack have the same loss.
    pub fn has_one_loss(&self) -> bool {
        self.soft.as_ref().is_none_or(|soft| soft.in_attack)
    }

    /// The images at `places` (`[M]`, i64) alone.
    ///
    /// # Errors
    /// When a place is out of range.
    pub fn select(&self, places: &Tensor) -> Result<Self> {
        let chosen = |tensor: &Tensor| tensor.f_index_select(0, places);
        let soft = self.soft.as_ref().map(|soft| -> Result<_> {
            Ok(SoftLabels { probabilities: chosen(&soft.probabilities)?, in_attack: soft.in_attack })
        });
        Ok(Self { pixels: chosen(&self.pixels)?, labels: chosen(&self.labels)?, soft: soft.transpose()? })
    }

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

/// Images that are looked at together.
const CHUNK: usize = 256;

/// Some images: on a device, as bytes or, where a program brought such, floating-point numbers; or read as bytes from their source
/// batch by batch where they do not lie in memory.
#[derive(Debug)]
pub struct Images<'a> {
    pixels: Pixels<'a>,
    labels: Tensor,
}

#[derive(Debug)]
enum Pixels<'a> {
    /// `[N, C, H, W]`.
    Resident(Tensor),
    /// Those of `source` at `places`.
    Streamed { source: Held<'a>, places: Vec<usize> },
}

/// A source, lent or shared.
#[derive(Debug)]
enum Held<'a> {
    Lent(&'a dyn ImageSource),
    Shared(Arc<dyn ImageSource>),
}

impl Held<'_> {
    fn source(&self) -> &dyn ImageSource {
        match self {
            Self::Lent(source) => *source,
            Self::Shared(source) => source.as_ref(),
        }
    }
}

impl<'a> Images<'a> {
    /// Images of a program where they are: `pixels` `[N, C, H, W]`, bytes in `0..=255` or floating-point numbers in `[0, 1]`;
    /// `labels` `[N]`, i64.
    ///
    /// # Errors
    /// When the shapes or dtypes are others.
    pub fn on_device(pixels: Tensor, labels: Tensor) -> Result<Self> {
        let (size, count) = (pixels.size(), labels.size());
        let is_number = pixels.kind() == Kind::Uint8 || pixels.is_floating_point();
        let fits = size.len() == 4 && count.len() == 1 && size[0] == count[0];
        if !fits || !is_number || labels.kind() != Kind::Int64 {
            let (pixels, labels) = (pixels.kind(), labels.kind());
            return Err(Error::Shape {
                what: "images".to_owned(),
                expected: "pixels [N, C, H, W], bytes or floating point, and labels [N], Int64".to_owned(),
                found: format!("pixels {size:?} of {pixels:?} and labels {count:?} of {labels:?}"),
            });
        }
        Ok(Self { pixels: Pixels::Resident(pixels), labels })
    }

    /// Those that `choice` takes, in their old order, where the images are.
    ///
    /// # Errors
    /// When an image cannot be read, or the device has no room.
    pub(crate) fn chosen(&self, choice: Choice) -> Result<Images<'static>> {
        let places = choice.places(self.len()).unwrap_or_else(|| (0..self.len()).collect());
        let (pixels, labels) = self.gather(&self.indices(&places)?)?;
        Ok(Images { pixels: Pixels::Resident(pixels), labels })
    }

    /// Tells these images from others, 64-bit FNV-1a over all numbers.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for (_, batch) in self.batches(CHUNK, Kind::Double) {
            let Batch { pixels, labels, .. } = batch?;
            for numbers in [pixels, labels] {
                let flat = numbers.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(0, -1)?;
                for number in Vec::<f64>::try_from(flat)? {
                    hash = (hash ^ number.to_bits()).wrapping_mul(0x0000_0100_0000_01B3);
                }
            }
        }
        Ok(format!("{hash:016x}"))
    }

    /// Copies `images` to `device` if they lie in memory.
    ///
    /// # Errors
    /// When an image cannot be read, or the device has no room.
    pub fn upload(images: &'a dyn ImageSource, device: Device) -> Result<Self> {
        Self::of(Held::Lent(images), (0..images.len()).collect(), device)
    }

    /// The same with those of `images` that `choice` takes, in their old order.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub fn upload_some(images: &'a dyn ImageSource, choice: Choice, device: Device) -> Result<Self> {
        let places = choice.places(images.len()).unwrap_or_else(|| (0..images.len()).collect());
        Self::of(Held::Lent(images), places, device)
    }

    /// The same with those of `images` at `places`, in that order.
    pub(crate) fn upload_shared(
        images: Arc<dyn ImageSource>,
        places: Vec<usize>,
        device: Device,
    ) -> Result<Images<'static>> {
        Images::of(Held::Shared(images), places, device)
    }

    fn of(held: Held<'a>, places: Vec<usize>, device: Device) -> Result<Self> {
        let source = held.source();
        let labels: Vec<i64> = places.iter().map(|&place| source.labels()[place]).collect();
        let labels = Tensor::f_from_slice(&labels)?.f_to_device(device)?;
        if !source.is_resident() {
            return Ok(Self { pixels: Pixels::Streamed { source: held, places }, labels });
        }
        let shape = source.shape();
        let pixels = Tensor::f_empty(size_of(shape, places.len()), (Kind::Uint8, device))?;
        // Some megabytes at a time, so that no second copy of all images ever lies in memory.
        let at_once = (AT_ONCE / shape.bytes().max(1)).max(1);
        for (index, places) in places.chunks(at_once).enumerate() {
            let some = read(source, places, Device::Cpu)?;
            pixels.f_narrow(0, (index * at_once) as i64, places.len() as i64)?.f_copy_(&some)?;
        }
        Ok(Self { pixels: Pixels::Resident(pixels), labels })
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
        let pixels = match &self.pixels {
            Pixels::Resident(pixels) => pixels.f_index_select(0, indices)?,
            Pixels::Streamed { source, places } => {
                let indices = Vec::<i64>::try_from(indices.f_to_device(Device::Cpu)?)?;
                let places: Vec<usize> = indices.iter().map(|&index| places[index as usize]).collect();
                read(source.source(), &places, self.labels.device())?
            }
        };
        Ok((pixels, self.labels.f_index_select(0, indices)?))
    }

    /// Images `start..end` as a batch of `kind`.
    ///
    /// # Errors
    /// When the range is out of bounds.
    pub fn range(&self, start: usize, end: usize, kind: Kind) -> Result<Batch> {
        let length = end.saturating_sub(start);
        let labels = self.labels.f_narrow(0, start as i64, length as i64)?;
        let bytes = match &self.pixels {
            Pixels::Resident(pixels) => pixels.f_narrow(0, start as i64, length as i64)?,
            Pixels::Streamed { source, places } => {
                read(source.source(), &places[start..start + length], labels.device())?
            }
        };
        Ok(Batch::new(to_unit(&bytes, kind)?, labels))
    }

    /// How many batches of `size` images (at least 1) hold all of them; the last may be smaller.
    pub fn batch_count(&self, size: usize) -> usize {
        self.len().div_ceil(size)
    }

    /// Batch `index` of [`batch_count`](Self::batch_count)`(size)`, counted from 0, of `kind`.
    ///
    /// # Errors
    /// When there is no such batch.
    pub fn batch(&self, index: usize, size: usize, kind: Kind) -> Result<Batch> {
        let start = index * size;
        self.range(start, (start + size).min(self.len()), kind)
    }

    /// All images in order, `size` at a time (at least 1), as batches of `kind` with their numbers from 0.
    pub fn batches(&self, size: usize, kind: Kind) -> impl Iterator<Item = (usize, Result<Batch>)> + '_ {
        (0..self.batch_count(size)).map(move |index| (index, self.batch(index, size, kind)))
    }
}

/// The pixels of `source` at `places`, `[N, C, H, W]`, u8, on `device`.
fn read(source: &dyn ImageSource, places: &[usize], device: Device) -> Result<Tensor> {
    let mut bytes = vec![0; places.len() * source.shape().bytes()];
    source.read(places, &mut bytes)?;
    of_bytes(&bytes, source.shape(), device)
}

/// `bytes` of whole images of `shape` as a tensor `[N, C, H, W]`, u8, on `device`.
///
/// # Errors
/// When the device has no room.
pub(crate) fn of_bytes(bytes: &[u8], shape: ImageShape, device: Device) -> Result<Tensor> {
    let size = size_of(shape, bytes.len() / shape.bytes().max(1));
    Ok(Tensor::f_from_data_size(bytes, &size, Kind::Uint8)?.f_to_device(device)?)
}

fn size_of(shape: ImageShape, count: usize) -> [i64; 4] {
    [count, shape.channels, shape.height, shape.width].map(|side| side as i64)
}

/// Bytes in `0..=255` as floating-point numbers in `[0, 1]`; numbers that are floating-point already stay what they are.
///
/// # Errors
/// When libtorch has no room.
pub fn to_unit(bytes: &Tensor, kind: Kind) -> Result<Tensor> {
    if bytes.is_floating_point() {
        return Ok(bytes.f_to_kind(kind)?);
    }
    // By division, as torchvision's ToTensor: multiplying by 1/255 rounds some values differently.
    let scale = Tensor::f_full([1], 255.0, (kind, bytes.device()))?;
    Ok(bytes.f_to_kind(kind)?.f_div_(&scale)?)
}
