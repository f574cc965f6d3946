//! The last healthy weights of a run, to which a rollback returns.

use crate::error::Result;
use crate::train::trained::Trained;
use tch::Tensor;

/// Copies of the weights, their average and the optimiser's memory.
#[derive(Debug)]
pub(in crate::train) struct Snapshot {
    tensors: Vec<(String, Tensor)>,
}

impl Snapshot {
    /// Copies all of `trained`.
    pub(in crate::train) fn take(trained: &Trained) -> Result<Self> {
        let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_detach()?.f_alias_copy()?));
        let tensors = trained.state()?.into_iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { tensors })
    }

    /// From the tensors of a state file; `None` without any.
    pub(in crate::train) fn of(tensors: Vec<(String, Tensor)>) -> Option<Self> {
        (!tensors.is_empty()).then_some(Self { tensors })
    }

    /// By name, sharing storage.
    pub(in crate::train) fn tensors(&self) -> Vec<(String, Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Sets everything back. The optimiser's count of steps continues.
    pub(super) fn restore(&self, trained: &mut Trained) -> Result<()> {
        let steps = trained.optimizer.steps();
        trained.load(&self.tensors, steps)
    }
}
