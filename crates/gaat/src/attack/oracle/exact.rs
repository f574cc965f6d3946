//! The exact oracle: one forward and one backward pass to the pixels for every question.

use super::{GradientOracle, InputGradient};
use crate::Result;
use crate::nn::{Classifier, Mode};
use gaat_spec::Passes;
use tch::{Reduction, Tensor};

/// The loss whose gradient the network is asked for, an example at a time.
#[derive(Debug)]
pub enum Loss {
    /// Cross-entropy with the labels.
    CrossEntropy,
    /// Kullback-Leibler divergence `sum_c p_c (log p_c - log softmax(logits)_c)` from given probabilities
    /// (`[N, classes]`); the labels are not looked at.
    Divergence(Tensor),
}

impl Loss {
    /// Of each example, `[N]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn of(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        match self {
            Self::CrossEntropy => losses(logits, labels),
            Self::Divergence(probabilities) => divergence(probabilities, logits),
        }
    }
}

/// Runs the network. Weight gradients are never computed, and parameters and their `.grad` stay untouched.
pub struct Exact<'a> {
    classifier: &'a dyn Classifier,
    mode: Mode,
    loss: Loss,
    passes: Passes,
}

impl<'a> Exact<'a> {
    /// An oracle for the cross-entropy of `classifier` with BatchNorm in `mode`.
    pub fn new(classifier: &'a dyn Classifier, mode: Mode) -> Self {
        Self::of_loss(classifier, mode, Loss::CrossEntropy)
    }

    /// An oracle for another loss of `classifier`.
    pub fn of_loss(classifier: &'a dyn Classifier, mode: Mode, loss: Loss) -> Self {
        Self { classifier, mode, loss, passes: Passes::default() }
    }
}

/// Cross-entropy of each example, `[N]`.
pub(crate) fn losses(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::None, -100, 0.0)?)
}

/// Kullback-Leibler divergence of `softmax(logits)` from `probabilities` (both `[N, classes]`), `[N]`. A class of
/// probability 0 adds nothing.
pub(crate) fn divergence(probabilities: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let logs = logits.f_log_softmax(-1, logits.kind())?;
    let each = logs.f_kl_div(probabilities, Reduction::None, false)?;
    Ok(each.f_sum_dim_intlist([1i64].as_slice(), false, None::<tch::Kind>)?)
}

impl GradientOracle for Exact<'_> {
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        let points = points.f_detach()?.f_set_requires_grad(true)?;
        let logits = self.classifier.logits(&points, self.mode)?;
        let losses = self.loss.of(&logits, labels)?;
        let gradient = Tensor::f_run_backward(&[losses.f_sum(losses.kind())?], &[&points], false, false)?;
        let count = points.size()[0] as u64;
        self.passes += Passes { forward: count, input_backward: count, ..Passes::default() };
        Ok(InputGradient {
            losses: losses.f_detach()?,
            // Some networks hand back channels-last memory; the arithmetic that follows wants one layout.
            gradient: gradient[0].f_contiguous()?,
            logits: Some(logits.f_detach()?),
        })
    }

    fn passes(&self) -> Passes {
        self.passes
    }

    fn is_exact(&self) -> bool {
        true
    }
}
