//! GAAT: adversarial training with gradient approximation (Gong, arXiv 2309.09464).

use crate::attack::{Pgd, Start, StopRule, Walk};
use crate::batch::Batch;
use crate::train::refinement::{Controller, Plan};
use crate::train::{StepContext, StepReport, TrainingMethod};
use crate::{Error, Result};
use gaat_spec::{Anchor, GaatSpec, Refinement};
use tch::Tensor;

const REFINEMENT: &str = "refinement";

/// K steps on a Taylor model of the loss, one exact gradient a batch. Cost: (F + Bi) + 3 = 5 units, whatever K; with
/// more refreshes so many (F + Bi), and what the curvature takes.
///
/// With the anchor at the clean image and Gauss-Newton or diagonal curvature this is the method as published. With
/// the anchor at the random start and no curvature it is FGSM-RS (Wong et al. 2020) with step K alpha.
///
/// Refined, the number of gradients follows the gain ratio ([`Plan`]): from one a batch to PGD.
#[derive(Debug, Clone, Copy)]
pub struct Gaat {
    spec: GaatSpec,
    attack: Pgd,
    controller: Option<Controller>,
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
        let controller = (spec.refinement == Refinement::Adaptive).then(Controller::default);
        Self { spec, attack, controller }
    }
}

impl TrainingMethod for Gaat {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let plan = self.controller.map_or(Plan::NONE, |controller| controller.plan(context.progress()));
        let attack = self.attack.scaled(context.attack_scale() * plan.reach);
        let (perturbed, forecast) = context.perturb_refined(&attack, batch, self.spec, plan)?;
        let descent = context.descend(perturbed.pixels(), &batch.labels)?;
        let gain = forecast.gain_ratio(descent.loss)?;
        let images = batch.len();
        if let Some(controller) = &mut self.controller {
            controller.observe(gain, images, descent.loss / images as f64, context.class_count());
        }
        let more = (plan.images(images) * plan.rounds) as f64 / images as f64;
        Ok(StepReport {
            loss: descent.loss,
            correct: descent.correct,
            gain: Some(gain),
            refreshes: self.spec.refreshes as f64 + more,
        })
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.controller.iter().map(|controller| (REFINEMENT.to_owned(), controller.state())).collect()
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let Some(controller) = &mut self.controller else { return Ok(()) };
        match state.iter().find(|(name, _)| name == REFINEMENT) {
            Some((_, numbers)) => controller.load(numbers),
            None => Err(Error::Usage(format!("method memory `{REFINEMENT}` is missing"))),
        }
    }
}
