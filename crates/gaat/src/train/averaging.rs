//! Exponential moving average of the weights, judged and saved where it is the better network.
//!
//! `average <- d average + (1 - d) trained` after step t, with `d = min(decay, (1 + t) / (10 + t))`, so that the first weights, which
//! are random, do not stay in the average (the rule of TensorFlow's `ExponentialMovingAverage`). The running statistics of the
//! trained network belong to other weights: those of the average are taken again at the end of each epoch, on the last batches of the
//! epoch (Izmailov et al. 2018, section 3.2).

use super::run::Run;
use super::statistics::average_statistics;
use crate::attack::{Exact, GradientOracle, Pgd, Start, UnderAttack, run};
use crate::error::{Error, Result};
use crate::nn::{Classifier, Mode, ParameterStore, Rng, plain_logits};
use gaat_spec::Passes;
use std::time::Instant;
use tch::Tensor;

/// Batches that the statistics are taken on: with the usual momentum of 0.1 they are nearly all that counts.
const BATCHES: usize = 20;
/// Step over epsilon of the one-step attack on those batches, from a random start (Wong et al. 2020).
const STEP: f64 = 1.25;

/// A second network of the same architecture whose weights trail the trained ones.
pub(super) struct Averaging {
    network: Box<dyn Classifier>,
    decay: f64,
    /// Whether validation has preferred the average to the trained weights, last time; before, it counts as preferred.
    pub(super) is_preferred: bool,
}

impl Averaging {
    /// An average that begins with the weights of `trained` as they are now.
    ///
    /// # Errors
    /// When the network cannot be built once more.
    pub(super) fn of(trained: &dyn Classifier, decay: f64) -> Result<Self> {
        let Some(network) = trained.twin()? else {
            return Err(Error::Model {
                model: trained.name(),
                reason: "cannot be built once more, which averaging its weights needs; give it a Classifier::twin, or \
                         leave weight-averaging out"
                    .to_owned(),
            });
        };
        network.store().copy_from(trained.store())?;
        network.store().freeze_as(trained.store())?;
        Ok(Self { network, decay, is_preferred: true })
    }

    /// Follows the weights that step `step`, from 1, has left. Running statistics wait for the end of the epoch.
    pub(super) fn update(&self, trained: &ParameterStore, step: u64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let share = 1.0 - decay_at(self.decay, step);
        for (mine, theirs) in self.network.store().named().iter().zip(trained.named()) {
            if mine.role.is_trainable() {
                let mut target = mine.tensor.shallow_clone();
                let weight = Tensor::f_full([1], share, (target.kind(), target.device()))?;
                let _ = target.f_lerp_tensor_(&theirs.tensor, &weight)?;
            }
        }
        Ok(())
    }

    pub(super) fn network(&self) -> &dyn Classifier {
        self.network.as_ref()
    }

    /// Takes everything but the weights from `trained`; whether there are statistics that belong to weights.
    fn take_statistics(&self, trained: &ParameterStore) -> Result<bool> {
        let _no_grad = tch::no_grad_guard();
        let mut has_statistics = false;
        for (mine, theirs) in self.network.store().named().iter().zip(trained.named()) {
            if !mine.role.is_trainable() {
                has_statistics |= mine.tensor.is_floating_point();
                mine.tensor.shallow_clone().f_copy_(&theirs.tensor)?;
            }
        }
        Ok(has_statistics)
    }
}

/// The decay of an average after step `step`, from 1.
fn decay_at(decay: f64, step: u64) -> f64 {
    let step = step as f64;
    decay.min((1.0 + step) / (10.0 + step))
}

impl Run<'_> {
    /// Gives the average running statistics of its own, at the end of an epoch: on the last batches of the epoch, as training
    /// sees them. The passes count as training.
    ///
    /// # Errors
    /// When the network fails.
    pub(super) fn refresh_average(&mut self) -> Result<()> {
        let started = Instant::now();
        let Self { trained, feed, calendar, plan, method, world, books, .. } = self;
        let Some(average) = &trained.average else { return Ok(()) };
        if !average.take_statistics(trained.network.store())? {
            return Ok(());
        }
        let done = books.steps();
        let last = calendar.batch_number(done - 1);
        let first =
            calendar.batch_number(done - calendar.steps_per_epoch).max((last + 1).saturating_sub(BATCHES));
        let threat = plan.threat_at(calendar.progress(done - 1));
        let is_natural = method.is_natural() || calendar.is_natural(done - 1);
        let attack = Pgd::training(1, STEP * threat.epsilon(), Start::Random);
        let mut passes = Passes::default();
        for number in first..=last {
            let served = feed.serve(number, world.as_ref())?;
            let (batch, portion, parts) = (served.batch, served.portion, served.parts);
            let draws = Rng::new(plan.seed()).seeded("statistics", number as u64);
            let draws = draws.cut(portion.start, portion.images, portion.of);
            let pixels = if is_natural {
                batch.pixels
            } else {
                let mut oracle = Exact::new(average.network(), Mode::TrainFrozenStats).in_parts(parts);
                let under = UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws);
                let perturbed = run(&attack, &mut oracle, under)?;
                passes += oracle.passes();
                perturbed.into_pixels()
            };
            let _logits = plain_logits((average.network(), Mode::Train), parts, &pixels)?;
            passes.forward += pixels.size()[0] as u64;
        }
        average_statistics(world.as_ref(), average.network())?;
        books.charge(passes);
        books.add_training(started.elapsed().as_secs_f64());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trial::Trial;
    use tch::Kind;

    #[test]
    fn an_average_starts_up_and_then_trails_by_its_decay() {
        assert_eq!(decay_at(0.999, 1), 2.0 / 11.0);
        assert_eq!(decay_at(0.999, 90), 91.0 / 100.0);
        assert_eq!(decay_at(0.9, 90), 0.9);
        let trial = Trial::new("mlp", Kind::Double);
        let average = Averaging::of(trial.classifier.as_ref(), 0.9).unwrap();
        let value = |network: &dyn Classifier| network.store().trainable()[0].get(0).get(0).double_value(&[]);
        let (before, mut expected) = (value(average.network()), value(average.network()));
        for step in 1..=3 {
            let mut weight = trial.classifier.store().trainable().swap_remove(0);
            let _ = tch::no_grad(|| weight.g_add_scalar_(1.0));
            average.update(trial.classifier.store(), step).unwrap();
            let decay = (1.0 + step as f64) / (10.0 + step as f64);
            expected = decay * expected + (1.0 - decay) * (before + step as f64);
        }
        assert!((value(average.network()) - expected).abs() < 1e-12);
    }
}
