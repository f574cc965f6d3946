//! The input gradient: how the logit of the class changes with each pixel (Simonyan, Vedaldi and Zisserman 2014).

use crate::error::Result;
use crate::nn::{Classifier, Mode};
use tch::Tensor;

/// Gradient of the logit of `classes` (`[N]`, i64) in `pixels` (`[N, C, H, W]`), of the same shape.
pub(super) fn input_gradient(
    classifier: &dyn Classifier,
    pixels: &Tensor,
    classes: &Tensor,
) -> Result<Tensor> {
    let points = pixels.f_detach()?.f_set_requires_grad(true)?;
    let logits = classifier.logits(&points, Mode::Eval)?;
    let chosen = logits.f_gather(1, &classes.f_unsqueeze(1)?, false)?;
    // The sum over images: in evaluation mode no image sees another, so each has its own gradient.
    let gradient = Tensor::f_run_backward(&[chosen.f_sum(chosen.kind())?], &[&points], false, false)?;
    Ok(gradient[0].f_contiguous()?)
}
