//! The state of a run on disk: everything that the next step depends on, in one file.

use super::collapse::GuardState;
use super::named::part;
use super::sums::EpochSums;
use crate::{Error, Result, tensors};
use gaat_spec::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

const KEY: &str = "gaat-training-state";

/// The numbers of a run between two steps. Random draws are pure functions of seed and step, so no generator state is
/// among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Optimiser steps done.
    pub(super) steps: usize,
    /// The unfinished epoch.
    pub(super) sums: EpochSums,
    /// The record so far.
    pub(super) record: RunRecord,
    /// The guard against collapse, where there is one.
    #[serde(rename = "watch")]
    pub(super) guard: Option<GuardState>,
}

/// All that the next step of a run depends on: where the run is, and the tensors that go with that, each under the prefix of
/// its part of the run.
#[derive(Debug)]
pub struct State {
    pub(super) position: Position,
    pub(super) tensors: Vec<(String, Tensor)>,
    /// The file that it was read from.
    path: Option<PathBuf>,
}

impl State {
    /// The state of a run now; the tensors share storage with it.
    pub(super) fn new(position: Position, tensors: Vec<(String, Tensor)>) -> Self {
        Self { position, tensors, path: None }
    }

    /// Why the run cannot go on from here.
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
        let text = serde_json::to_string(&self.position).map_err(std::io::Error::from)?;
        tensors::write(path, &self.tensors, HashMap::from([(KEY.to_owned(), text)]))
    }

    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing, damaged, or no state of a run.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let document = tensors::read(path)?;
        let text =
            document.metadata.get(KEY).ok_or_else(|| failed("is not the state of a run".to_owned()))?;
        let position = serde_json::from_str(text)
            .map_err(|error| failed(format!("its state cannot be read: {error}")))?;
        Ok(Self { position, tensors: document.tensors, path: Some(path.to_owned()) })
    }
}
