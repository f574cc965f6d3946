//! The books of a run: its record, the sums of the epoch, and the steps whose numbers are still on the device.

use super::launch::{Launched, Stepped};
use super::state_file::Position;
use super::sums::EpochSums;
use super::validation::Accuracy;
use crate::error::Result;
use crate::nn::ParameterStore;
use gaat_spec::{EpochRecord, Passes, RunRecord, Seconds, Status};
use std::collections::VecDeque;
use tch::Device;

/// Steps that a GPU may be behind: the program tells it the next ones while their numbers are on the way, so that it never
/// waits. What depends on those numbers, refinement and alarms, follows as many steps late.
const IN_FLIGHT: usize = 4;

/// What a run has done and spent.
pub(super) struct Books {
    pub(super) record: RunRecord,
    pub(super) sums: EpochSums,
    /// Steps that the device was told to do.
    steps: usize,
    /// Those of them that were not read yet.
    launched: VecDeque<Launched>,
    /// Steps that may stay unread.
    in_flight: usize,
}

impl Books {
    /// The books of a run at step 0 on `device`.
    pub(super) fn new(record: RunRecord, device: Device) -> Self {
        let in_flight = if device.is_cuda() { IN_FLIGHT } else { 0 };
        Self { record, sums: EpochSums::default(), steps: 0, launched: VecDeque::new(), in_flight }
    }

    /// Continues from `position`, on the machine that these books were opened on.
    pub(super) fn resume(&mut self, position: Position) {
        let RunRecord { environment, images_lay, .. } = &self.record;
        let (environment, images_lay) = (environment.clone(), *images_lay);
        self.record =
            RunRecord { environment, images_lay, status: Status::Running, failure: None, ..position.record };
        self.sums = position.sums;
        self.steps = position.steps;
    }

    /// Steps that the device was told to do.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Enters a step that the device was told to do.
    pub(super) fn enter(&mut self, launched: Launched) {
        self.launched.push_back(launched);
        self.steps += 1;
    }

    /// Adds passes to what the run has cost.
    pub(super) fn charge(&mut self, passes: Passes) {
        self.record.passes += passes;
        self.record.cost_ratio = self.record.passes.cost_ratio(self.record.images);
    }

    /// The oldest step that was not handed out yet, read; `None` while a GPU may have as many unread steps as there are.
    /// With `all` none may stay unread.
    ///
    /// # Errors
    /// When the step has failed, or its loss or a gradient in the weights of `store` is not finite.
    pub(super) fn read_next(&mut self, all: bool, store: &ParameterStore) -> Result<Option<Stepped>> {
        if self.launched.len() <= if all { 0 } else { self.in_flight } {
            return Ok(None);
        }
        let Some(launched) = self.launched.pop_front() else { return Ok(None) };
        let stepped = launched.read(store)?;
        self.record.images += stepped.outcome.images as u64;
        self.charge(stepped.passes);
        self.sums.seconds += stepped.seconds;
        self.sums.add(&stepped.outcome, stepped.learning_rate);
        Ok(Some(stepped))
    }

    /// Closes the books of `epoch`, which was validated to `accuracy`.
    pub(super) fn close_epoch(&mut self, epoch: usize, accuracy: Accuracy) -> EpochRecord {
        let mut record = self.sums.record(epoch);
        record.validation_clean = accuracy.clean;
        record.validation_robust = accuracy.robust;
        record.averaged = accuracy.averaged;
        record.validation_robust_other = accuracy.robust_of_other;
        self.record.seconds += self.sums.seconds;
        self.record.epochs.push(record.clone());
        self.sums = EpochSums::default();
        record
    }

    /// Seconds of a validation, which no step has taken.
    pub(super) fn add_evaluation(&mut self, evaluation: f64) {
        self.sums.seconds += Seconds { evaluation, ..Seconds::default() };
    }

    /// Seconds of training that no step has taken.
    pub(super) fn add_training(&mut self, train: f64) {
        self.sums.seconds += Seconds { train, total: train, ..Seconds::default() };
    }

    /// Whether the last epoch that was closed is the best by validation, whose attack does not count for natural
    /// training.
    pub(super) fn is_last_best(&self, is_natural: bool) -> bool {
        let epochs = &self.record.epochs;
        let score = |epoch: usize| epochs.get(epoch.saturating_sub(1)).map(|epoch| score(epoch, is_natural));
        self.record.best_epoch.is_none_or(|best| score(epochs.len()) >= score(best))
    }

    /// The best robust validation accuracy of the epochs that were closed.
    pub(super) fn best_robust(&self) -> Option<f64> {
        self.record.epochs.iter().filter_map(|epoch| epoch.validation_robust).reduce(f64::max)
    }
}

/// What the best epoch has most of: robust accuracy; clean accuracy for natural training or where nothing is attacked.
fn score(epoch: &EpochRecord, is_natural: bool) -> f64 {
    let robust = if is_natural { None } else { epoch.validation_robust };
    // Without validation images the last epoch counts as the best.
    robust.or(epoch.validation_clean).unwrap_or(epoch.epoch as f64)
}
