//! Grad-CAM: feature maps of the last convolution, weighted by their mean gradients (Selvaraju et al. 2017).

use crate::error::{Error, Result};
use crate::nn::{Classifier, FeatureMaps, Mode};
use tch::{Kind, Tensor};

/// `relu(sum_k a_k A_k)` (equations 1 and 2), enlarged to the image by bilinear interpolation, `[N, 1, H, W]`.
pub(super) fn grad_cam(classifier: &dyn Classifier, pixels: &Tensor, classes: &Tensor) -> Result<Tensor> {
    let points = pixels.f_detach()?.f_set_requires_grad(true)?;
    let Some(FeatureMaps { maps, logits, .. }) = classifier.feature_maps(&points, Mode::Eval)? else {
        return Err(Error::Model {
            model: classifier.name(),
            reason: "has no feature maps, which grad-cam weighs; use input-gradient, smoothgrad or \
                     integrated-gradients"
                .to_owned(),
        });
    };
    let chosen = logits.f_gather(1, &classes.f_unsqueeze(1)?, false)?;
    let gradient = Tensor::f_run_backward(&[chosen.f_sum(chosen.kind())?], &[&maps], false, false)?;
    let kind = pixels.kind();
    let weights = gradient[0].f_to_kind(kind)?.f_mean_dim([2i64, 3].as_slice(), true, None::<Kind>)?;
    let weighted = weights * maps.f_detach()?.f_to_kind(kind)?;
    let map = weighted.f_sum_dim_intlist([1i64].as_slice(), true, None::<Kind>)?.f_relu()?;
    let size = pixels.size();
    Ok(map.f_contiguous()?.f_upsample_bilinear2d([size[2], size[3]], false, None, None)?)
}
