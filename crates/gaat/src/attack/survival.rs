//! Which images withstand an attack: the judgement that validation and evaluation share.

use super::oracle::Exact;
use super::run::{Attack, UnderAttack, run};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Draws, Mode, answer, finite};
use gaat_spec::{Passes, ThreatModel};
use tch::Tensor;

/// Which images of a batch are classified correctly, `[N]`, bool. Evaluation mode, no gradient.
///
/// # Errors
/// When the network refuses the batch, or answers with logits that are not finite.
pub fn correct(classifier: &dyn Classifier, pixels: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    Ok(answer::verdicts(&classifier.logits(pixels, Mode::Eval)?)?.f_eq_tensor(labels)?)
}

/// Refuses `pixels` that an attack has led to where one is not finite: what becomes of them is no verdict on the network.
///
/// # Errors
/// [`Error::NotFinite`].
pub(crate) fn check_pixels(pixels: &Tensor) -> Result<()> {
    match finite::fault(pixels)? {
        None => Ok(()),
        Some(fault) => Err(Error::NotFinite(format!(
            "the attack has led to pixels that are not finite ({fault}): a gradient of the network in its pixels is not finite, \
             though its weights are; no attack can judge it"
        ))),
    }
}

/// Which of the images at `standing` (`[M]`, i64, places in `batch`) are still classified correctly under `attack`:
/// their places, and the passes it took. The attack uses exact gradients in evaluation mode, and the verdict is the
/// network's own on the projected result.
///
/// # Errors
/// When the network refuses the batch.
pub fn survivors(
    classifier: &dyn Classifier,
    batch: &Batch,
    standing: &Tensor,
    attack: &dyn Attack,
    threat: &ThreatModel,
    draws: &Draws,
) -> Result<(Tensor, Passes)> {
    if standing.size()[0] == 0 {
        return Ok((standing.shallow_clone(), Passes::default()));
    }
    let clean = batch.pixels.f_index_select(0, standing)?;
    let labels = batch.labels.f_index_select(0, standing)?;
    let mut oracle = Exact::new(classifier, Mode::Eval);
    let perturbed = run(attack, &mut oracle, UnderAttack::new(&clean, &labels, threat, draws))?;
    check_pixels(perturbed.pixels())?;
    let kept = correct(classifier, perturbed.pixels(), &labels)?;
    let mut passes = crate::attack::GradientOracle::passes(&oracle);
    passes.forward += labels.size()[0] as u64;
    Ok((standing.f_masked_select(&kept)?, passes))
}

/// Places of the images that are classified correctly clean, `[M]`, i64.
///
/// # Errors
/// When the network refuses the batch.
pub fn standing_clean(classifier: &dyn Classifier, batch: &Batch) -> Result<Tensor> {
    Ok(correct(classifier, &batch.pixels, &batch.labels)?.f_nonzero()?.f_squeeze_dim(1)?)
}
