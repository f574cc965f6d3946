//! The exact oracle: one forward and one backward pass to the pixels for every question.

use super::{GradientOracle, InputGradient, Visitor};
use crate::attack::loss::Loss;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Mode, PixelPass, pixel_pass, plain_logits};
use gaat_spec::Passes;
use tch::Tensor;

/// Runs the network. Weight gradients are never computed, and parameters and their `.grad` stay untouched.
pub struct Exact<'a> {
    classifier: &'a dyn Classifier,
    mode: Mode,
    loss: Loss<'a>,
    parts: usize,
    passes: Passes,
}

impl<'a> Exact<'a> {
    /// An oracle for the cross-entropy of `classifier` with BatchNorm in `mode`.
    pub fn new(classifier: &'a dyn Classifier, mode: Mode) -> Self {
        Self::of_loss(classifier, mode, Loss::CrossEntropy)
    }

    /// An oracle that answers [`at`](GradientOracle::at) for another loss of `classifier`.
    pub fn of_loss(classifier: &'a dyn Classifier, mode: Mode, loss: Loss<'a>) -> Self {
        Self { classifier, mode, loss, parts: 1, passes: Passes::default() }
    }

    /// The same, which computes every batch in so many parts, at least 1, one after the other: what it needs memory for is a part.
    #[must_use]
    pub fn in_parts(self, parts: usize) -> Self {
        Self { parts, ..self }
    }
}

/// Cross-entropy of each example, `[N]`.
pub(crate) fn losses(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Loss::CrossEntropy.of(logits, labels)
}

impl GradientOracle for Exact<'_> {
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        self.of(self.loss, points, labels)
    }

    fn of(&mut self, loss: Loss, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        let inputs: Vec<&Tensor> = [points, labels].into_iter().chain(loss.operand()).collect();
        let of_logits =
            |logits: &Tensor, inputs: &[&Tensor]| loss.on(inputs.get(2).copied()).of(logits, inputs[1]);
        let network = (self.classifier, self.mode);
        let PixelPass { losses, gradient, logits } =
            pixel_pass(network, loss.name(), self.parts, &inputs, &of_logits)?;
        let count = points.size()[0] as u64;
        self.passes += Passes { forward: count, input_backward: count, ..Passes::default() };
        Ok(InputGradient { losses, gradient, logits: Some(logits) })
    }

    fn of_each_class(&mut self, points: &Tensor, labels: &Tensor, visit: &mut Visitor) -> Result<()> {
        if self.parts > 1 {
            return Err(Error::Usage(
                "an attack that climbs the logit of each class keeps the graph of a whole batch, which cannot be computed in parts: \
                 leave accumulate out"
                    .to_owned(),
            ));
        }
        let points = points.f_detach()?.f_set_requires_grad(true)?;
        let logits = self.classifier.logits(&points, self.mode)?;
        let classes = logits.size()[1];
        for class in 0..classes {
            let losses = Loss::MarginTowards(&labels.f_full_like(class)?).of(&logits, labels)?;
            let sum = losses.f_sum(losses.kind())?;
            let gradient = Tensor::f_run_backward(&[sum], &[&points], class + 1 < classes, false)?;
            let gradient = gradient[0].f_contiguous()?;
            let answer =
                InputGradient { losses: losses.f_detach()?, gradient, logits: Some(logits.f_detach()?) };
            visit(class, answer)?;
        }
        let count = points.size()[0] as u64;
        let input_backward = count * classes as u64;
        self.passes += Passes { forward: count, input_backward, ..Passes::default() };
        Ok(())
    }

    fn logits(&mut self, points: &Tensor) -> Result<Tensor> {
        let logits = plain_logits((self.classifier, self.mode), self.parts, points)?;
        self.passes.forward += points.size()[0] as u64;
        Ok(logits)
    }

    fn passes(&self) -> Passes {
        self.passes
    }

    fn is_exact(&self) -> bool {
        true
    }
}
