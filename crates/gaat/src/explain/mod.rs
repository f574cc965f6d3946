//! What networks look at: saliency maps of the logit of an image's class, and how far those of two networks agree.

mod grad_cam;
mod input_gradient;
mod integrated_gradients;
mod measures;
mod picture;
mod smoothgrad;
mod study;

pub use crate::control::Control;
pub(crate) use picture::coloured;
pub use study::{ExplainOptions, Explained, Maps, Subject, explain};

use crate::error::Result;
use crate::nn::{Classifier, Rng};
use gaat_spec::explanation::SaliencyName;
use tch::{Kind, Tensor};

/// Images at once.
const BATCH: i64 = 100;

/// What each pixel of `images` means for the logit of its class, by `method`, BatchNorm in evaluation mode.
///
/// `images`: `[N, C, H, W]` in `[0, 1]`; `classes`: `[N]`, i64. Returns `[N, C, H, W]`, for `grad-cam` `[N, 1, H, W]`;
/// the noise of `smoothgrad` comes from `seed`.
///
/// # Errors
/// When `grad-cam` is asked of a network without feature maps, or a shape does not fit.
pub fn attribution(
    classifier: &dyn Classifier,
    images: &Tensor,
    classes: &Tensor,
    method: SaliencyName,
    seed: u64,
) -> Result<Tensor> {
    let (images, classes) = (images.f_split(BATCH, 0)?, classes.f_split(BATCH, 0)?);
    let parts = images.iter().zip(&classes).enumerate().map(|(index, (images, classes))| match method {
        SaliencyName::InputGradient => input_gradient::input_gradient(classifier, images, classes),
        SaliencyName::SmoothGrad => {
            let draws = Rng::new(seed).seeded("explain/smoothgrad", index as u64);
            smoothgrad::smoothgrad(classifier, images, classes, &draws)
        }
        SaliencyName::IntegratedGradients => {
            let steps = integrated_gradients::STEPS;
            integrated_gradients::integrated_gradients(classifier, images, classes, steps)
        }
        SaliencyName::GradCam => grad_cam::grad_cam(classifier, images, classes),
    });
    Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
}

/// Saliency of each pixel, the sum of the sizes over its channels: `[N, C, H, W]` to `[N, H, W]`.
pub(crate) fn saliency(attribution: &Tensor) -> Result<Tensor> {
    Ok(attribution.f_abs()?.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?)
}

/// The methods that `classifier` can be explained by: all, less `grad-cam` where there are no feature maps.
pub fn methods_for(classifier: &dyn Classifier) -> Vec<SaliencyName> {
    let has_maps = classifier.feature_layer().is_some();
    SaliencyName::ALL.iter().copied().filter(|name| has_maps || *name != SaliencyName::GradCam).collect()
}
