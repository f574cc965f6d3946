//! FGSM-RS: one step from a random start (Wong, Rice and Kolter 2020, "Fast is better than free").

use crate::attack::{Pgd, Start, Walk};
use crate::batch::Batch;
use crate::error::Result;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PixelLength;

/// `d = P(u + alpha sign(g(x + u)))`, `u` uniform in the ball and not cut to the pixel box before the gradient is taken
/// (decision record 0001; the authors' MNIST code does the same). Cost: (F + Bi) + 3 = 5 units.
#[derive(Debug, Clone, Copy)]
pub struct FgsmRs {
    attack: Pgd,
}

impl FgsmRs {
    /// FGSM-RS with a step of `step_size`, alpha.
    pub fn new(step_size: PixelLength) -> Self {
        let in_box = Pgd::training(1, step_size.value(), Start::Random);
        Self { attack: Pgd { walk: Walk::InBall, ..in_box } }
    }
}

impl TrainingMethod for FgsmRs {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let attack = self.attack.scaled(context.attack_scale());
        let (perturbed, forecast) = context.perturb_once(&attack, batch)?;
        let descent = context.descend_consistently(perturbed.pixels(), batch, &forecast)?;
        let gain = forecast.gain(&descent.attacked)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: Some(gain), refreshes: 1.0 })
    }
}
