//! GAAT expanded around last epoch's end point: the training pass pays for the attack of the next epoch.

use crate::attack::ball;
use crate::batch::Batch;
use crate::error::Result;
use crate::train::memory::ImageMemory;
use crate::train::named::copy_into;
use crate::train::step::{Setting, StepContext, StepReport, TrainingMethod};
use crate::world::World;
use gaat_spec::PixelLength;
use tch::Tensor;

/// With `p` what is remembered of the image: `d = P(p + u)`, `u` uniform over `noise` times the ball; train at `x + d`;
/// remember `P(d + alpha sign(g))`, `g` the pixel gradient at `x + d` that the training pass leaves. In the first epoch
/// `d` is a random point of the ball.
///
/// Cost: 3 units, natural training's, and the gradient of the first convolution in its input. One byte a pixel and
/// channel of the training set is remembered (154 MB for CIFAR-10), carried through crop and flip. There is no gain
/// ratio: gradient and loss belong to weights that lie an epoch apart.
///
/// A relative of Free (Shafahi et al. 2019) without replays and of ATTA (Zheng et al. 2020) without an attack pass.
#[derive(Debug)]
pub struct GaatMemory {
    step_size: f64,
    noise: f64,
    perturbations: ImageMemory,
}

impl GaatMemory {
    /// A memory that walks by `step_size`, alpha, an epoch, and noise of `noise` epsilon.
    ///
    /// # Errors
    /// When the device has no room for the memory.
    pub fn new(step_size: PixelLength, noise: f64, setting: &Setting) -> Result<Self> {
        let perturbations = ImageMemory::quantized(setting, setting.threat.epsilon())?;
        Ok(Self { step_size: step_size.value(), noise, perturbations })
    }

    fn recall(&self, context: &StepContext<'_>, batch: &Batch) -> Result<Tensor> {
        let (clean, threat) = (&batch.pixels, context.threat());
        let random = ball::random_start(clean, threat, context.draws())?;
        if context.epoch() == 1 {
            return Ok(random);
        }
        let remembered =
            self.perturbations.read_view(context.members(), context.placement(), clean.kind())?;
        Ok(remembered + random * self.noise)
    }
}

impl TrainingMethod for GaatMemory {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let start = self.recall(context, batch)?;
        let perturbed = context.perturb_with(&start, batch)?;
        let (descent, step) = context.descend_stepping(perturbed.pixels(), batch, self.step_size)?;
        let next = ball::project(&(perturbed.pixels() - &batch.pixels + step), context.threat());
        self.perturbations.write_view(context.members(), context.placement(), &next)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes: 0.0 })
    }

    fn divide(&mut self, world: &dyn World) -> Result<()> {
        self.perturbations.divide(world)
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![("perturbations".to_owned(), self.perturbations.tensor())]
    }

    fn whole_state(&self, world: &dyn World) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![("perturbations".to_owned(), self.perturbations.gather(world)?)])
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        copy_into("method", self.state(), &[self.perturbations.part_of("perturbations", state)?])
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
    fn each_epoch_starts_where_the_gradient_of_the_last_one_led() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let bound = trial.setting().threat.epsilon();
        let mut method = GaatMemory::new(PixelLength::new(0.04).unwrap(), 0.0, &trial.setting()).unwrap();
        let mut expected = trial
            .with_context(0, |context, batch| {
                ball::random_start(&batch.pixels, context.threat(), context.draws())
            })
            .unwrap();
        for step in 0..4 {
            let pixels = (&trial.batch.pixels + &expected).clamp(0.0, 1.0);
            let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::Eval);
            let answer = oracle.at(&pixels, &trial.batch.labels).unwrap();
            let report = trial.step(&mut method, step).unwrap();
            let loss = answer.losses.sum(Kind::Double).double_value(&[]);
            assert!(
                (report.loss.double_value(&[]) / loss - 1.0).abs() < 1e-9,
                "step {step}: trained at another point"
            );
            let next = (pixels - &trial.batch.pixels + answer.gradient.sign() * 0.04).clamp(-bound, bound);
            // As the memory holds it.
            expected = ((next * (127.0 / bound)).round() * (bound / 127.0)).detach();
        }
        assert_eq!(
            (trial.passes.forward, trial.passes.full_backward, trial.passes.input_backward),
            (24, 24, 0)
        );
    }
}
