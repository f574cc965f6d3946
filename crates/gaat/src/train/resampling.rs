//! Random crops of another proportion and size, brought to the size of the network: torchvision's `RandomResizedCrop` (Szegedy et al.
//! 2015, section 6), by bilinear interpolation between the four nearest pixels. Other than there, a box that would be larger than the
//! image is cut to it instead of drawn again, so that every image takes the same number of draws.

use crate::error::Result;
use crate::nn::Draws;
use tch::{Device, Kind, Tensor};

/// Logarithm of the largest proportion, 4:3, of width to height; the smallest is its reciprocal.
const MOST_LOG_RATIO: f64 = 0.287_682_072_451_780_9;
/// How `grid_sampler` interpolates, and what it takes beyond the border: the pixel on it.
const BILINEAR: i64 = 0;
const BORDER: i64 = 1;

/// Points of images of `size` (`[N, C, H, W]`) that views of `view` (height, width) show, `[N, h, w, 2]`, as `grid_sampler` takes
/// them: of a box of a random share of the area, at least `least`, at a random place, flipped at random with `flip`.
pub(super) fn grid(
    size: &[i64],
    (rows, columns): (i64, i64),
    least: f64,
    flip: bool,
    device: Device,
    draws: &Draws,
) -> Result<Tensor> {
    let (count, height, width) = (size[0], size[2] as f64, size[3] as f64);
    let draw = |low: f64, high: f64| draws.uniform(&[count, 1], low, high, Kind::Double, device);
    let area = draw(least, 1.0)? * (height * width);
    let ratio = draw(-MOST_LOG_RATIO, MOST_LOG_RATIO)?.f_exp()?;
    let box_width = (&area * &ratio).f_sqrt()?.f_clamp_max(width)?;
    let box_height = (area / ratio).f_sqrt()?.f_clamp_max(height)?;
    let left = draw(0.0, 1.0)? * (width - &box_width);
    let top = draw(0.0, 1.0)? * (height - &box_height);
    // Middles of the view's pixels, as shares of the box.
    let middles = |count: i64| -> Result<Tensor> {
        Ok((Tensor::f_arange(count, (Kind::Double, device))? + 0.5).f_view([1, count])? / count as f64)
    };
    let mut across = middles(columns)?.f_expand([count, columns], false)?;
    if flip {
        let flipped = draws.randint(&[count, 1], 0, 2, device)?.f_to_kind(Kind::Bool)?;
        across = across.f_flip([1])?.f_where_self(&flipped, &across)?;
    }
    let x = (left + across * box_width) * (2.0 / width) - 1.0;
    let y = (top + middles(rows)? * box_height) * (2.0 / height) - 1.0;
    let x = x.f_view([count, 1, columns])?.f_expand([count, rows, columns], false)?;
    let y = y.f_view([count, rows, 1])?.f_expand([count, rows, columns], false)?;
    Ok(Tensor::f_stack(&[x, y], 3)?.f_to_kind(Kind::Float)?)
}

/// `images` (`[N, C, H, W]`, any dtype) at the points of `grid`; bytes are rounded to bytes.
pub(super) fn resampled(images: &Tensor, grid: &Tensor) -> Result<Tensor> {
    let precise = images.f_to_kind(Kind::Float)?.f_grid_sampler(grid, BILINEAR, BORDER, false)?;
    let rounded = if images.is_floating_point() { precise } else { precise.f_round()? };
    Ok(rounded.f_to_kind(images.kind())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Rng;

    fn view(images: &Tensor, size: (i64, i64), least: f64, flip: bool) -> Tensor {
        let draws = Rng::new(2).seeded("augment", 0);
        let grid = grid(&images.size(), size, least, flip, Device::Cpu, &draws).unwrap();
        resampled(images, &grid).unwrap()
    }

    #[test]
    fn a_view_shows_a_box_of_the_image_in_its_size() {
        // A plane that rises by 1 a column and 100 a row: interpolation is exact, and a view tells its box.
        let (height, width) = (40, 50);
        let rise = Tensor::arange(width, (Kind::Float, Device::Cpu)).view([1, 1, 1, width])
            + Tensor::arange(height, (Kind::Float, Device::Cpu)).view([1, 1, height, 1]) * 100.0;
        let images = rise.repeat([400, 1, 1, 1]);
        let views = view(&images, (10, 12), 0.25, false);
        assert_eq!(views.size(), [400, 1, 10, 12]);
        let at = |row: i64, column: i64| views.select(3, column).select(2, row).flatten(0, -1);
        // Between pixels that lie wholly inside, so that the border plays no part.
        let step = |far: Tensor, near: Tensor, pixels: f64| (far - near) / pixels;
        let box_width = step(at(5, 10), at(5, 1), 9.0) * 12.0;
        let box_height = step(at(8, 5), at(1, 5), 7.0) / 100.0 * 10.0;
        let share = (&box_width * &box_height) / (height * width) as f64;
        let (least, most) = (share.min().double_value(&[]), share.max().double_value(&[]));
        assert!((0.22..0.3).contains(&least) && (0.85..1.05).contains(&most), "{least} to {most}");
        let ratio = box_width / box_height;
        let (low, high) = (ratio.min().double_value(&[]), ratio.max().double_value(&[]));
        assert!((0.74..0.85).contains(&low) && (1.2..1.36).contains(&high), "{low} to {high}");
        // Everything is inside the image, and neither corner is always shown.
        assert!(views.min().double_value(&[]) >= 0.0);
        assert!(views.max().double_value(&[]) <= ((height - 1) * 100 + width - 1) as f64);
        assert!(at(0, 0).max().double_value(&[]) > 1000.0 && at(0, 0).min().double_value(&[]) < 200.0);
    }

    #[test]
    fn bytes_stay_bytes_and_half_of_the_views_are_mirrored() {
        let bytes = Tensor::arange(20, (Kind::Uint8, Device::Cpu)).view([1, 1, 4, 5]).repeat([200, 1, 1, 1]);
        let views = view(&bytes, (4, 5), 0.999_999, true);
        assert_eq!((views.kind(), views.size()), (Kind::Uint8, vec![200, 1, 4, 5]));
        let first = views.select(3, 0).select(2, 2).flatten(0, -1).to_kind(Kind::Double);
        let last = views.select(3, 4).select(2, 2).flatten(0, -1).to_kind(Kind::Double);
        let mirrored = first.gt_tensor(&last).sum(Kind::Int64).int64_value(&[]);
        assert!((60..140).contains(&mirrored), "{mirrored} of 200");
    }
}
