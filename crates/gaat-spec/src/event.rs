//! What a run tells its observers while it continues.

use crate::record::{EpochRecord, RunRecord, Seconds};
use serde::Serialize;

/// Everything that can be observed; one JSON line each in `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins or continues.
    Started {
        /// The record as it stands.
        record: Box<RunRecord>,
        /// Steps of one epoch.
        steps_per_epoch: usize,
        /// Steps already done, when resumed.
        steps_done: usize,
        /// What the reader of the data had to say though it stopped nothing, such as files left out.
        warnings: Vec<String>,
    },
    /// One optimiser step is done.
    Step {
        /// From 1.
        epoch: usize,
        /// Over the whole run, from 1.
        step: usize,
        /// Images of the batch.
        images: usize,
        /// Mean loss of the batch.
        loss: f64,
        /// Share of the batch classified correctly as trained on.
        accuracy: f64,
        /// Used in this step.
        learning_rate: f64,
        /// Actual over predicted increase of the loss by the attack.
        gain_ratio: Option<f64>,
        /// Gradients that the attack took, a mean over the images of the batch.
        refreshes: f64,
        /// Time of this step.
        seconds: Seconds,
    },
    /// Something is going wrong in a way that numbers alone would hide.
    Alarm {
        /// From 1.
        epoch: usize,
        /// The step after which it was raised, over the whole run, from 1.
        step: usize,
        /// What is wrong, in one word: `collapse`.
        name: String,
        /// What was seen.
        message: String,
        /// What is done about it.
        action: String,
    },
    /// An alarm is over.
    Recovered {
        /// From 1.
        epoch: usize,
        /// The step after which that was seen, over the whole run, from 1.
        step: usize,
        /// The alarm.
        name: String,
        /// What was seen.
        message: String,
    },
    /// Validation of an epoch begins.
    Validating {
        /// From 1.
        epoch: usize,
    },
    /// An epoch with its validation is done.
    Epoch {
        /// Its record.
        record: EpochRecord,
        /// Passes of the run so far over those of natural training.
        cost_ratio: f64,
    },
    /// A checkpoint is safely on disk.
    Checkpoint {
        /// Epoch it holds.
        epoch: usize,
        /// Whether it is the best so far.
        best: bool,
    },
    /// The run ended, in whatever way.
    Ended {
        /// The final record.
        record: Box<RunRecord>,
    },
}
