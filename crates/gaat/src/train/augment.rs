//! Augmentation of training batches: random crop after zero padding, random crop of another proportion and size, random horizontal
//! flip, random colours; whole batches at once.

use super::resampling;
use crate::error::{Error, Result};
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

    /// Side of the square of each image that is to be black; 0 for none.
    pub fn cutout(&self) -> usize {
        self.spec.cutout
    }

    /// Where each image of a batch of `size` (`[N, C, H, W]`) on `device` goes. Every offset at which the crop fits, after padding,
    /// and both directions are equally likely for each image.
    ///
    /// # Errors
    /// When the crop is larger than the padded images, or libtorch cannot allocate.
    pub fn plan(&self, size: &[i64], device: Device, draws: &Draws) -> Result<Placement> {
        let (count, height, width) = (size[0], size[2], size[3]);
        let AugmentationSpec { crop_padding, flip, crop, random_resized_crop, .. } = self.spec;
        let view = crop.map_or((height, width), |crop| (crop.height as i64, crop.width as i64));
        if random_resized_crop > 0.0 {
            let grid = resampling::grid(size, view, random_resized_crop, flip, device, draws)?;
            return Ok(Placement(Way::Resampled(grid)));
        }
        let padding = crop_padding as i64;
        if padding == 0 && !flip && view == (height, width) {
            return Ok(Placement(Way::Still));
        }
        let offsets = |side: i64, shown: i64| -> Result<Tensor> {
            let steps = Tensor::f_arange(shown, (Kind::Int64, device))?.f_view([1, shown])?;
            let room = side + 2 * padding - shown;
            if room < 0 {
                return Err(Error::Usage(format!(
                    "a crop of {shown} pixels of images of {side}: it has to fit"
                )));
            }
            let starts = if room > 0 {
                draws.randint(&[count, 1], 0, room + 1, device)?
            } else {
                Tensor::f_zeros([count, 1], (Kind::Int64, device))?
            };
            Ok(starts.f_add(&steps)?)
        };
        let rows = offsets(height, view.0)?;
        let mut columns = offsets(width, view.1)?;
        if flip {
            let flipped = draws.randint(&[count, 1], 0, 2, device)?.f_to_kind(Kind::Bool)?;
            columns = columns.f_flip([1])?.f_where_self(&flipped, &columns)?;
        }
        Ok(Placement(Way::Moved(Moves { padding, rows, columns })))
    }

    /// `pixels` (`[N, C, H, W]` in `[0, 1]`) with brightness, contrast and saturation moved, each image by its own factors from
    /// `1 - s` to `1 + s`, in this order (torchvision's `ColorJitter` draws the order too).
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn colour(&self, pixels: Tensor, draws: &Draws) -> Result<Tensor> {
        let strength = self.spec.colour_jitter;
        if strength == 0.0 {
            return Ok(pixels);
        }
        let (count, channels) = (pixels.size()[0], pixels.size()[1]);
        let factor = || {
            let shape = [count, 1, 1, 1];
            draws.uniform(&shape, 1.0 - strength, 1.0 + strength, pixels.kind(), pixels.device())
        };
        // Of the light that the eye sees (ITU-R BT.601).
        let grey = |pixels: &Tensor| -> Result<Tensor> {
            if channels != 3 {
                return Ok(pixels.shallow_clone());
            }
            let weights = Tensor::f_from_slice(&[0.299, 0.587, 0.114])?;
            let weights =
                weights.f_to_kind(pixels.kind())?.f_to_device(pixels.device())?.f_view([1, 3, 1, 1])?;
            Ok((pixels * weights).f_sum_dim_intlist([1i64].as_slice(), true, None::<Kind>)?)
        };
        let moved = (&pixels * factor()?).f_clamp(0.0, 1.0)?;
        let middle = grey(&moved)?.f_mean_dim(Some([1i64, 2, 3].as_slice()), true, None::<Kind>)?;
        let mut moved = ((moved - &middle) * factor()? + middle).f_clamp(0.0, 1.0)?;
        if channels == 3 {
            let middle = grey(&moved)?;
            moved = ((moved - &middle) * factor()? + middle).f_clamp(0.0, 1.0)?;
        }
        Ok(moved)
    }
}

/// Where the images of one batch were moved: the way from the frame of the images to the augmented view, and back.
#[derive(Debug)]
pub struct Placement(Way);

#[derive(Debug)]
enum Way {
    /// Everything is where it was.
    Still,
    Moved(Moves),
    /// Points of the images between which the view's pixels are interpolated, `[N, h, w, 2]`, from -1 to 1.
    Resampled(Tensor),
}

/// Rows (`[N, h]`) and columns (`[N, w]`) of the zero-padded image that the view shows.
#[derive(Debug)]
struct Moves {
    padding: i64,
    rows: Tensor,
    columns: Tensor,
}

impl Placement {
    /// Nothing moves.
    pub fn identity() -> Self {
        Self(Way::Still)
    }

    /// The view of `images` (`[N, C, H, W]`, any dtype), zero outside them.
    ///
    /// # Errors
    /// When the batch is another one, or libtorch cannot allocate.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Way::Still => Ok(images.shallow_clone()),
            Way::Moved(moves) => gather(&moves.pad(images)?, &moves.rows, &moves.columns),
            Way::Resampled(grid) => resampling::resampled(images, grid),
        }
    }

    /// `images` with what the view shows of them replaced by `view` (both `[N, C, H, W]`): undoes
    /// [`forward`](Self::forward) where the view shows the image, and leaves the rest.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn back(&self, view: &Tensor, images: &Tensor) -> Result<Tensor> {
        let moves = match &self.0 {
            Way::Still => return Ok(view.shallow_clone()),
            Way::Moved(moves) => moves,
            Way::Resampled(_) => {
                return Err(Error::Usage("a view of another size than its image has no way back".to_owned()));
            }
        };
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
        let augmentation = Augmentation::new(AugmentationSpec {
            crop_padding: 1,
            flip: true,
            ..AugmentationSpec::default()
        });
        let many = image.repeat([600, 1, 1, 1]);
        let draws = Rng::new(1).seeded("augment", 0);
        let out = augmentation.plan(&many.size(), Device::Cpu, &draws).unwrap().forward(&many).unwrap();
        let seen: HashSet<Vec<u8>> = (0..600).map(|index| bytes(&out.get(index))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_crop_is_a_part_of_the_image_and_every_part_occurs() {
        let image = Tensor::arange_start(1, 13, (Kind::Uint8, Device::Cpu)).view([1, 1, 3, 4]);
        let mut expected = HashSet::new();
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            expected.insert(bytes(&image.narrow(2, row, 2).narrow(3, column, 3).contiguous()));
        }
        let crop = Some(gaat_spec::Size { width: 3, height: 2 });
        let augmentation = Augmentation::new(AugmentationSpec { crop, ..AugmentationSpec::default() });
        let many = image.repeat([200, 1, 1, 1]);
        let draws = Rng::new(1).seeded("augment", 0);
        let out = augmentation.plan(&many.size(), Device::Cpu, &draws).unwrap().forward(&many).unwrap();
        assert_eq!(out.size(), [200, 1, 2, 3]);
        let seen: HashSet<Vec<u8>> = (0..200).map(|index| bytes(&out.get(index))).collect();
        assert_eq!(seen, expected);
        let small = Tensor::zeros([1, 1, 1, 4], (Kind::Uint8, Device::Cpu));
        assert!(augmentation.plan(&small.size(), Device::Cpu, &draws).is_err());
    }

    #[test]
    fn colours_move_within_their_bounds_and_stay_colours() {
        let jitter = |strength| {
            Augmentation::new(AugmentationSpec { colour_jitter: strength, ..AugmentationSpec::default() })
        };
        let draws = || Rng::new(1).seeded("colour", 0);
        let grey = Tensor::full([300, 1, 2, 2], 0.4, (Kind::Double, Device::Cpu));
        assert_eq!(jitter(0.0).colour(grey.shallow_clone(), &draws()).unwrap(), grey);
        // A flat grey image has neither contrast nor saturation: its brightness alone moves.
        let moved = jitter(0.5).colour(grey.shallow_clone(), &draws()).unwrap() / &grey;
        let (least, most) = (moved.min().double_value(&[]), moved.max().double_value(&[]));
        assert!((0.5..0.52).contains(&least) && (1.48..=1.5).contains(&most), "{least} to {most}");
        let noise = draws().branch("b").uniform(&[50, 3, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
        let moved = jitter(0.8).colour(noise.shallow_clone(), &draws()).unwrap();
        assert!(moved.min().double_value(&[]) >= 0.0 && moved.max().double_value(&[]) <= 1.0);
        assert!((moved - &noise).abs().mean(Kind::Double).double_value(&[]) > 0.1);
        let parts = [(0, 20), (20, 30)].map(|(start, rows)| {
            let part = noise.narrow(0, start, rows);
            jitter(0.8).colour(part, &draws().cut(start as usize, rows as usize, 50)).unwrap()
        });
        assert_eq!(
            Tensor::cat(&parts, 0),
            jitter(0.8).colour(noise, &draws()).unwrap(),
            "a portion is a part"
        );
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
            let augmentation =
                Augmentation::new(AugmentationSpec { crop_padding, flip, ..AugmentationSpec::default() });
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
