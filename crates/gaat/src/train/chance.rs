//! Runs that learn nothing: epochs in which the network does no better than guessing, and what helps.
//!
//! PGD from the first step on can hold a fresh network at the loss of guessing for a whole run, as on MNIST at 0.3
//! (docs/decisions/0002-epsilon-warm-up.md); so can a learning rate that is too large.

use super::books::Books;
use super::calendar::Calendar;
use gaat_data::ImageSource;
use gaat_spec::{EpochRecord, Event, Plan};

/// The name of the alarm in events and records.
const NAME: &str = "stuck";
/// A loss of this share of that of guessing is flat.
const FLAT: f64 = 0.98;
/// Accuracy within so many standard deviations of guessing is guessing.
const DEVIATIONS: f64 = 3.0;
/// Steps that any run may take before it learns something; the last epoch of a shorter one is told of all the same.
const PATIENCE: usize = 200;

/// What guessing gets on the training images, and what helps against it under a plan.
pub(super) struct Chance {
    /// Loss of a network that answers by the shares of the classes, nats.
    loss: f64,
    /// Share of the largest class: accuracy of a network that answers with it alone.
    accuracy: f64,
    images: usize,
    calendar: Calendar,
    remedies: String,
}

impl Chance {
    /// For `train` under `plan`.
    pub(super) fn new(train: &dyn ImageSource, plan: &Plan, calendar: Calendar) -> Self {
        let count = train.len().max(1) as f64;
        let shares = || {
            let counts = train.images_per_class().into_iter();
            counts.filter(|images| *images > 0).map(|images| images as f64 / count)
        };
        let mut remedies = Vec::new();
        if !plan.is_natural() {
            remedies.push(if plan.epsilon_warmup() == 0.0 {
                "a warm-up of epsilon (epsilon-warmup, such as 0.3)"
            } else {
                "a longer warm-up of epsilon (epsilon-warmup)"
            });
        }
        remedies.push("a smaller learning rate (learning-rate)");
        if calendar.total() < PATIENCE {
            remedies.push("more epochs (epochs)");
        }
        Self {
            loss: shares().map(|share| -share * share.ln()).sum(),
            accuracy: shares().fold(0.0, f64::max),
            images: train.len(),
            calendar,
            remedies: remedies.join(", "),
        }
    }

    /// Judges the epoch at hand, before its record is kept, by its loss, its training accuracy and its accuracy on `validated`
    /// clean images.
    pub(super) fn after_epoch(
        &self,
        epoch: usize,
        clean: Option<f64>,
        validated: usize,
        books: &mut Books,
    ) -> Option<Event> {
        let step = books.steps();
        let record = EpochRecord { validation_clean: clean, ..books.sums.record(epoch) };
        let before = &books.record.epochs;
        // Epochs just before this one that were no better than guessing.
        let stuck = before.iter().rev().take_while(|epoch| self.is_guessing(epoch, validated)).count();
        let since = &before[before.len() - stuck..];
        let is_told = since.iter().any(|epoch| epoch.alarms.iter().any(|alarm| alarm.starts_with(NAME)));
        let name = NAME.to_owned();
        if !self.is_guessing(&record, validated) {
            let message = format!(
                "loss {:.3}, {:.1} % of the training images are classified correctly",
                record.loss,
                100.0 * record.train_accuracy
            );
            return is_told.then_some(Event::Recovered { epoch, step, name, message });
        }
        if is_told || (step < PATIENCE && epoch < self.calendar.epochs) {
            return None;
        }
        let length = if stuck + 1 == epoch {
            "since the start".to_owned()
        } else {
            format!("since epoch {}", epoch - stuck)
        };
        let message = format!(
            "no better than guessing {length}: loss {:.3}, where guessing has {:.3}; {:.1} % of the training images are classified correctly",
            record.loss,
            self.loss,
            100.0 * record.train_accuracy
        );
        let action = format!("the training goes on unchanged; what helps: {}", self.remedies);
        books.sums.alarms.push(format!("{name} at step {step}: {message}; {action}"));
        Some(Event::Alarm { epoch, step, name, message, action })
    }

    fn is_guessing(&self, record: &EpochRecord, validated: usize) -> bool {
        let at_most = |images: usize| {
            let chance = self.accuracy;
            chance + DEVIATIONS * (chance * (1.0 - chance) / images.max(1) as f64).sqrt()
        };
        // Of one class there is nothing to learn.
        self.accuracy < 1.0
            && record.loss >= FLAT * self.loss
            && record.train_accuracy <= at_most(self.images)
            && record.validation_clean.is_none_or(|clean| clean <= at_most(validated))
    }
}
