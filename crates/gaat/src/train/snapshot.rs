//! The last healthy network of a run, to which a rollback returns.

use super::checkpoint::{restore_trained, trained};
use super::optimizer::Optimizer;
use crate::Result;
use crate::nn::Classifier;
use tch::Tensor;

/// Copies of the weights, their average and the optimiser's memory.
#[derive(Debug)]
pub(super) struct Snapshot {
    tensors: Vec<(String, Tensor)>,
}

impl Snapshot {
    pub(super) fn take(
        classifier: &dyn Classifier,
        average: Option<&dyn Classifier>,
        optimizer: &Optimizer,
    ) -> Result<Self> {
        let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_detach()?.f_alias_copy()?));
        let tensors =
            trained(classifier, average, optimizer)?.into_iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { tensors })
    }

    /// From the tensors of a state file; `None` without any.
    pub(super) fn of(tensors: Vec<(String, Tensor)>) -> Option<Self> {
        (!tensors.is_empty()).then_some(Self { tensors })
    }

    /// By name, sharing storage.
    pub(super) fn tensors(&self) -> Vec<(String, Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Sets everything back. The optimiser's count of steps goes on.
    pub(super) fn restore(
        &self,
        classifier: &dyn Classifier,
        average: Option<&dyn Classifier>,
        optimizer: &mut Optimizer,
    ) -> Result<()> {
        let steps = optimizer.steps();
        restore_trained(&self.tensors, classifier, average, optimizer, steps)
    }
}
