//! Integrated gradients: what each pixel adds on the way from black to the image (Sundararajan, Taly and Yan 2017).

use super::input_gradient::input_gradient;
use crate::error::Result;
use crate::nn::Classifier;
use tch::Tensor;

/// Points on the way; the paper takes 20 to 300.
pub(super) const STEPS: usize = 64;

/// `x * mean gradient` over the straight way from black (equation 1, by the midpoint rule), `[N, C, H, W]` as `pixels`.
///
/// The sum over an image approaches the logit of its class less that of black (completeness).
pub(super) fn integrated_gradients(
    classifier: &dyn Classifier,
    pixels: &Tensor,
    classes: &Tensor,
    steps: usize,
) -> Result<Tensor> {
    let mut sum = pixels.f_zeros_like()?;
    for step in 0..steps {
        let share = (step as f64 + 0.5) / steps as f64;
        sum += input_gradient(classifier, &(pixels * share), classes)?;
    }
    Ok(pixels * sum / steps as f64)
}
