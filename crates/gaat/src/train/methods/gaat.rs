//! GAAT: adversarial training with gradient approximation (Gong, arXiv 2309.09464).

use crate::Result;
use crate::attack::{Pgd, Start, StopRule, Walk};
use crate::batch::Batch;
use crate::train::{StepContext, StepReport, TrainingMethod};
use gaat_spec::{Anchor, GaatSpec};

/// K steps on a Taylor model of the loss, one exact gradient a batch. Cost: (F + Bi) + 3 = 5 units, whatever K; with
/// more refreshes so many (F + Bi), and what the curvature takes.
///
/// With the anchor at the clean image and Gauss-Newton or diagonal curvature this is the method as published. With
/// the anchor at the random start and no curvature it is FGSM-RS (Wong et al. 2020) with step K alpha.
#[derive(Debug, Clone, Copy)]
pub struct Gaat {
    spec: GaatSpec,
    attack: Pgd,
}

impl Gaat {
    /// GAAT with the given model and steps.
    pub fn new(spec: GaatSpec) -> Self {
        let attack = Pgd {
            steps: spec.steps,
            step_size: spec.step_size.value(),
            start: if spec.random_start { Start::Random } else { Start::Clean },
            walk: match spec.anchor {
                Anchor::Clean => Walk::InBox,
                Anchor::RandomStart => Walk::InBall,
            },
            stop: StopRule::Never,
        };
        Self { spec, attack }
    }
}

impl TrainingMethod for Gaat {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let attack = self.attack.scaled(context.attack_scale());
        let (perturbed, forecast) = context.perturb_by_model(&attack, batch, self.spec)?;
        let descent = context.descend(perturbed.pixels(), &batch.labels)?;
        let gain = forecast.gain_ratio(descent.loss)?;
        Ok(StepReport {
            loss: descent.loss,
            correct: descent.correct,
            gain: Some(gain),
            refreshes: self.spec.refreshes,
        })
    }
}
