//! What one training step may do: the context that the loop lends to a method, and what the method reports.

use super::optimizer::{Optimizer, clip};
use crate::attack::{Attack, Exact, GradientOracle, Perturbed, Taylor, run};
use crate::batch::Batch;
use crate::nn::{Classifier, Draws, Mode};
use crate::taylor::{GainRatio, TaylorModel};
use crate::{Error, Result};
use gaat_spec::{Passes, ThreatModel};
use std::time::Instant;
use tch::{Kind, Tensor};

/// A way to train.
pub trait TrainingMethod {
    /// One step on `batch`, which calls [`StepContext::descend`] once.
    ///
    /// # Errors
    /// When the network fails or the loss is not a number.
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport>;
}

/// What a step found.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepReport {
    /// Sum of the losses over the batch as trained on.
    pub loss: f64,
    /// Images classified rightly as trained on, in the training pass.
    pub correct: usize,
    /// How well the attack's model predicted the loss.
    pub gain: Option<GainRatio>,
    /// Gradients that the attack took for this batch.
    pub refreshes: usize,
}

/// What the descent found.
#[derive(Debug)]
pub struct Descent {
    /// Loss of each image before the update, `[N]`.
    pub losses: Tensor,
    /// Sum of `losses`.
    pub loss: f64,
    /// Images classified rightly before the update.
    pub correct: usize,
}

/// The loop's loan to a method for one step. Passes and seconds are counted here, not claimed by the method.
pub struct StepContext<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) optimizer: &'a mut Optimizer,
    /// As large as the attack is by now.
    pub(super) threat: ThreatModel,
    /// Share of its full size that the attack has by now.
    pub(super) attack_scale: f64,
    /// BatchNorm under the attack.
    pub(super) attack_mode: Mode,
    pub(super) draws: Draws,
    pub(super) learning_rate: f64,
    pub(super) clip_norm: Option<f64>,
    pub(super) passes: Passes,
    pub(super) attack_seconds: f64,
}

impl<'a> StepContext<'a> {
    /// The threat model to train against in this step: smaller than the recipe's while the attack warms up.
    pub fn threat(&self) -> &ThreatModel {
        &self.threat
    }

    /// Share of their full size that attack lengths have in this step.
    pub fn attack_scale(&self) -> f64 {
        self.attack_scale
    }

    /// Runs `attack` with exact gradients.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb(&mut self, attack: &dyn Attack, batch: &Batch) -> Result<Perturbed> {
        let started = Instant::now();
        let mut oracle = Exact::new(self.classifier, self.attack_mode);
        let perturbed = run(attack, &mut oracle, &batch.pixels, &batch.labels, &self.threat, &self.draws)?;
        self.passes += oracle.passes();
        self.attack_seconds += started.elapsed().as_secs_f64();
        Ok(perturbed)
    }

    /// Runs `attack` on a Taylor model and hands back the oracle with its last expansion, and what that says about the
    /// perturbed images.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb_by_model(
        &mut self,
        attack: &dyn Attack,
        batch: &Batch,
        model: gaat_spec::GaatSpec,
    ) -> Result<(Perturbed, Taylor<'a>)> {
        let started = Instant::now();
        let model = TaylorModel::of(&model, self.attack_scale, &self.threat);
        let draws = self.draws.branch("curvature");
        let mut oracle = Taylor::new(self.classifier, self.attack_mode, &batch.pixels, model, draws);
        let perturbed = run(attack, &mut oracle, &batch.pixels, &batch.labels, &self.threat, &self.draws)?;
        oracle.settle(perturbed.pixels())?;
        self.passes += oracle.passes();
        self.attack_seconds += started.elapsed().as_secs_f64();
        Ok((perturbed, oracle))
    }

    /// One optimiser step on the mean loss at `pixels`.
    ///
    /// # Errors
    /// When the loss is not a number (the weights are untouched then), or the network fails.
    pub fn descend(&mut self, pixels: &Tensor, labels: &Tensor) -> Result<Descent> {
        let logits = self.classifier.logits(pixels, Mode::Train)?;
        let losses = crate::attack::oracle::losses(&logits, labels)?;
        let parameters = self.classifier.store().trainable();
        let mean = losses.f_mean(losses.kind())?;
        let mut gradients = Tensor::f_run_backward(&[&mean], &parameters, false, false)?;
        let count = labels.size()[0] as u64;
        self.passes += Passes { forward: count, full_backward: count, ..Passes::default() };
        let loss = mean.f_double_value(&[])? * count as f64;
        if !loss.is_finite() {
            return Err(Error::Usage(format!("the loss is {loss}")));
        }
        if let Some(limit) = self.clip_norm {
            clip(&mut gradients, limit)?;
        }
        self.optimizer.step(&gradients, self.learning_rate)?;
        let correct = logits.f_argmax(-1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64)?;
        Ok(Descent { losses: losses.f_detach()?, loss, correct: correct.f_int64_value(&[])? as usize })
    }
}
