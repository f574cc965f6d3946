//! What training changes: the network, the average of its weights, and the optimiser's memory.

use super::averaging::Averaging;
use super::named::{part, prefixed};
use super::optimizer::Optimizer;
use super::statistics::average_statistics;
use crate::error::Result;
use crate::nn::Classifier;
use crate::world::World;
use tch::Tensor;

const WEIGHTS: &str = "weights.";
const AVERAGE: &str = "average.";
const OPTIMIZER: &str = "optimizer.";

/// A network in training with all that follows its weights.
pub(super) struct Trained {
    pub(super) network: Box<dyn Classifier>,
    pub(super) average: Option<Averaging>,
    pub(super) optimizer: Optimizer,
}

impl Trained {
    /// The network that is judged and saved: the average where there is one and validation prefers it.
    pub(super) fn judged(&self) -> &dyn Classifier {
        let preferred = self.average.as_ref().filter(|average| average.is_preferred);
        preferred.map_or(self.network.as_ref(), Averaging::network)
    }

    /// Notes whether validation prefers the average.
    pub(super) fn prefer_average(&mut self, is_preferred: bool) {
        if let Some(average) = &mut self.average {
            average.is_preferred = is_preferred;
        }
    }

    /// Lets the average follow the weights that a step has left.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn follow(&self) -> Result<()> {
        self.average
            .as_ref()
            .map_or(Ok(()), |average| average.update(self.network.store(), self.optimizer.steps()))
    }

    /// Gives all of `world` the same running statistics: each process has followed its own images.
    ///
    /// # Errors
    /// When one of the others cannot be reached.
    pub(super) fn average_statistics(&self, world: &dyn World) -> Result<()> {
        average_statistics(world, self.network.as_ref())
    }

    /// Everything by the names of the state file, sharing storage.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut named: Vec<_> = prefixed(WEIGHTS, self.network.store().state()?).collect();
        if let Some(average) = &self.average {
            named.extend(prefixed(AVERAGE, average.network().store().state()?));
        }
        named.extend(prefixed(OPTIMIZER, self.optimizer.state()));
        Ok(named)
    }

    /// Sets what [`state`](Self::state) has given, after `steps` steps of the optimiser.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub(super) fn load(&mut self, named: &[(String, Tensor)], steps: u64) -> Result<()> {
        self.network.store().load(&part(named, WEIGHTS))?;
        if let Some(average) = &self.average {
            average.network().store().load(&part(named, AVERAGE))?;
        }
        self.optimizer.load(&part(named, OPTIMIZER), steps)
    }
}
