//! AWP: adversarial weight perturbation (Wu, Xia and Wang 2020) round any adversarial method.

use crate::batch::Batch;
use crate::error::Result;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use crate::train::wrapped::answers_of_inner;
use crate::world::World;
use gaat_spec::AwpSpec;
use tch::Tensor;

/// Descends with the gradient at `w + gamma |w| g / |g|`, layer by layer, `g` the weight gradient of the method's own
/// objective on the same perturbed images. Weights alone are perturbed (no bias, no BatchNorm), one ascent step, as in the
/// authors' `utils_awp.py`; there weight decay and momentum act on the perturbed weights, here on the restored ones.
///
/// Cost: the forward and full backward passes of the method's descent once more, 3 units for a plain one. The ascent pass
/// uses batch statistics and does not update the running ones (the authors' runs on a copy of the network).
pub struct Awp {
    inner: Box<dyn TrainingMethod>,
    spec: AwpSpec,
}

impl Awp {
    /// `inner` with its weights perturbed.
    pub fn new(inner: Box<dyn TrainingMethod>, spec: AwpSpec) -> Self {
        Self { inner, spec }
    }
}

impl TrainingMethod for Awp {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        if context.epoch() > self.spec.warmup_epochs {
            context.perturb_weights_by(self.spec.gamma);
        }
        self.inner.step(context, batch)
    }

    answers_of_inner!();

    fn state(&self) -> Vec<(String, Tensor)> {
        self.inner.state()
    }

    fn whole_state(&self, world: &dyn World) -> Result<Vec<(String, Tensor)>> {
        self.inner.whole_state(world)
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        self.inner.load_state(state)
    }
}
