//! Free adversarial training (Shafahi et al. 2019): the training pass pays for the attack.

use crate::Result;
use crate::attack::ball;
use crate::batch::Batch;
use crate::train::{Setting, StepContext, StepReport, TrainingMethod};
use gaat_spec::PixelLength;
use tch::Tensor;

/// Trains on each batch m times in succession and after each replay moves the one perturbation of the batch,
/// `d <- P(d + alpha sign(g))`, `g` the pixel gradient that the training pass leaves (algorithm 1). The perturbation goes
/// on into the next batch, place by place, as in the authors' code. Cost: 3 units a replay, exactly natural training's;
/// an epoch counts its replays.
///
/// There is no gain ratio: gradient and loss belong to two sets of weights, so that it would measure the optimiser.
#[derive(Debug)]
pub struct Free {
    step_size: f64,
    /// One perturbation for each place in a batch, `[batch size, C, H, W]`.
    delta: Tensor,
}

impl Free {
    /// Free with a step of `step_size`, alpha; how often a batch comes is the loop's business.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(step_size: PixelLength, setting: &Setting) -> Result<Self> {
        let mut size = setting.memory_size();
        size[0] = setting.batch_size as i64;
        let delta = Tensor::f_zeros(size, (setting.kind, setting.device))?;
        Ok(Self { step_size: step_size.value(), delta })
    }
}

impl TrainingMethod for Free {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let mut delta = self.delta.f_narrow(0, 0, batch.len() as i64)?;
        let perturbed = context.perturb_with(&delta, batch)?;
        let (descent, step) = context.descend_stepping(perturbed.pixels(), &batch.labels, self.step_size)?;
        delta.f_copy_(&ball::project(&(&delta + step), context.threat()))?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes: 0.0 })
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

    #[test]
    fn the_perturbation_follows_the_gradient_of_the_training_pass() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let mut free = Free::new(PixelLength::new(0.07).unwrap(), &trial.setting()).unwrap();
        let mut expected = trial.batch.pixels.zeros_like();
        for step in 0..4 {
            let pixels = (&trial.batch.pixels + &expected).clamp(0.0, 1.0);
            let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::Eval);
            let gradient = oracle.at(&pixels, &trial.batch.labels).unwrap().gradient;
            let report = trial.step(&mut free, step).unwrap();
            expected = (expected + gradient.sign() * 0.07).clamp(-0.1, 0.1);
            assert_eq!(free.state()[0].1, expected, "step {step}");
            assert!(report.gain.is_none() && report.loss > 0.0);
        }
        assert_eq!(
            (trial.passes.forward, trial.passes.full_backward, trial.passes.input_backward),
            (24, 24, 0)
        );
    }
}
