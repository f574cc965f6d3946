//! The state of a run on disk: everything that the next step depends on, in one file.

use super::collapse::GuardState;
use super::named::part;
use super::sums::EpochSums;
use crate::{Error, Result, tensors};
use gaat_spec::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
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

/// A position and the tensors that go with it, each under the prefix of its part of the run.
pub(super) struct State {
    pub(super) position: Position,
    pub(super) tensors: Vec<(String, Tensor)>,
}

impl State {
    /// The tensors under `prefix`, without it.
    pub(super) fn part(&self, prefix: &str) -> Vec<(String, Tensor)> {
        part(&self.tensors, prefix)
    }

    /// Writes the state, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(&self.position).map_err(std::io::Error::from)?;
        tensors::write(path, &self.tensors, HashMap::from([(KEY.to_owned(), text)]))
    }

    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When the file is missing, damaged, or no state of a run.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let document = tensors::read(path)?;
        let text =
            document.metadata.get(KEY).ok_or_else(|| failed("is not the state of a run".to_owned()))?;
        let position = serde_json::from_str(text)
            .map_err(|error| failed(format!("its state cannot be read: {error}")))?;
        Ok(Self { position, tensors: document.tensors })
    }
}
