//! The state of a run on disk: everything that the next step depends on, in one file.

use super::TrainingMethod;
use super::epoch::EpochSums;
use super::optimizer::Optimizer;
use crate::nn::Classifier;
use crate::{Error, Result, tensors};
use gaat_spec::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use tch::Tensor;

const KEY: &str = "gaat-training-state";
const WEIGHTS: &str = "weights.";
const AVERAGE: &str = "average.";
const OPTIMIZER: &str = "optimizer.";
const METHOD: &str = "method.";

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
}

/// Writes the state, atomically.
pub(super) fn save(
    path: &Path,
    position: &Position,
    classifier: &dyn Classifier,
    average: Option<&dyn Classifier>,
    optimizer: &Optimizer,
    method: &dyn TrainingMethod,
) -> Result<()> {
    let mut named = Vec::new();
    let mut add = |prefix: &str, state: Vec<(String, Tensor)>| {
        named.extend(state.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    };
    add(WEIGHTS, classifier.store().state()?);
    if let Some(average) = average {
        add(AVERAGE, average.store().state()?);
    }
    add(OPTIMIZER, optimizer.state());
    add(METHOD, method.state());
    let text = serde_json::to_string(position).map_err(std::io::Error::from)?;
    tensors::write(path, &named, HashMap::from([(KEY.to_owned(), text)]))
}

/// Reads the state into the networks, the optimiser and the method.
pub(super) fn load(
    path: &Path,
    classifier: &dyn Classifier,
    average: Option<&dyn Classifier>,
    optimizer: &mut Optimizer,
    method: &mut dyn TrainingMethod,
) -> Result<Position> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let document = tensors::read(path)?;
    let text = document.metadata.get(KEY).ok_or_else(|| failed("is not the state of a run".to_owned()))?;
    let position: Position =
        serde_json::from_str(text).map_err(|error| failed(format!("its state cannot be read: {error}")))?;
    let part = |prefix: &str| -> Vec<(String, Tensor)> {
        let named = document.tensors.iter();
        named
            .filter_map(|(name, tensor)| {
                Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
            })
            .collect()
    };
    let misfit = |error: Error| failed(error.to_string());
    classifier.store().load(&part(WEIGHTS)).map_err(misfit)?;
    if let Some(average) = average {
        average.store().load(&part(AVERAGE)).map_err(misfit)?;
    }
    optimizer.load(&part(OPTIMIZER), position.steps as u64).map_err(misfit)?;
    method.load_state(&part(METHOD)).map_err(misfit)?;
    Ok(position)
}
