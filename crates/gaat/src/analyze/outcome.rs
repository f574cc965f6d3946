//! Sums over batches: the network's verdict, what the model missed, and time.

use crate::attack::{oracle, survival};
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::{Classifier, Mode, answer};
use crate::taylor::{Forecast, GainRatio};
use gaat_spec::Passes;
use gaat_spec::analysis::{AttackOutcome, Residual};
use gaat_spec::statistics::wilson_interval;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

fn sum(values: &Tensor) -> Result<f64> {
    Ok(values.f_sum(Kind::Double)?.f_double_value(&[])?)
}

/// Lets a device finish what it was told, so that a clock tells the truth.
pub(super) fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// Time of the attacks.
pub(super) struct Clock {
    device: Device,
    started: Instant,
    total: Duration,
}

impl Clock {
    pub(super) fn new(device: Device) -> Self {
        Self { device, started: Instant::now(), total: Duration::ZERO }
    }

    pub(super) fn start(&mut self) {
        wait_for(self.device);
        self.started = Instant::now();
    }

    /// Adds the time since the start, less what was spent `aside`.
    pub(super) fn stop(&mut self, aside: Duration) {
        wait_for(self.device);
        self.total += self.started.elapsed().saturating_sub(aside);
    }
}

/// What the network says about perturbed images.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passes: Passes,
    images: usize,
    withstood: usize,
    loss: f64,
}

impl Tally {
    /// Judges `pixels` in evaluation mode; hands back the loss of each, `[N]`.
    pub(super) fn add(
        &mut self,
        classifier: &dyn Classifier,
        batch: &Batch,
        pixels: &Tensor,
    ) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let logits = classifier.logits(pixels, Mode::Eval)?;
        let right = answer::verdicts(&logits)?.f_eq_tensor(&batch.labels)?;
        let clean = survival::correct(classifier, &batch.pixels, &batch.labels)?;
        let losses = oracle::losses(&logits, &batch.labels)?;
        self.images += batch.len();
        self.withstood += right.f_logical_and(&clean)?.f_sum(Kind::Int64)?.f_int64_value(&[])? as usize;
        self.loss += sum(&losses)?;
        Ok(losses)
    }

    pub(super) fn robust_accuracy(&self) -> f64 {
        self.withstood as f64 / self.images.max(1) as f64
    }

    pub(super) fn outcome(&self, clock: &Clock) -> AttackOutcome {
        AttackOutcome {
            robust_accuracy: self.robust_accuracy(),
            interval: wilson_interval(self.withstood, self.images),
            loss: self.loss / self.images.max(1) as f64,
            seconds: clock.total.as_secs_f64(),
            passes: self.passes,
        }
    }
}

/// What a model missed at the ends of its attacks.
#[derive(Debug, Default)]
pub(super) struct Misfit {
    images: usize,
    signed: f64,
    absolute: f64,
    gain: GainRatio,
}

impl Misfit {
    /// Takes note of true `losses` (`[N]`) and of the `forecast` for the same images.
    pub(super) fn add(&mut self, losses: &Tensor, forecast: &Forecast) -> Result<()> {
        let Forecast { anchor_losses, gains, .. } = forecast;
        let gained = losses - anchor_losses;
        let residual = &gained - gains;
        self.images += losses.size()[0] as usize;
        self.signed += sum(&residual)?;
        self.absolute += sum(&residual.f_abs()?)?;
        self.gain.add(GainRatio::new(sum(&gained)?, sum(gains)?));
        Ok(())
    }

    pub(super) fn residual(&self) -> Residual {
        let images = self.images.max(1) as f64;
        Residual { signed: self.signed / images, absolute: self.absolute / images }
    }

    pub(super) fn gain_ratio(&self) -> Option<f64> {
        self.gain.value()
    }
}
