//! GAAT: adversarial training with gradient approximation (Gong, arXiv 2309.09464).

use crate::attack::{Attack, Pgd, Start, Walk};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::train::named::copy_into;
use crate::train::opening::Opening;
use crate::train::refinement::{Controller, Effort};
use crate::train::step::{Setting, StepContext, StepOutcome, StepReport, TrainingMethod};
use gaat_spec::{Anchor, Curvature, GaatSpec, Norm, Refinement};
use tch::Tensor;

const REFINEMENT: &str = "refinement";

/// K steps on a Taylor model of the loss, one exact gradient a batch. Cost: (F + Bi) + 3 = 5 units, whatever K; with
/// more refreshes so many (F + Bi), and what the curvature takes.
///
/// With the anchor at the clean image and Gauss-Newton or diagonal curvature this is the method as published. With
/// the anchor at the random start and no curvature it is FGSM-RS (Wong et al. 2020) with step K alpha.
///
/// Refined, the number of gradients follows the gain ratio ([`Effort`]): from one a batch to PGD. With adaptive projection the walk
/// leaves the ball in the second half of the run, while the ratio says that the model predicts the loss and the attack has its full
/// length. Outside the ball the method is N-FGSM (de Jorge et al. 2022) with noise of the ball.
///
/// Begun otherwise than with noise of the ball, or with a length of its own for every pixel, it is one step from there along the one
/// gradient ([`OneStep`](super::OneStep) has the formulas), refined as ever.
#[derive(Debug)]
pub struct Gaat {
    spec: GaatSpec,
    attack: Pgd,
    opening: Opening,
    controller: Option<Controller>,
    flat_loss: f64,
}

impl Gaat {
    /// GAAT with the given model and steps.
    ///
    /// # Errors
    /// When the device has no room for what its beginning learns.
    pub fn new(spec: GaatSpec, setting: &Setting) -> Result<Self> {
        let spec = merged(spec, setting.threat.norm());
        let start = if spec.random_start { Start::Random } else { Start::Clean };
        let walk = match spec.anchor {
            Anchor::Clean => Walk::InBox,
            Anchor::RandomStart => Walk::InBall,
        };
        let attack = Pgd { walk, ..Pgd::training(spec.steps, spec.step_size.value(), start) };
        let controller = (spec.refinement == Refinement::Adaptive).then(Controller::default);
        let opening = Opening::of(spec.opening, setting)?;
        Ok(Self { spec, attack, opening, controller, flat_loss: setting.flat_loss() })
    }

    /// What this step takes beyond its first gradient, and how far that carries.
    fn plan(&self, context: &StepContext<'_>) -> Effort {
        let plan = self.controller.map_or(Effort::NONE, |controller| controller.plan(context.progress()));
        // A warm-up keeps perturbations small, so the walk stays in the ball while the ball grows.
        Effort { may_leave: plan.may_leave && context.attack_scale() >= 1.0, ..plan }
    }

    /// The attack of this step, which walks `reach` times as far as the recipe says.
    fn attack(
        &mut self,
        context: &mut StepContext<'_>,
        batch: &Batch,
        plan: Effort,
    ) -> Result<Box<dyn Attack>> {
        let attack = self.attack.scaled(context.attack_scale() * plan.reach);
        let is_projected = self.spec.opening.projection.is_on(plan.may_leave);
        if is_projected && self.opening.is_usual() {
            return Ok(Box::new(attack));
        }
        let pixels = &batch.pixels;
        let length = Tensor::f_full([1], attack.step_size, (pixels.kind(), pixels.device()))?;
        Ok(Box::new(self.opening.stride(context, batch, &length, 0.0, is_projected)?))
    }
}

/// The same walk in as many steps as there are expansions, where that many divide the steps: without curvature an
/// expansion answers every step alike, and steps along one sign, each cut to the ball, end where one long step does.
fn merged(spec: GaatSpec, norm: Norm) -> GaatSpec {
    let is_straight = spec.curvature == Curvature::None && norm == Norm::Linf;
    if !is_straight || !spec.steps.is_multiple_of(spec.refreshes) {
        return spec;
    }
    let step_size = spec.step_size.scaled((spec.steps / spec.refreshes) as f64);
    GaatSpec { steps: spec.refreshes, step_size, ..spec }
}

impl TrainingMethod for Gaat {
    fn takes_second_order(&self) -> bool {
        self.spec.curvature == Curvature::Exact
    }

    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let plan = self.plan(context);
        let attack = self.attack(context, batch, plan)?;
        let (pixels, forecast) = context.perturb_refined(attack.as_ref(), batch, self.spec, plan)?;
        let descent = context.descend_consistently(&pixels, batch, &forecast)?;
        self.opening.learn(context, &forecast.gradient)?;
        let gain = forecast.gain(&descent.attacked)?;
        let images = context.images_in_batch();
        let more = (plan.images(images) * plan.rounds) as f64 / images as f64;
        Ok(StepReport {
            loss: descent.loss,
            correct: descent.correct,
            gain: Some(gain),
            refreshes: self.spec.refreshes as f64 + more,
        })
    }

    fn indivisible(&self) -> Option<&'static str> {
        let mixes = self.spec.curvature == Curvature::BatchFisher;
        mixes.then_some("the curvature batch-fisher is that of a whole batch")
    }

    fn needs_whole_graph(&self) -> Option<&'static str> {
        match self.spec.curvature {
            Curvature::SampledFisher => {
                Some("the curvature sampled-fisher draws labels from the graph at the anchor")
            }
            Curvature::Exact => Some("the curvature exact asks the graph at the anchor at every step"),
            _ => None,
        }
    }

    fn observe(&mut self, outcome: &StepOutcome) {
        if let (Some(controller), Some(gain)) = (&mut self.controller, outcome.gain) {
            controller.observe(gain, outcome.images, outcome.loss / outcome.images as f64, self.flat_loss);
        }
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let refinement = self.controller.iter().map(|controller| (REFINEMENT.to_owned(), controller.state()));
        refinement.chain(self.opening.state()).collect()
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        copy_into("method", self.opening.state(), state)?;
        let Some(controller) = &mut self.controller else { return Ok(()) };
        match state.iter().find(|(name, _)| name == REFINEMENT) {
            Some((_, numbers)) => controller.load(numbers),
            None => Err(Error::Usage(format!("method memory `{REFINEMENT}` is missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taylor::GainRatio;
    use crate::train::trial::Trial;
    use gaat_spec::{OpeningSpec, Projection};
    use tch::Kind;

    fn spec(steps: usize, refreshes: usize) -> GaatSpec {
        GaatSpec {
            steps,
            step_size: "0.02".parse().unwrap(),
            random_start: true,
            curvature: Curvature::None,
            anchor: Anchor::RandomStart,
            draws: 1,
            refreshes,
            refinement: Refinement::Off,
            opening: OpeningSpec::USUAL,
        }
    }

    #[test]
    fn merged_steps_walk_to_the_same_point() {
        for (steps, refreshes) in [(10, 1), (10, 2), (4, 4)] {
            let whole = spec(steps, refreshes);
            let parts = Gaat::new(whole, &Trial::new("mlp", Kind::Double).setting()).unwrap();
            assert_eq!((parts.spec.steps, parts.attack.steps), (refreshes, refreshes));
            let unmerged = Pgd { steps, step_size: 0.02, ..parts.attack };
            let walked = [(parts.spec, parts.attack), (whole, unmerged)].map(|(spec, attack)| {
                let mut trial = Trial::new("mlp", Kind::Double);
                let walk = |context: &mut StepContext<'_>, batch: &Batch| {
                    context.perturb_refined(&attack, batch, spec, Effort::NONE)
                };
                trial.with_context(0, walk).unwrap().0
            });
            let gap = (&walked[0] - &walked[1]).abs().max().double_value(&[]);
            assert!(gap < 1e-12, "{steps} steps, {refreshes} expansions: {gap}");
        }
    }

    #[test]
    fn the_walk_leaves_the_ball_once_the_loss_is_predicted_and_the_attack_has_its_full_length() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let epsilon = trial.setting().threat.epsilon();
        let adaptive = GaatSpec {
            step_size: "0.01".parse().unwrap(),
            refinement: Refinement::Adaptive,
            opening: OpeningSpec { projection: Projection::Adaptive, ..OpeningSpec::USUAL },
            ..spec(10, 1)
        };
        let mut method = Gaat::new(adaptive, &trial.setting()).unwrap();
        let mut farthest = |method: &mut Gaat, attack_scale: f64| {
            trial
                .with_context(0, |context, batch| {
                    context.attack_scale = attack_scale;
                    let plan = method.plan(context);
                    let attack = method.attack(context, batch, plan)?;
                    let (pixels, _) = context.perturb_refined(attack.as_ref(), batch, method.spec, plan)?;
                    Ok((pixels - &batch.pixels).abs().max().double_value(&[]) / epsilon)
                })
                .unwrap()
        };
        assert!(farthest(&mut method, 1.0) <= 1.0 + 1e-9, "no gain is known yet");
        let gain = |ratio: f64| StepOutcome {
            images: 6,
            loss: 6.0,
            correct: 3,
            gain: Some(GainRatio::new(ratio, 1.0)),
            refreshes: 1.0,
        };
        for _ in 0..20 {
            method.observe(&gain(1.0));
        }
        let outside = farthest(&mut method, 1.0);
        assert!((1.5..=2.0 + 1e-9).contains(&outside), "noise and step add up: {outside}");
        assert!(farthest(&mut method, 0.99) <= 1.0 + 1e-9, "the attack warms up");
        method.spec.opening.projection = Projection::Always;
        assert!(farthest(&mut method, 1.0) <= 1.0 + 1e-9, "always projected");
        method.spec.opening.projection = Projection::Adaptive;
        for _ in 0..20 {
            method.observe(&gain(2.0));
        }
        assert!(farthest(&mut method, 1.0) <= 1.0 + 1e-9, "the loss bends");
    }

    #[test]
    fn steps_that_can_turn_are_not_merged() {
        let bent = GaatSpec { curvature: Curvature::GaussNewton, ..spec(10, 1) };
        assert_eq!(merged(bent, Norm::Linf), bent);
        assert_eq!(merged(spec(10, 1), Norm::L2), spec(10, 1));
        assert_eq!(merged(spec(10, 3), Norm::Linf), spec(10, 3));
    }
}
