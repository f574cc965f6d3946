//! ConvergeSmooth: the loss on clean images may not jump from one epoch to the next (Zhao, Zhang and Zhang 2023, "Fast Adversarial
//! Training with Smooth Convergence"; the `FastAT` benchmark's `fgsm_rs_cs.py`, arXiv 2604.22853). Round any adversarial method.

use super::descent::Sloped;
use super::named::copy_into;
use super::step::{StepContext, StepReport, TrainingMethod};
use super::wrapped::answers_of_inner;
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::{Mode, plain_logits};
use crate::world::World;
use gaat_spec::Passes;
use tch::{Device, Kind, Tensor};

/// By how much the loss of a batch may differ from the mean of the epoch before, nats (gamma in the benchmark, where it is constant).
const TOLERANCE: f64 = 0.03;
/// The first epoch, from 1, with an epoch before it whose loss is that of a network under way.
const FIRST: usize = 3;

/// Adds `w s ce(f(x), y)` to what is descended: s is 1 where the loss of the batch lies more than 0.03 above the mean of the epoch
/// before, -1 where it lies more than that below, and else 0. Off in the first two epochs and in the last.
///
/// Cost: F and a full backward pass, 3 units, while it is on; F in the second epoch. The pass leaves running statistics alone (the
/// pass of the authors updates them) and sees the clean images (with FGSM-RS the authors take the start of the attack). The reported loss
/// is that of the method alone.
pub(super) struct ConvergeSmooth {
    inner: Box<dyn TrainingMethod>,
    weight: f64,
    epochs: usize,
    /// Mean loss of the epoch before, and sum and number of the losses of this epoch; `[1]`, f64, on the device.
    reference: Tensor,
    sum: Tensor,
    count: Tensor,
    /// The epoch of these; `[1]`, f64, on the host.
    epoch: Tensor,
}

/// What one step asks of its descent.
#[derive(Debug)]
pub(super) struct Smoothing {
    reference: Tensor,
    /// None where the loss is only looked at.
    weight: Option<f64>,
    /// Sum of the losses of the whole batch.
    found: Option<Tensor>,
}

impl ConvergeSmooth {
    /// `inner` in a run of `epochs` epochs of it, on `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub(super) fn new(
        inner: Box<dyn TrainingMethod>,
        weight: f64,
        epochs: usize,
        device: Device,
    ) -> Result<Self> {
        let zero = |device| Tensor::f_zeros([1], (Kind::Double, device));
        Ok(Self {
            inner,
            weight,
            epochs,
            reference: zero(device)?,
            sum: zero(device)?,
            count: zero(device)?,
            epoch: zero(Device::Cpu)?,
        })
    }

    /// Closes the books of the epoch before where `epoch` is another one.
    fn turn_to(&mut self, epoch: usize) -> Result<()> {
        if self.epoch.f_double_value(&[0])? as usize == epoch {
            return Ok(());
        }
        self.epoch.f_copy_(&Tensor::from_slice(&[epoch as f64]))?;
        self.reference.f_copy_(&(&self.sum / self.count.f_clamp_min(1.0)?))?;
        let _ = (self.sum.f_zero_()?, self.count.f_zero_()?);
        Ok(())
    }

    fn own(&self) -> Vec<(String, Tensor)> {
        let own = [
            ("reference", &self.reference),
            ("sum", &self.sum),
            ("count", &self.count),
            ("epoch", &self.epoch),
        ];
        own.map(|(name, tensor)| (format!("smooth-{name}"), tensor.shallow_clone())).into()
    }
}

impl TrainingMethod for ConvergeSmooth {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let epoch = context.epoch();
        self.turn_to(epoch)?;
        if (FIRST - 1..self.epochs).contains(&epoch) {
            let weight = (epoch >= FIRST).then_some(self.weight);
            let reference = self.reference.shallow_clone();
            context.smoothing = Some(Smoothing { reference, weight, found: None });
        }
        let report = self.inner.step(context, batch)?;
        if let Some(found) = context.smoothing.take().and_then(|smoothing| smoothing.found) {
            let _ = self.sum.f_add_(&found)?;
            let _ = self.count.f_add_scalar_(context.images_in_batch() as f64)?;
        }
        Ok(report)
    }

    answers_of_inner!();

    fn state(&self) -> Vec<(String, Tensor)> {
        self.inner.state().into_iter().chain(self.own()).collect()
    }

    fn whole_state(&self, world: &dyn World) -> Result<Vec<(String, Tensor)>> {
        Ok(self.inner.whole_state(world)?.into_iter().chain(self.own()).collect())
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        self.inner.load_state(state)?;
        copy_into("method", self.own(), state)
    }
}

impl StepContext<'_> {
    /// What ConvergeSmooth adds to the gradients in the weights, those of the images here; `None` where it adds nothing.
    ///
    /// # Errors
    /// When the network fails, or another process cannot be reached.
    pub(super) fn smoothing_slope(&mut self, batch: &Batch) -> Result<Option<Vec<Tensor>>> {
        let Some(Smoothing { reference, weight, .. }) = &self.smoothing else { return Ok(None) };
        let (reference, weight) = (reference.shallow_clone(), *weight);
        let (sum, weights) = match weight {
            Some(_) => {
                let Sloped { loss, weights } = self.clean_slope(batch)?;
                (loss, Some(weights))
            }
            None => (self.clean_loss(batch)?, None),
        };
        let sum = sum.f_view([1])?.f_alias_copy()?;
        if !self.portion.is_all() {
            self.world.sum(&[sum.shallow_clone()])?;
        }
        let mean = &sum / self.images_in_batch() as f64;
        if let Some(smoothing) = &mut self.smoothing {
            smoothing.found = Some(sum);
        }
        let (Some(weight), Some(mut weights)) = (weight, weights) else { return Ok(None) };
        let above = mean - reference;
        let sign = above.f_sign()? * above.f_abs()?.f_gt(TOLERANCE)? * weight;
        for gradient in &mut weights {
            *gradient = &*gradient * sign.f_to_kind(gradient.kind())?;
        }
        Ok(Some(weights))
    }

    /// Sum of the losses of the clean images here; a scalar, f64.
    fn clean_loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let logits = plain_logits((self.classifier, Mode::TrainFrozenStats), self.parts, &batch.pixels)?;
        self.passes += Passes { forward: batch.len() as u64, ..Passes::default() };
        Ok(crate::attack::oracle::losses(&logits, batch.targets())?.f_sum(Kind::Double)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::methods::Rat;
    use crate::train::trial::Trial;
    use gaat_spec::PgdSpec;

    /// A step of RAT, which walks nowhere to speak of, with ConvergeSmooth in an epoch whose reference is `reference`.
    fn weights_after(reference: f64, epoch: u64) -> (Tensor, Passes, f64) {
        let mut trial = Trial::new("mlp", Kind::Double);
        let pgd = PgdSpec { steps: 1, step_size: "0.01".parse().unwrap(), random_start: false };
        let mut method = ConvergeSmooth::new(Box::new(Rat::new(pgd)), 2.0, 6, Device::Cpu).unwrap();
        let _ = method.reference.fill_(reference);
        let _ = method.epoch.fill_(epoch as f64);
        trial.step(&mut method, epoch - 1).unwrap();
        (trial.weights(), trial.passes, method.sum.double_value(&[0]))
    }

    #[test]
    fn a_loss_that_jumps_is_held_down_or_up_and_one_that_does_not_is_left_alone() {
        let trial = Trial::new("mlp", Kind::Double);
        let logits = trial.classifier.logits(&trial.batch.pixels, Mode::Eval).unwrap();
        let losses = crate::attack::oracle::losses(&logits, &trial.batch.labels).unwrap();
        let loss = losses.mean(Kind::Double);
        let clean = Tensor::run_backward(&[&loss], &trial.classifier.store().trainable(), false, false);
        let clean = Tensor::cat(&clean.iter().map(|gradient| gradient.flatten(0, -1)).collect::<Vec<_>>(), 0);
        let loss = loss.double_value(&[]);
        let (plain, passes, _) = weights_after(loss + 0.02, 3);
        assert_eq!((passes.forward, passes.full_backward), (6 * 3, 6 * 2), "it looks all the same");
        for (reference, sign) in [(loss - 0.04, 1.0), (loss + 0.04, -1.0), (loss - 0.02, 0.0)] {
            let (found, _, sum) = weights_after(reference, 3);
            let expected = &plain - &clean * (0.1 * 2.0 * sign);
            assert!((found - expected).abs().max().double_value(&[]) < 1e-12, "{sign}");
            assert!((sum / 6.0 - loss).abs() < 1e-12);
        }
        let passes_in = |epoch| {
            let passes = weights_after(loss - 1.0, epoch).1;
            (passes.forward / 6, passes.full_backward / 6)
        };
        assert_eq!([1, 2, 3, 5, 6].map(passes_in), [(2, 1), (3, 1), (3, 2), (3, 2), (2, 1)]);
    }

    #[test]
    fn the_mean_of_an_epoch_is_the_reference_of_the_next() {
        let mut trial = Trial::new("mlp", Kind::Double);
        trial.learning_rate = 0.0;
        let pgd = PgdSpec { steps: 1, step_size: "0.01".parse().unwrap(), random_start: false };
        let mut method = ConvergeSmooth::new(Box::new(Rat::new(pgd)), 1.0, 9, Device::Cpu).unwrap();
        for epoch in 1..4 {
            trial.step(&mut method, epoch).unwrap();
        }
        let logits = trial.classifier.logits(&trial.batch.pixels, Mode::Eval).unwrap();
        let losses = crate::attack::oracle::losses(&logits, &trial.batch.labels).unwrap();
        let loss = losses.mean(Kind::Double).double_value(&[]);
        assert!((method.reference.double_value(&[0]) - loss).abs() < 1e-12);
        let mut other = ConvergeSmooth::new(Box::new(Rat::new(pgd)), 1.0, 9, Device::Cpu).unwrap();
        other.load_state(&method.state()).unwrap();
        assert_eq!(other.state(), method.state());
    }
}
