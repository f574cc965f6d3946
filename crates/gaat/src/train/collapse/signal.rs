//! The free signal of collapse: the smoothed gain ratio, and when it is worth a check.

use crate::taylor::GainRatio;
use serde::{Deserialize, Serialize};

/// What the sums keep from step to step.
const DECAY: f64 = 0.9;
/// From here on the model is taken to be a good one.
const HEALTHY: f64 = 0.5;
/// Below, it is suspected of having become useless.
const SUSPICIOUS: f64 = 0.3;
/// Steps after which a ratio that never rose is no longer put down to an untrained network: with BatchNorm it is near
/// 0 for the first thirty or so steps of any run.
const PATIENCE: usize = 100;
/// Steps before the sums say anything.
const SETTLING: usize = 10;
/// Steps between two signals.
const REST: usize = 50;
/// Nats an image; where less is predicted the quotient is noise.
const LEAST_PREDICTED: f64 = 1e-3;

/// What the ratio suggests; a check confirms it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::train) enum Signal {
    /// The model has become useless.
    Low,
    /// The model is good.
    High,
}

/// Actual and predicted increase of the loss, smoothed apart and then divided, and what was seen of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct SmoothedGain {
    actual: f64,
    predicted: f64,
    loss: f64,
    correct: f64,
    weight: f64,
    /// Steps in the sums.
    seen: usize,
    /// Steps of the run that predicted.
    steps: usize,
    armed: bool,
    rest: usize,
}

impl SmoothedGain {
    /// Takes note of a step on `images` images: its gain, the sum of its losses, and how many it classified correctly.
    pub(in crate::train) fn observe(
        &mut self,
        gain: GainRatio,
        loss: f64,
        correct: usize,
        images: usize,
    ) -> Option<Signal> {
        let each = |sum: f64| sum / images.max(1) as f64;
        let (actual, predicted, loss) = (each(gain.actual()), each(gain.predicted()), each(loss));
        self.steps += 1;
        self.rest = self.rest.saturating_sub(1);
        if !(actual.is_finite() && loss.is_finite() && (LEAST_PREDICTED..f64::INFINITY).contains(&predicted))
        {
            return None;
        }
        let mix = |old: f64, new: f64| DECAY * old + (1.0 - DECAY) * new;
        self.actual = mix(self.actual, actual);
        self.predicted = mix(self.predicted, predicted);
        self.loss = mix(self.loss, loss);
        self.correct = mix(self.correct, each(correct as f64));
        self.weight = mix(self.weight, 1.0);
        self.seen += 1;
        let ratio = self.ratio()?;
        self.armed |= ratio >= HEALTHY || self.steps >= PATIENCE;
        match ratio {
            _ if self.rest > 0 => None,
            ratio if ratio >= HEALTHY => Some(Signal::High),
            ratio if ratio < SUSPICIOUS && self.armed => Some(Signal::Low),
            _ => None,
        }
    }

    /// The smoothed gain ratio, once enough steps are in it.
    pub(in crate::train) fn ratio(&self) -> Option<f64> {
        (self.seen >= SETTLING).then(|| self.actual / self.predicted)
    }

    /// The smoothed training loss an image, over the same steps.
    pub(super) fn loss(&self) -> Option<f64> {
        (self.seen > 0).then(|| self.loss / self.weight)
    }

    /// The smoothed share of training images classified correctly under the method's own attack, over the same steps.
    pub(super) fn accuracy(&self) -> Option<f64> {
        (self.seen > 0).then(|| self.correct / self.weight)
    }

    /// Whether the ratio speaks for the model.
    pub(super) fn is_high(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio >= HEALTHY)
    }

    /// Whether the ratio speaks against it.
    pub(super) fn is_low(&self) -> bool {
        self.armed && self.ratio().is_some_and(|ratio| ratio < SUSPICIOUS)
    }

    /// Gives no signal for some steps: the last one has been followed.
    pub(in crate::train) fn rest(&mut self) {
        self.rest = REST;
    }

    /// Starts the sums again, for a network that is no longer the one they speak of.
    pub(super) fn forget(&mut self) {
        *self = Self { steps: self.steps, armed: self.armed, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: usize = 128;

    /// The steps, from 1, at which a series of ratios gives a signal that is followed.
    fn signals(predicted: f64, ratios: &[f64]) -> Vec<(usize, Signal)> {
        let mut smoothed = SmoothedGain::default();
        let mut found = Vec::new();
        for (index, ratio) in ratios.iter().enumerate() {
            let sums = |each: f64| each * IMAGES as f64;
            let gain = GainRatio::new(sums(ratio * predicted), sums(predicted));
            if let Some(signal) = smoothed.observe(gain, sums(2.0), 0, IMAGES) {
                found.push((index + 1, signal));
                if signal == Signal::Low {
                    smoothed.rest();
                }
            }
        }
        found
    }

    fn lows(predicted: f64, ratios: &[f64]) -> Vec<usize> {
        signals(predicted, ratios)
            .into_iter()
            .filter(|(_, signal)| *signal == Signal::Low)
            .map(|(step, _)| step)
            .collect()
    }

    /// A network with BatchNorm as measured on CIFAR-10: useless models for 30 steps, good ones from 60 on.
    fn healthy(steps: usize) -> Vec<f64> {
        (0..steps).map(|step| 0.05 + 0.95 * ((step as f64 - 30.0) / 30.0).clamp(0.0, 1.0)).collect()
    }

    #[test]
    fn a_healthy_run_and_its_untrained_start_raise_no_suspicion() {
        assert_eq!(lows(0.5, &healthy(400)), [0; 0]);
        assert_eq!(lows(0.5, &[0.05; 99]), [0; 0]);
        // As FGSM-MEP, and MNIST.
        assert_eq!(lows(0.5, &[0.67; 300]), [0; 0]);
        assert_eq!(lows(0.5, &[2.0; 300]), [0; 0]);
    }

    #[test]
    fn a_collapse_is_suspected_within_a_few_steps_and_then_every_fifty() {
        let mut series = healthy(200);
        series.extend([0.0; 110]);
        let found = lows(0.5, &series);
        // 0.9^12 is the first power below 0.3.
        assert_eq!(found, [212, 262]);
    }

    #[test]
    fn a_run_that_never_was_healthy_is_suspected_after_a_hundred_steps() {
        // Plain FGSM at 16/255.
        let series: Vec<f64> = (0..130).map(|step| if step < 60 { 0.4 } else { 0.02 }).collect();
        assert_eq!(lows(0.5, &series), [100]);
    }

    #[test]
    fn between_the_thresholds_nothing_is_said() {
        let mut series = healthy(100);
        series.extend([0.4; 100]);
        assert!(signals(0.5, &series).iter().all(|(step, signal)| *step < 120 && *signal == Signal::High));
    }

    #[test]
    fn small_and_meaningless_predictions_are_ignored() {
        assert_eq!(signals(1e-4, &[0.0; 300]), []);
        assert_eq!(signals(f64::NAN, &[0.0; 300]), []);
        let mut smoothed = SmoothedGain::default();
        for _ in 0..300 {
            assert_eq!(smoothed.observe(GainRatio::new(0.0, -1.0), 1.0, 0, 1), None);
        }
        assert_eq!((smoothed.ratio(), smoothed.loss()), (None, None));
    }

    #[test]
    fn what_is_forgotten_is_not_the_experience() {
        let mut smoothed = SmoothedGain::default();
        for _ in 0..20 {
            smoothed.observe(GainRatio::new(1.0, 1.0), 3.0, 0, 1);
        }
        assert!(smoothed.is_high() && (smoothed.loss().unwrap() - 3.0).abs() < 1e-12);
        smoothed.forget();
        assert_eq!((smoothed.ratio(), smoothed.armed), (None, true));
        let signals = (0..10).filter_map(|_| smoothed.observe(GainRatio::new(0.0, 1.0), 3.0, 0, 1)).count();
        assert_eq!((signals, smoothed.is_low()), (1, true));
    }
}
