//! SmoothGrad: the mean gradient over copies of the image with normal noise (Smilkov et al. 2017, equation 1).

use super::input_gradient::input_gradient;
use crate::error::Result;
use crate::nn::{Classifier, Draws};
use tch::{Kind, Tensor};

/// Noisy copies; the paper sees no gain beyond 50.
const COPIES: usize = 50;
/// Deviation of the noise over the range of the image, the middle of the 10 to 20 % that the paper advises.
const NOISE: f64 = 0.15;

/// Mean gradient of the logit of `classes`, `[N, C, H, W]` as `pixels`.
pub(super) fn smoothgrad(
    classifier: &dyn Classifier,
    pixels: &Tensor,
    classes: &Tensor,
    draws: &Draws,
) -> Result<Tensor> {
    let sides = [1i64, 2, 3];
    let range = pixels.f_amax(sides, true)?.f_sub(&pixels.f_amin(sides, true)?)?;
    let mut sum = pixels.f_zeros_like()?;
    for _ in 0..COPIES {
        let noise = draws.normal(&pixels.size(), 0.0, NOISE, Kind::Float, pixels.device())?;
        let noisy = pixels + noise.f_to_kind(pixels.kind())? * &range;
        sum += input_gradient(classifier, &noisy, classes)?;
    }
    Ok(sum / COPIES as f64)
}
