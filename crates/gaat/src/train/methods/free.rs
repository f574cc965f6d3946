//! Free adversarial training (Shafahi et al. 2019): the training pass pays for the attack.

use crate::Result;
use crate::attack::ball;
use crate::batch::Batch;
use crate::train::{Setting, StepContext, StepReport, TrainingMethod};
use gaat_spec::PixelLength;
use tch::Tensor;

/// Trains on each batch m times in succession and after each replay moves the one perturbation of the batch,
/// `d <- P(d + alpha sign(g))`, `g` the pixel gradient that the training pass leaves (algorithm 1). As published the
/// perturbation goes on into the next batch, place by place, as in the authors' code; with a random start, `gaat-free`, each
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
    /// One perturbation for each place in a batch, `[batch size, C, H, W]`.
    delta: Tensor,
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
        Ok(Self { step_size: step_size.value(), has_random_start, replays: 1, delta })
    }

    /// The same with each batch `replays` times in succession.
    #[must_use]
    pub fn replaying(self, replays: usize) -> Self {
        Self { replays, ..self }
    }
}

impl TrainingMethod for Free {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let mut delta = self.delta.f_narrow(0, 0, batch.len() as i64)?;
        if self.has_random_start && context.replay() == 0 {
            delta.f_copy_(&ball::random_start(&batch.pixels, context.threat(), context.draws())?)?;
        }
        let perturbed = context.perturb_with(&delta, batch)?;
        let (descent, step) = context.descend_stepping(perturbed.pixels(), batch, self.step_size)?;
        delta.f_copy_(&ball::project(&(&delta + step), context.threat()))?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes: 0.0 })
    }

    fn indivisible(&self) -> Option<&'static str> {
        let mixes = !self.has_random_start;
        mixes.then_some(
            "a batch begins with the perturbation of the batch before, whose images were divided otherwise",
        )
    }

    fn replays(&self) -> usize {
        self.replays
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![("delta".to_owned(), self.delta.shallow_clone())]
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
