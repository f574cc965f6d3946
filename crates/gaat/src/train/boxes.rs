//! Boxes of images: what cutout blacks out and cutmix pastes.

use crate::error::Result;
use crate::nn::Draws;
use tch::{Device, Kind, Tensor};

/// Boxes round centres that are uniform over the pixels of images of `size` (`[N, C, H, W]`), cut at the border: where they lie,
/// `[N, 1, H, W]`, bool. `heights` and `widths` are whole numbers, `[N, 1]` or `[1, 1]`, f64.
///
/// # Errors
/// When libtorch cannot allocate.
pub(super) fn boxes(
    size: &[i64],
    (heights, widths): (&Tensor, &Tensor),
    device: Device,
    draws: &Draws,
) -> Result<Tensor> {
    let count = size[0];
    let inside = |side: i64, lengths: &Tensor| -> Result<Tensor> {
        let centre = draws.randint(&[count, 1], 0, side, device)?.f_to_kind(Kind::Double)?;
        let first = centre - (lengths / 2.0).f_floor()?;
        let places = Tensor::f_arange(side, (Kind::Double, device))?.f_view([1, side])?;
        Ok(places.f_ge_tensor(&first)?.f_logical_and(&places.f_lt_tensor(&(&first + lengths))?)?)
    };
    let rows = inside(size[2], heights)?.f_view([count, 1, size[2], 1])?;
    let columns = inside(size[3], widths)?.f_view([count, 1, 1, size[3]])?;
    Ok(rows.f_logical_and(&columns)?)
}

/// `pixels` (`[N, C, H, W]`) with a square of `side` at a random place of each image black (DeVries and Taylor 2017, where it is the
/// mean colour); it may reach over the border.
///
/// # Errors
/// When libtorch cannot allocate.
pub(super) fn cut_out(pixels: Tensor, side: usize, draws: &Draws) -> Result<Tensor> {
    if side == 0 {
        return Ok(pixels);
    }
    let length = Tensor::f_full([1, 1], side as f64, (Kind::Double, pixels.device()))?;
    let squares = boxes(&pixels.size(), (&length, &length), pixels.device(), draws)?;
    Ok(pixels.f_masked_fill(&squares, 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Rng;

    #[test]
    fn a_square_of_the_side_is_black_wherever_it_fits_and_every_place_comes() {
        let draws = || Rng::new(2).seeded("augment", 0);
        let white = Tensor::ones([400, 2, 8, 6], (Kind::Float, Device::Cpu));
        assert_eq!(cut_out(white.copy(), 0, &draws()).unwrap(), white);
        let cut = cut_out(white.copy(), 3, &draws()).unwrap();
        let black = &cut * -1.0 + 1.0;
        let counts = black.sum_dim_intlist([1i64, 2, 3].as_slice(), false, None::<Kind>) / 2.0;
        // Whole inside, a third or two cut off at an edge, and in a corner.
        assert!(counts.max().double_value(&[]) == 9.0 && counts.min().double_value(&[]) == 4.0, "{counts:?}");
        let each = black.mean_dim(Some([0i64].as_slice()), false, None::<Kind>);
        assert!(each.min().double_value(&[]) > 0.03 && each.max().double_value(&[]) < 0.35, "{each:?}");
        assert_eq!(black.select(1, 0), black.select(1, 1), "all channels of a pixel");
        let part = cut_out(white.narrow(0, 100, 50), 3, &draws().cut(100, 50, 400)).unwrap();
        assert_eq!(part, cut.narrow(0, 100, 50), "a portion is a part");
    }
}
