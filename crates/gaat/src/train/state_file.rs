//! The state of a run on disk: everything that the next step depends on, in one file.

use super::calendar::Calendar;
use super::collapse::GuardState;
use super::logs::Lengths;
use super::named::part;
use super::sums::EpochSums;
use crate::error::{Error, Result};
use crate::run::{STATE_KEY, WITHOUT_CHECKSUM};
use crate::tensors;
use gaat_spec::{RunRecord, visible};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Layout of the state.
pub(super) const STATE_SCHEMA: &str = "gaat-training-state-2";
/// Where a file says how much of the logs belongs to the state.
const LOGS: &str = "gaat-logs";

/// Whether the weights beside the state are as far as the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WeightsOnDisk {
    /// They are.
    Current,
    /// Those of the epoch just closed are still to be written, and the guard is still to act.
    Outdated,
}

/// The numbers of a run between two steps. Random draws are pure functions of seed and step, so no generator state is
/// among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) schema: String,
    /// Optimiser steps done.
    pub(super) steps: usize,
    /// The unfinished epoch.
    pub(super) sums: EpochSums,
    /// The record so far.
    pub(super) record: RunRecord,
    /// The guard against collapse, where there is one.
    #[serde(rename = "watch")]
    pub(super) guard: Option<GuardState>,
    /// How far the weights are.
    pub(super) weights: WeightsOnDisk,
}

impl Position {
    /// Whether a run of `calendar` can be here; else why not.
    pub(super) fn check(&self, calendar: &Calendar) -> std::result::Result<(), String> {
        let (steps, epochs, length) = (self.steps, self.record.epochs.len(), calendar.steps_per_epoch);
        if steps > calendar.total() {
            return impossible(&format!("{steps} steps done of {}", calendar.total()));
        }
        if epochs != steps / length {
            return impossible(&format!("{epochs} whole epochs after {steps} steps, {length} an epoch"));
        }
        if self.sums.steps() != steps % length {
            return impossible(&format!(
                "sums over {} steps of the epoch at step {steps}",
                self.sums.steps()
            ));
        }
        if self.weights == WeightsOnDisk::Outdated && (steps == 0 || steps % length != 0) {
            return impossible(&format!("an epoch of {length} steps ended at step {steps}"));
        }
        Ok(())
    }

    /// Whether the parts of the record fit each other; else why not.
    fn check_record(&self) -> std::result::Result<(), String> {
        let epochs = &self.record.epochs;
        let odd = epochs.iter().enumerate().find(|(place, found)| found.epoch != place + 1);
        if let Some((place, found)) = odd {
            return impossible(&format!("its epoch {} is called {}", place + 1, found.epoch));
        }
        match self.record.best_epoch.filter(|best| !(1..=epochs.len()).contains(best)) {
            Some(best) => impossible(&format!("epoch {best} is the best of {}", epochs.len())),
            None => Ok(()),
        }
    }
}

fn impossible(what: &str) -> std::result::Result<(), String> {
    Err(format!("is in a position that the run cannot reach: {what}"))
}

/// All that the next step of a run depends on: where the run is, and the tensors that go with that, each under the prefix of
/// its part of the run.
#[derive(Debug)]
pub struct State {
    pub(super) position: Position,
    pub(super) tensors: Vec<(String, Tensor)>,
    /// What of the logs belongs to it.
    pub(super) logs: Lengths,
    /// The file that it was read from.
    path: Option<PathBuf>,
}

impl State {
    /// The state of a run now; the tensors share storage with it.
    pub(super) fn new(position: Position, tensors: Vec<(String, Tensor)>) -> Self {
        Self { position, tensors, logs: Lengths::default(), path: None }
    }

    /// Why the run cannot continue from here.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        let reason = reason.into();
        match &self.path {
            Some(path) => Error::File { path: path.clone(), reason },
            None => Error::Usage(format!("the state of the run {reason}")),
        }
    }

    /// Steps of the optimiser that were done.
    pub fn steps(&self) -> usize {
        self.position.steps
    }

    /// The tensors under `prefix`, without it.
    pub(super) fn part(&self, prefix: &str) -> Vec<(String, Tensor)> {
        part(&self.tensors, prefix)
    }

    /// Writes the state, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_with(path, self.logs)
    }

    /// The same, with what of the logs belongs to the state.
    pub(super) fn write_with(&self, path: &Path, logs: Lengths) -> Result<()> {
        let text = serde_json::to_string(&self.position).map_err(std::io::Error::from)?;
        let logs = serde_json::to_string(&logs).map_err(std::io::Error::from)?;
        tensors::write(path, &self.tensors, &BTreeMap::from([(STATE_KEY, text), (LOGS, logs)]))
    }

    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing, damaged, of another layout, or no state of a run.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let document = tensors::read(path)?;
        let metadata = |key: &str| {
            document.metadata.get(key).ok_or_else(|| failed("is not the state of a run".to_owned()))
        };
        let unreadable = |error: serde_json::Error| failed(format!("its state cannot be read: {error}"));
        let text = metadata(STATE_KEY)?;
        if !document.is_checked {
            return Err(failed(WITHOUT_CHECKSUM.to_owned()));
        }
        let position: Position = serde_json::from_str(text).map_err(unreadable)?;
        if position.schema != STATE_SCHEMA {
            let found = visible(&position.schema);
            return Err(failed(format!("has layout {found}, this version reads {STATE_SCHEMA}")));
        }
        position.check_record().map_err(failed)?;
        let logs = serde_json::from_str(metadata(LOGS)?).map_err(unreadable)?;
        Ok(Self { position, tensors: document.tensors, logs, path: Some(path.to_owned()) })
    }
}
