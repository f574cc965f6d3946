//! Augmentation of training batches: random crop after zero padding, random horizontal flip; whole batches at once.

use crate::Result;
use crate::nn::Draws;
use gaat_spec::recipe::AugmentationSpec;
use tch::{Device, Kind, Tensor};

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

    /// Where each image of a batch of `size` (`[N, C, H, W]`) on `device` goes. Every offset in `0..=2 padding` and both
    /// directions are equally likely for each image.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn plan(&self, size: &[i64], device: Device, draws: &Draws) -> Result<Placement> {
        let (count, height, width) = (size[0], size[2], size[3]);
        let padding = self.spec.crop_padding as i64;
        if padding == 0 && !self.spec.flip {
            return Ok(Placement { moves: None });
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
        Ok(Placement { moves: Some(Moves { padding, rows, columns }) })
    }
}

/// Where the images of one batch were moved: the way from the frame of the images to the augmented view, and back.
#[derive(Debug)]
pub struct Placement {
    /// `None` leaves everything where it is.
    moves: Option<Moves>,
}

/// Rows (`[N, H]`) and columns (`[N, W]`) of the zero-padded image that the view shows.
#[derive(Debug)]
struct Moves {
    padding: i64,
    rows: Tensor,
    columns: Tensor,
}

impl Placement {
    /// Nothing moves.
    pub fn identity() -> Self {
        Self { moves: None }
    }

    /// The view of `images` (`[N, C, H, W]`, any dtype), zero outside them.
    ///
    /// # Errors
    /// When the batch is another one, or libtorch cannot allocate.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let Some(moves) = &self.moves else { return Ok(images.shallow_clone()) };
        gather(&moves.pad(images)?, &moves.rows, &moves.columns)
    }

    /// `images` with what the view shows of them replaced by `view` (both `[N, C, H, W]`): undoes
    /// [`forward`](Self::forward) where the view shows the image, and leaves the rest.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn back(&self, view: &Tensor, images: &Tensor) -> Result<Tensor> {
        let Some(moves) = &self.moves else { return Ok(view.shallow_clone()) };
        let padded = moves.pad(images)?;
        let size = padded.size();
        let (count, channels, height, width) = (size[0], size[1], view.size()[2], view.size()[3]);
        let rows =
            moves.rows.f_view([count, 1, height, 1])?.f_expand([count, channels, height, size[3]], false)?;
        let columns =
            moves.columns.f_view([count, 1, 1, width])?.f_expand([count, channels, height, width], false)?;
        // Rows and columns are each distinct within an image, so that no place is written twice.
        let shown = padded.f_gather(2, &rows, false)?.f_scatter(3, &columns, view)?;
        let padded = padded.f_scatter(2, &rows, &shown)?;
        Ok(padded.f_narrow(2, moves.padding, height)?.f_narrow(3, moves.padding, width)?.f_contiguous()?)
    }
}

impl Moves {
    fn pad(&self, images: &Tensor) -> Result<Tensor> {
        let padding = self.padding;
        Ok(images.f_constant_pad_nd([padding, padding, padding, padding])?)
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
        let draws = Rng::new(1).seeded("augment", 0);
        let out = augmentation.plan(&many.size(), Device::Cpu, &draws).unwrap().forward(&many).unwrap();
        let seen: HashSet<Vec<u8>> = (0..600).map(|index| bytes(&out.get(index))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let image = Tensor::arange(24, (Kind::Uint8, Device::Cpu)).view([2, 3, 2, 2]);
        let draws = Rng::new(1).seeded("augment", 0);
        let still = Augmentation::new(AugmentationSpec::default());
        let placement = still.plan(&image.size(), Device::Cpu, &draws).unwrap();
        assert_eq!(bytes(&placement.forward(&image).unwrap()), bytes(&image));
        assert_eq!(bytes(&placement.back(&image, &image.zeros_like()).unwrap()), bytes(&image));
    }

    #[test]
    fn the_way_back_undoes_the_way_there_and_leaves_what_is_not_shown() {
        let size = [40, 2, 5, 6];
        let images = Tensor::arange_start(1, 1 + 40 * 60, (Kind::Float, Device::Cpu)).view(size);
        for (crop_padding, flip) in [(2, true), (3, false), (0, true)] {
            let augmentation = Augmentation::new(AugmentationSpec { crop_padding, flip });
            let draws = Rng::new(1).seeded("augment", 0);
            let placement = augmentation.plan(&size, Device::Cpu, &draws).unwrap();
            let view = placement.forward(&images).unwrap();
            assert_eq!(placement.back(&view, &images).unwrap(), images, "the identity where visible");
            // Marks of another view of the same size: in the image they stand where its content stood.
            let marked = placement.back(&(&view + 1e5), &(&images * -1.0)).unwrap();
            let seen = marked.gt(0.0);
            assert_eq!(marked.masked_select(&seen), images.masked_select(&seen) + 1e5);
            assert_eq!(
                marked.masked_select(&seen.logical_not()),
                images.masked_select(&seen.logical_not()) * -1.0
            );
            let shown = view.gt(0.0).sum(Kind::Int64).int64_value(&[]);
            assert_eq!(seen.sum(Kind::Int64).int64_value(&[]), shown, "every shown pixel and no other");
            assert_eq!(shown < 40 * 60, crop_padding > 0);
        }
    }
}
