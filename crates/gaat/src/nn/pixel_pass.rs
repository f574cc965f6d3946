//! One forward and one backward pass to the pixels, or a forward pass alone: what attacks and Taylor models ask a network for.

use super::classifier::{Classifier, Mode};
use super::parts::in_parts;
use super::recordings::{PassName, recorded};
use crate::error::{Error, Result};
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

/// The losses that `losses` makes of the logits and of `inputs`, the first of which is the pixels and each of which has a row for
/// each image, and their gradient in the pixels, computed in `parts`. Weight gradients are never computed. `name` tells losses
/// apart: under one name `losses` depends on nothing but what it is given.
///
/// # Errors
/// When the network refuses the pixels.
pub(crate) fn pixel_pass(
    (classifier, mode): (&dyn Classifier, Mode),
    name: PassName,
    parts: usize,
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
    let found = in_parts(parts, inputs, &|inputs| {
        let found = tch::with_grad(|| recorded(recordings, (name, mode), inputs, &pass))?;
        if recordings.is_none() {
            return Ok(found);
        }
        // The next pass writes where this one did.
        found.iter().map(|tensor| Ok(tensor.f_alias_copy()?)).collect()
    })?;
    let [losses, gradient, logits] = <[Tensor; 3]>::try_from(found)
        .map_err(|found| Error::Libtorch(format!("a pass gave {} results, not 3", found.len())))?;
    Ok(PixelPass { losses, gradient, logits })
}

/// Logits of `points`, `[N, classes]`, without a graph, computed in `parts`.
///
/// # Errors
/// When the network refuses the points.
pub(crate) fn plain_logits(
    (classifier, mode): (&dyn Classifier, Mode),
    parts: usize,
    points: &Tensor,
) -> Result<Tensor> {
    let logits = |inputs: &[&Tensor]| Ok(vec![tch::no_grad(|| classifier.logits(inputs[0], mode))?]);
    Ok(in_parts(parts, &[points], &logits)?.swap_remove(0))
}
