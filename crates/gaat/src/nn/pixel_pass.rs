//! One forward and one backward pass to the pixels: what attacks and Taylor models ask a network for.

use super::recordings::{PassName, recorded};
use super::{Classifier, Mode};
use crate::{Error, Result};
use gaat_shim::{Graph, gradients};
use tch::Tensor;

/// What a pass found; no part of it has a graph.
pub(crate) struct PixelPass {
    /// `[N]`.
    pub(crate) losses: Tensor,
    /// Gradient of the summed losses, `[N, C, H, W]`; zero where they do not depend on the pixels.
    pub(crate) gradient: Tensor,
    /// `[N, classes]`.
    pub(crate) logits: Tensor,
}

/// The losses that `losses` makes of the logits and of `inputs`, the first of which is the pixels, and their gradient in the
/// pixels. Weight gradients are never computed. `name` tells losses apart: under one name `losses` depends on nothing but what
/// it is given.
///
/// # Errors
/// When the network refuses the pixels.
pub(crate) fn pixel_pass(
    (classifier, mode): (&dyn Classifier, Mode),
    name: PassName,
    inputs: &[&Tensor],
    losses: &dyn Fn(&Tensor, &[&Tensor]) -> Result<Tensor>,
) -> Result<PixelPass> {
    let pass = |inputs: &[&Tensor]| {
        let pixels = inputs[0].f_detach()?.f_set_requires_grad(true)?;
        let logits = classifier.logits(&pixels, mode)?;
        let losses = losses(&logits, inputs)?;
        let sum = losses.f_sum(losses.kind())?;
        let gradient = match gradients(&[&sum], None, &[&pixels], Graph::Free)?.pop().flatten() {
            // Some networks hand back channels-last memory; the arithmetic that follows wants one layout.
            Some(gradient) => gradient.f_contiguous()?,
            None => pixels.f_detach()?.f_zeros_like()?,
        };
        Ok(vec![losses.f_detach()?, gradient, logits.f_detach()?])
    };
    let recordings = classifier.recordings(mode);
    let mut found = tch::with_grad(|| recorded(recordings, (name, mode), inputs, &pass))?;
    if recordings.is_some() {
        // The next pass writes where this one did.
        found = found.iter().map(|tensor| Ok(tensor.f_alias_copy()?)).collect::<Result<_>>()?;
    }
    let [losses, gradient, logits] = <[Tensor; 3]>::try_from(found)
        .map_err(|found| Error::Libtorch(format!("a pass gave {} results, not 3", found.len())))?;
    Ok(PixelPass { losses, gradient, logits })
}
