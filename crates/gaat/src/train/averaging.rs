//! Exponential moving average of the weights, judged and saved instead of the weights themselves.

use crate::Result;
use crate::nn::{Classifier, ParameterStore};
use tch::Tensor;

/// A second network of the same architecture whose weights trail the trained ones.
pub(super) struct Averaging {
    network: Box<dyn Classifier>,
    decay: f64,
}

impl Averaging {
    /// `network` is overwritten with the trained weights as they are now.
    pub(super) fn new(network: Box<dyn Classifier>, trained: &ParameterStore, decay: f64) -> Result<Self> {
        network.store().copy_from(trained)?;
        Ok(Self { network, decay })
    }

    /// `average <- decay average + (1 - decay) trained`; running statistics are copied.
    pub(super) fn update(&self, trained: &ParameterStore) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (mine, theirs) in self.network.store().named().iter().zip(trained.named()) {
            let mut target = mine.tensor.shallow_clone();
            if mine.role.is_trainable() {
                let weight = Tensor::f_full([1], 1.0 - self.decay, (target.kind(), target.device()))?;
                let _ = target.f_lerp_tensor_(&theirs.tensor, &weight)?;
            } else {
                target.f_copy_(&theirs.tensor)?;
            }
        }
        Ok(())
    }

    pub(super) fn network(&self) -> &dyn Classifier {
        self.network.as_ref()
    }
}
