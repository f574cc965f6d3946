//! Exponential moving average of the weights, judged and saved instead of the weights themselves.

use crate::nn::{Classifier, ParameterStore};
use crate::{Error, Result};
use tch::Tensor;

/// A second network of the same architecture whose weights trail the trained ones.
pub(super) struct Averaging {
    network: Box<dyn Classifier>,
    decay: f64,
}

impl Averaging {
    /// An average that begins with the weights of `trained` as they are now.
    ///
    /// # Errors
    /// When the network cannot be built once more.
    pub(super) fn of(trained: &dyn Classifier, decay: f64) -> Result<Self> {
        let Some(network) = trained.twin()? else {
            return Err(Error::Model {
                model: trained.name(),
                reason: "cannot be built once more, which averaging its weights needs; give it a Classifier::twin, or \
                         leave weight-averaging out"
                    .to_owned(),
            });
        };
        network.store().copy_from(trained.store())?;
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
