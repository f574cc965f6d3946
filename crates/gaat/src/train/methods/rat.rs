//! RAT: PGD adversarial training (Madry et al. 2018), the method whose cost GAAT cuts.

use crate::attack::{Pgd, Start};
use crate::batch::Batch;
use crate::error::Result;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PgdSpec;

/// K exact input gradients a batch, then one step on what they led to. Cost: K (F + Bi) + 3 units.
#[derive(Debug, Clone, Copy)]
pub struct Rat {
    attack: Pgd,
}

impl Rat {
    /// RAT with the given attack.
    pub fn new(spec: PgdSpec) -> Self {
        let start = if spec.random_start { Start::Random } else { Start::Clean };
        Self { attack: Pgd::training(spec.steps, spec.step_size.value(), start) }
    }
}

impl TrainingMethod for Rat {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let perturbed = context.perturb(&self.attack.scaled(context.attack_scale()), batch)?;
        let descent = context.descend(perturbed.pixels(), batch)?;
        let refreshes = self.attack.steps as f64;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes })
    }
}
