//! The state of a run on disk: everything that the next step depends on, in one file.

use super::TrainingMethod;
use super::epoch::EpochSums;
use super::optimizer::Optimizer;
use super::snapshot::Snapshot;
use super::watch::WatchState;
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
const HEALTHY: &str = "healthy.";

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
    /// The watch against collapse, where there is one.
    pub(super) watch: Option<WatchState>,
}

/// Writes the state, atomically.
pub(super) fn save(
    path: &Path,
    position: &Position,
    classifier: &dyn Classifier,
    average: Option<&dyn Classifier>,
    optimizer: &Optimizer,
    method: &dyn TrainingMethod,
    healthy: Option<&Snapshot>,
) -> Result<()> {
    let mut named = trained(classifier, average, optimizer)?;
    named.extend(prefixed(METHOD, method.state()));
    if let Some(healthy) = healthy {
        named.extend(prefixed(HEALTHY, healthy.tensors()));
    }
    let text = serde_json::to_string(position).map_err(std::io::Error::from)?;
    tensors::write(path, &named, HashMap::from([(KEY.to_owned(), text)]))
}

/// Weights, average and optimiser memory by the names of the state file.
pub(super) fn trained(
    classifier: &dyn Classifier,
    average: Option<&dyn Classifier>,
    optimizer: &Optimizer,
) -> Result<Vec<(String, Tensor)>> {
    let mut named: Vec<_> = prefixed(WEIGHTS, classifier.store().state()?).collect();
    if let Some(average) = average {
        named.extend(prefixed(AVERAGE, average.store().state()?));
    }
    named.extend(prefixed(OPTIMIZER, optimizer.state()));
    Ok(named)
}

/// Sets what [`trained`] has given, after `steps` steps.
pub(super) fn restore_trained(
    named: &[(String, Tensor)],
    classifier: &dyn Classifier,
    average: Option<&dyn Classifier>,
    optimizer: &mut Optimizer,
    steps: u64,
) -> Result<()> {
    classifier.store().load(&part(named, WEIGHTS))?;
    if let Some(average) = average {
        average.store().load(&part(named, AVERAGE))?;
    }
    optimizer.load(&part(named, OPTIMIZER), steps)
}

fn prefixed(prefix: &str, state: Vec<(String, Tensor)>) -> impl Iterator<Item = (String, Tensor)> + '_ {
    state.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
}

/// The tensors under `prefix`, without it.
fn part(named: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    let strip = |(name, tensor): &(String, Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    named.iter().filter_map(strip).collect()
}

/// Reads the state into the networks, the optimiser and the method; hands back the rest.
pub(super) fn load(
    path: &Path,
    classifier: &dyn Classifier,
    average: Option<&dyn Classifier>,
    optimizer: &mut Optimizer,
    method: &mut dyn TrainingMethod,
) -> Result<(Position, Option<Snapshot>)> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let document = tensors::read(path)?;
    let text = document.metadata.get(KEY).ok_or_else(|| failed("is not the state of a run".to_owned()))?;
    let position: Position =
        serde_json::from_str(text).map_err(|error| failed(format!("its state cannot be read: {error}")))?;
    let named = &document.tensors;
    let misfit = |error: Error| failed(error.to_string());
    restore_trained(named, classifier, average, optimizer, position.steps as u64).map_err(misfit)?;
    method.load_state(&part(named, METHOD)).map_err(misfit)?;
    Ok((position, Snapshot::of(part(named, HEALTHY))))
}
