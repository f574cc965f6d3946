//! Which epoch, batch and replay a step belongs to: pure functions of the number of steps done.

use super::batches::Batches;
use gaat_spec::Plan;

/// The steps of a run, laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) steps_per_epoch: usize,
    pub(super) epochs: usize,
    /// Natural epochs of a delay; they replay nothing.
    pub(super) natural_epochs: usize,
    /// Steps in succession on the same batch.
    pub(super) replays: usize,
}

impl Calendar {
    /// The calendar of `plan` with an epoch of `batches`, each given `replays` times.
    pub(super) fn new(plan: &Plan, batches: Batches, replays: usize) -> Self {
        Self {
            steps_per_epoch: batches.count(),
            epochs: plan.epochs(),
            natural_epochs: plan.natural_epochs(),
            replays,
        }
    }

    /// Steps of the whole run.
    pub(super) fn total(&self) -> usize {
        self.steps_per_epoch * self.epochs
    }

    /// The epoch, from 1, of the step after `done`.
    pub(super) fn epoch(&self, done: usize) -> usize {
        done / self.steps_per_epoch + 1
    }

    /// Whether the last of `done` steps was the last one of its epoch.
    pub(super) fn is_epoch_end(&self, done: usize) -> bool {
        done.is_multiple_of(self.steps_per_epoch)
    }

    /// Whether the step after `done` is one of the natural epochs of a delay.
    pub(super) fn is_natural(&self, done: usize) -> bool {
        self.epoch(done) <= self.natural_epochs
    }

    /// The epoch of the method, from 1, of the step after `done`: natural epochs count only among themselves.
    pub(super) fn method_epoch(&self, done: usize) -> usize {
        if self.is_natural(done) { self.epoch(done) } else { self.epoch(done) - self.natural_epochs }
    }

    /// Share of the run in the middle of the step after `done`, so that neither end has a learning rate of 0.
    pub(super) fn progress(&self, done: usize) -> f64 {
        (done as f64 + 0.5) / self.total() as f64
    }

    /// Number of the batch of the step after `done`: steps that replay a batch share its number.
    pub(super) fn batch_number(&self, done: usize) -> usize {
        let replayed = self.replayed(done);
        done - replayed + replayed / self.replays
    }

    /// How often in succession the step after `done` has been given its batch already.
    pub(super) fn replay(&self, done: usize) -> usize {
        self.replayed(done) % self.replays
    }

    /// Steps of `done` after the natural epochs.
    fn replayed(&self, done: usize) -> usize {
        done.saturating_sub(self.natural_epochs * self.steps_per_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_natural_and_replays_start_after_it() {
        let calendar = Calendar { steps_per_epoch: 4, epochs: 5, natural_epochs: 1, replays: 3 };
        assert_eq!(calendar.total(), 20);
        let batches: Vec<usize> = (0..14).map(|done| calendar.batch_number(done)).collect();
        assert_eq!(batches, [0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7]);
        let replays: Vec<usize> = (0..8).map(|done| calendar.replay(done)).collect();
        assert_eq!(replays, [0, 0, 0, 0, 0, 1, 2, 0]);
        let epochs: Vec<usize> = [0, 3, 4, 8].map(|done| calendar.epoch(done)).to_vec();
        assert_eq!(epochs, [1, 1, 2, 3]);
        let of_method: Vec<usize> = [0, 3, 4, 8].map(|done| calendar.method_epoch(done)).to_vec();
        assert_eq!(of_method, [1, 1, 1, 2]);
        assert!(calendar.is_natural(3) && !calendar.is_natural(4));
        assert!(calendar.is_epoch_end(4) && !calendar.is_epoch_end(5));
        assert!((calendar.progress(9) - 9.5 / 20.0).abs() < 1e-15);
    }
}
