//! Passes whose graph a descent goes back through, each counted with the backward pass that it will need.

use crate::attack::InputGradient;
use crate::attack::oracle::losses;
use crate::error::Result;
use crate::nn::{Classifier, Mode};
use gaat_spec::Passes;
use tch::Tensor;

/// Runs the network and keeps the graph. Whatever is recorded here must end in the objective of the step's descent:
/// its backward pass is counted already.
pub struct Tape<'a> {
    classifier: &'a dyn Classifier,
    mode: Mode,
    passes: Passes,
}

impl<'a> Tape<'a> {
    pub(super) fn new(classifier: &'a dyn Classifier, mode: Mode) -> Self {
        Self { classifier, mode, passes: Passes::default() }
    }

    pub(super) fn passes(&self) -> Passes {
        self.passes
    }

    /// What a pass at `pixels` costs together with the full backward pass through it.
    pub(super) fn pass(pixels: &Tensor) -> Passes {
        let count = pixels.size()[0] as u64;
        Passes { forward: count, full_backward: count, ..Passes::default() }
    }

    /// Logits of `pixels`, `[N, classes]`. In a descent this updates running statistics.
    ///
    /// # Errors
    /// When the network refuses the pixels.
    pub fn logits(&mut self, pixels: &Tensor) -> Result<Tensor> {
        self.passes += Self::pass(pixels);
        self.classifier.logits(pixels, self.mode)
    }

    /// As [`logits`](Self::logits), and never updates running statistics.
    ///
    /// # Errors
    /// When the network refuses the pixels.
    pub fn frozen_logits(&mut self, pixels: &Tensor) -> Result<Tensor> {
        self.passes += Self::pass(pixels);
        self.classifier.logits(pixels, self.frozen())
    }

    /// `logits` (`[N, classes]`) whose forward pass was counted where they were recorded: the backward pass through them is counted here.
    pub fn resumed(&mut self, logits: Tensor) -> Tensor {
        self.passes += Passes { full_backward: logits.size()[0] as u64, ..Passes::default() };
        logits
    }

    fn frozen(&self) -> Mode {
        if self.mode == Mode::Train { Mode::TrainFrozenStats } else { self.mode }
    }

    /// The gradient of the summed `losses` in `pixels`, a leaf of their graph, which stays usable. The result is a
    /// constant.
    ///
    /// # Errors
    /// When the losses do not depend on the pixels.
    pub fn input_gradient(&mut self, losses: &Tensor, pixels: &Tensor) -> Result<Tensor> {
        self.passes += Passes { input_backward: pixels.size()[0] as u64, ..Passes::default() };
        let sum = losses.f_sum(losses.kind())?;
        Ok(Tensor::f_run_backward(&[sum], &[pixels], true, false)?[0].f_contiguous()?)
    }

    /// Cross-entropy at `pixels` and its gradient there, which the weights can be trained through. Never updates running
    /// statistics. Double backward is counted as one Hessian-vector product: it goes once more through the recorded
    /// gradient (two units) and through the forward pass (two).
    ///
    /// # Errors
    /// When the network refuses the pixels.
    pub fn trainable_gradient(&mut self, pixels: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        let count = pixels.size()[0] as u64;
        self.passes +=
            Passes { forward: count, input_backward: count, hessian_vector: count, ..Passes::default() };
        let pixels = pixels.f_detach()?.f_set_requires_grad(true)?;
        let logits = self.classifier.logits(&pixels, self.frozen())?;
        let losses = losses(&logits, labels)?;
        let gradient = Tensor::f_run_backward(&[losses.f_sum(losses.kind())?], &[&pixels], true, true)?;
        Ok(InputGradient {
            losses: losses.f_detach()?,
            gradient: gradient[0].f_contiguous()?,
            logits: Some(logits.f_detach()?),
        })
    }
}
