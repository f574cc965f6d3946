//! Free adversarial training (Shafahi et al. 2019): the training pass pays for the attack.

use crate::attack::ball;
use crate::batch::Batch;
use crate::error::Result;
use crate::train::named::copy_into;
use crate::train::portion::Portion;
use crate::train::step::{Setting, StepContext, StepReport, TrainingMethod};
use crate::world::World;
use gaat_spec::PixelLength;
use tch::Tensor;

/// Trains on each batch m times in succession and after each replay moves the one perturbation of the batch,
/// `d <- P(d + alpha sign(g))`, `g` the pixel gradient that the training pass leaves (algorithm 1). As published the
/// perturbation continues into the next batch, place by place, as in the authors' code; with a random start, `gaat-free`, each
/// new batch begins uniformly in the ball. Cost: 3 units a replay, exactly natural training's; an epoch counts its
/// replays.
///
/// Seen as GAAT, each replay expands the loss to first order where the pass before it trained, and so needs no pass of its
/// own: the expansion is one optimiser step old. Decision record 0016 has what older ones are worth.
///
/// There is no gain ratio: gradient and loss belong to two sets of weights, so that it would measure the optimiser.
#[derive(Debug)]
pub struct Free {
    step_size: f64,
    has_random_start: bool,
    replays: usize,
    /// One perturbation for each place in a batch, `[batch size, C, H, W]`; of several processes each moves those of its portion.
    delta: Tensor,
    /// Places in the batch whose perturbations were moved last; those of other portions are out of date here.
    moved: usize,
}

impl Free {
    /// Free with a step of `step_size`, alpha, as published or with a random start at each new batch, which
    /// comes once until [`replaying`](Self::replaying) says otherwise.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(step_size: PixelLength, has_random_start: bool, setting: &Setting) -> Result<Self> {
        let mut size = setting.memory_size();
        size[0] = setting.batch_size as i64;
        let delta = Tensor::f_zeros(size, (setting.kind, setting.device))?;
        Ok(Self { step_size: step_size.value(), has_random_start, replays: 1, delta, moved: 0 })
    }

    /// The same with each batch `replays` times in succession.
    #[must_use]
    pub fn replaying(self, replays: usize) -> Self {
        Self { replays, ..self }
    }
}

impl Free {
    /// The perturbations of all places, where each of `world` has moved those of its portion.
    fn gathered(&self, world: &dyn World) -> Result<Tensor> {
        if world.size() == 1 || self.moved == 0 {
            return Ok(self.delta.shallow_clone());
        }
        let portion = Portion::new(world, self.moved);
        let moved = self.delta.f_narrow(0, 0, self.moved as i64)?;
        let common = moved.f_zeros_like()?;
        portion.cut(&common)?.f_copy_(&portion.cut(&moved)?)?;
        world.sum(&[common.shallow_clone()])?;
        let rest = self.delta.size()[0] - self.moved as i64;
        Ok(Tensor::f_cat(&[common, self.delta.f_narrow(0, self.moved as i64, rest)?], 0)?)
    }

    /// The perturbations of the places of `portion`, which share storage with all.
    fn of(&mut self, portion: Portion, world: &dyn World) -> Result<Tensor> {
        if self.moved != portion.of {
            self.delta = self.gathered(world)?;
            self.moved = portion.of;
        }
        let lacking = portion.of as i64 - self.delta.size()[0];
        if lacking > 0 {
            // A rest too small for several processes has joined the batch before.
            let mut size = self.delta.size();
            size[0] = lacking;
            let more = Tensor::f_zeros(size, (self.delta.kind(), self.delta.device()))?;
            self.delta = Tensor::f_cat(&[&self.delta, &more], 0)?;
        }
        portion.cut(&self.delta.f_narrow(0, 0, portion.of as i64)?)
    }
}

impl TrainingMethod for Free {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let mut delta = self.of(context.portion, context.world)?;
        if self.has_random_start && context.replay() == 0 {
            delta.f_copy_(&ball::random_start(&batch.pixels, context.threat(), context.draws())?)?;
        }
        let perturbed = context.perturb_with(&delta, batch)?;
        let (descent, step) = context.descend_stepping(perturbed.pixels(), batch, self.step_size)?;
        delta.f_copy_(&ball::project(&(&delta + step), context.threat()))?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes: 0.0 })
    }

    fn replays(&self) -> usize {
        self.replays
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![("delta".to_owned(), self.delta.shallow_clone())]
    }

    fn whole_state(&self, world: &dyn World) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![("delta".to_owned(), self.gathered(world)?)])
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        self.moved = 0;
        // Another number of processes may have made it larger or smaller.
        let rows = state.iter().find(|(name, _)| name == "delta").map(|(_, tensor)| tensor.size()[0]);
        let mut size = self.delta.size();
        size[0] = rows.unwrap_or(size[0]).max(size[0]);
        self.delta = Tensor::f_zeros(size, (self.delta.kind(), self.delta.device()))?;
        let target = self.delta.f_narrow(0, 0, rows.unwrap_or(self.delta.size()[0]))?;
        copy_into("method", vec![("delta".to_owned(), target)], state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Exact, GradientOracle};
    use crate::nn::Mode;
    use crate::train::trial::Trial;
    use tch::Kind;

    fn the_perturbation_follows(has_random_start: bool) {
        let mut trial = Trial::new("mlp", Kind::Double);
        let step_size = PixelLength::new(0.07).unwrap();
        let mut free = Free::new(step_size, has_random_start, &trial.setting()).unwrap();
        let random = trial.with_context(0, |context, batch| {
            ball::random_start(&batch.pixels, context.threat(), context.draws())
        });
        let mut expected = if has_random_start { random.unwrap() } else { trial.batch.pixels.zeros_like() };
        for step in 0..4 {
            let pixels = (&trial.batch.pixels + &expected).clamp(0.0, 1.0);
            let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::Eval);
            let gradient = oracle.at(&pixels, &trial.batch.labels).unwrap().gradient;
            let report = trial.step(&mut free, step).unwrap();
            expected = (expected + gradient.sign() * 0.07).clamp(-0.1, 0.1);
            assert_eq!(free.state()[0].1, expected, "step {step}");
            assert!(report.gain.is_none() && report.loss.double_value(&[]) > 0.0);
        }
        assert_eq!(
            (trial.passes.forward, trial.passes.full_backward, trial.passes.input_backward),
            (24, 24, 0)
        );
    }

    #[test]
    fn the_perturbation_follows_the_gradient_of_the_training_pass() {
        the_perturbation_follows(false);
    }

    #[test]
    fn a_random_start_is_drawn_once_a_batch() {
        the_perturbation_follows(true);
    }
}
