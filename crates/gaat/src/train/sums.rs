//! Sums over the steps of an epoch, which survive a stop in its middle.

use super::step::StepOutcome;
use crate::taylor::GainRatio;
use gaat_spec::collapse::Share;
use gaat_spec::{EpochRecord, Seconds};
use serde::{Deserialize, Serialize};

/// What an epoch has added up so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochSums {
    loss: f64,
    images: usize,
    correct: usize,
    gain: GainRatio,
    /// Images whose attack has a prediction that is a finite number.
    #[serde(default)]
    predicted: usize,
    refreshes: f64,
    steps: usize,
    pub(super) seconds: Seconds,
    learning_rate: f64,
    /// Alarms raised in the epoch.
    pub(super) alarms: Vec<String>,
}

impl EpochSums {
    pub(super) fn add(&mut self, outcome: &StepOutcome, learning_rate: f64) {
        self.loss += outcome.loss;
        self.images += outcome.images;
        self.correct += outcome.correct;
        if let Some(gain) = outcome.gain.filter(GainRatio::is_finite) {
            self.gain.add(gain);
            self.predicted += outcome.images;
        }
        self.refreshes += outcome.refreshes;
        self.steps += 1;
        self.learning_rate = learning_rate;
    }

    /// Share of the training images classified correctly as they were trained on.
    pub(super) fn accuracy(&self) -> Share {
        Share { share: self.correct as f64 / self.images.max(1) as f64, images: self.images }
    }

    /// Steps added up.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The record of the epoch, without its validation.
    pub(super) fn record(&self, epoch: usize) -> EpochRecord {
        let images = self.images.max(1) as f64;
        EpochRecord {
            epoch,
            seconds: self.seconds,
            loss: self.loss / images,
            train_accuracy: self.accuracy().share,
            validation_clean: None,
            validation_robust: None,
            averaged: None,
            validation_robust_other: None,
            learning_rate: self.learning_rate,
            gain_ratio: self.gain.value(),
            residual: (self.predicted > 0)
                .then(|| (self.gain.actual() - self.gain.predicted()) / self.predicted as f64),
            refreshes: self.refreshes / self.steps.max(1) as f64,
            alarms: self.alarms.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_residual_is_a_mean_over_the_images_that_have_one() {
        let mut sums = EpochSums::default();
        let outcome = |gain| StepOutcome { images: 10, loss: 10.0, correct: 5, gain, refreshes: 1.0 };
        sums.add(&outcome(None), 0.1);
        assert_eq!(sums.record(1).residual, None);
        sums.add(&outcome(Some(GainRatio::new(3.0, 1.0))), 0.1);
        sums.add(&outcome(Some(GainRatio::new(f64::NAN, 1.0))), 0.1);
        assert_eq!(sums.record(1).residual, Some(0.2));
        assert_eq!(sums.record(1).loss, 1.0);
    }
}
