//! Augmentation of training batches: random crop after zero padding, random horizontal flip; whole batches at once.

use crate::Result;
use crate::nn::Draws;
use gaat_spec::recipe::AugmentationSpec;
use tch::{Kind, Tensor};

/// Crops and flips batches of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Augmentation {
    spec: AugmentationSpec,
}

impl Augmentation {
    /// Augmentation as the recipe says.
    pub fn new(spec: AugmentationSpec) -> Self {
        Self { spec }
    }

    /// A changed copy of `pixels`, `[N, C, H, W]` bytes. Every offset in `0..=2 padding` and both directions are
    /// equally likely for each image.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn apply(&self, pixels: &Tensor, draws: &Draws) -> Result<Tensor> {
        let size = pixels.size();
        let (count, height, width) = (size[0], size[2], size[3]);
        let device = pixels.device();
        let padding = self.spec.crop_padding as i64;
        if padding == 0 && !self.spec.flip {
            return Ok(pixels.shallow_clone());
        }
        let offsets = |side: i64| -> Result<Tensor> {
            let steps = Tensor::f_arange(side, (Kind::Int64, device))?.f_view([1, side])?;
            let starts = if padding > 0 {
                draws.randint(&[count, 1], 0, 2 * padding + 1, device)?
            } else {
                Tensor::f_zeros([count, 1], (Kind::Int64, device))?
            };
            Ok(starts.f_add(&steps)?)
        };
        let rows = offsets(height)?;
        let mut columns = offsets(width)?;
        if self.spec.flip {
            let flipped = draws.randint(&[count, 1], 0, 2, device)?.f_to_kind(Kind::Bool)?;
            columns = columns.f_flip([1])?.f_where_self(&flipped, &columns)?;
        }
        gather(&pixels.f_constant_pad_nd([padding, padding, padding, padding])?, &rows, &columns)
    }
}

/// `out[n, c, i, j] = padded[n, c, rows[n, i], columns[n, j]]`.
fn gather(padded: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let size = padded.size();
    let (count, channels, width) = (size[0], size[1], size[3]);
    let (out_height, out_width) = (rows.size()[1], columns.size()[1]);
    let rows =
        rows.f_view([count, 1, out_height, 1])?.f_expand([count, channels, out_height, width], false)?;
    let columns = columns
        .f_view([count, 1, 1, out_width])?
        .f_expand([count, channels, out_height, out_width], false)?;
    Ok(padded.f_gather(2, &rows, false)?.f_gather(3, &columns, false)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Rng;
    use std::collections::HashSet;
    use tch::Device;

    fn bytes(tensor: &Tensor) -> Vec<u8> {
        Vec::<u8>::try_from(tensor.flatten(0, -1)).unwrap()
    }

    #[test]
    fn every_crop_and_flip_comes_out_of_the_padded_image_and_all_occur() {
        // One asymmetric 2x3 image, many copies; padding 1.
        let image = Tensor::arange_start(1, 7, (Kind::Uint8, Device::Cpu)).view([1, 1, 2, 3]);
        let padded = image.constant_pad_nd([1, 1, 1, 1]);
        let mut expected = HashSet::new();
        for row in 0..3 {
            for column in 0..3 {
                let crop = padded.narrow(2, row, 2).narrow(3, column, 3);
                expected.insert(bytes(&crop.contiguous()));
                expected.insert(bytes(&crop.flip([3]).contiguous()));
            }
        }
        let augmentation = Augmentation::new(AugmentationSpec { crop_padding: 1, flip: true });
        let many = image.repeat([600, 1, 1, 1]);
        let out = augmentation.apply(&many, &Rng::new(1).seeded("augment", 0)).unwrap();
        let seen: HashSet<Vec<u8>> = (0..600).map(|index| bytes(&out.get(index))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let image = Tensor::arange(24, (Kind::Uint8, Device::Cpu)).view([2, 3, 2, 2]);
        let out = Augmentation::new(AugmentationSpec::default())
            .apply(&image, &Rng::new(1).seeded("augment", 0))
            .unwrap();
        assert_eq!(bytes(&out), bytes(&image));
    }
}
