//! N-FGSM: one step from noise that leaves the ball (de Jorge et al. 2022, "Make some noise").

use crate::Result;
use crate::attack::{Ascent, ball};
use crate::batch::Batch;
use crate::train::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PixelLength;

/// `d = u + alpha sign(g(x + u))`, `u` uniform over `k` times the ball, cut to the pixel box and NOT projected on the
/// ball, as published. Cost: (F + Bi) + 3 = 5 units.
///
/// The authors' `train.py` also cuts `x + u` to the pixel box before the gradient. Here it is not cut (decision record
/// 0001): where half of the pixels are black that loses half of the noise, and with it what keeps the method from
/// collapse. The gain ratio is that of the model at the delivered point, so that the cut after the step counts.
#[derive(Debug, Clone, Copy)]
pub struct NFgsm {
    step_size: f64,
    noise: f64,
}

impl NFgsm {
    /// N-FGSM with a step of `step_size`, alpha, and noise of `noise` epsilon, k.
    pub fn new(step_size: PixelLength, noise: f64) -> Self {
        Self { step_size: step_size.value(), noise }
    }
}

impl TrainingMethod for NFgsm {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let start = ball::random_start(&batch.pixels, context.threat(), context.draws())? * self.noise;
        let attack = Ascent { start, step_size: self.step_size * context.attack_scale() };
        let (unbounded, model) = context.perturb_once_unbounded(&attack, batch)?;
        let descent = context.descend(unbounded.pixels(), &batch.labels)?;
        let gain = model.gain_ratio(unbounded.pixels(), descent.loss)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: Some(gain), refreshes: 1 })
    }
}
