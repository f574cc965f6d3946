//! What a method may ask the network beside its attack: gradients in the pixels of losses of its own.

use super::step::StepContext;
use crate::attack::InputGradient;
use crate::error::Result;
use crate::nn::Mode;
use gaat_spec::Passes;
use tch::Tensor;

/// Makes the loss of each image, `[N]`, of its logits, `[N, classes]`.
pub type Losses<'l> = &'l dyn Fn(&Tensor) -> Result<Tensor>;

impl StepContext<'_> {
    /// The gradient of the summed `losses` in `pixels` (`[N, C, H, W]`), BatchNorm in `mode`, which has to leave running statistics
    /// alone. The images are computed at once and need not be those of the batch. Counted as part of the attack.
    ///
    /// # Errors
    /// When the network refuses the pixels, or the losses do not depend on them.
    pub fn gradient_of(&mut self, mode: Mode, pixels: &Tensor, losses: Losses<'_>) -> Result<InputGradient> {
        let started = self.mark()?;
        let points = pixels.f_detach()?.f_set_requires_grad(true)?;
        let logits = self.classifier.logits(&points, mode)?;
        let each = losses(&logits)?;
        let gradient = Tensor::f_run_backward(&[each.f_sum(each.kind())?], &[&points], false, false)?;
        let count = points.size()[0] as u64;
        self.passes += Passes { forward: count, input_backward: count, ..Passes::default() };
        self.attack_ends(started)?;
        Ok(InputGradient {
            losses: each.f_detach()?,
            gradient: gradient[0].f_contiguous()?,
            logits: Some(logits.f_detach()?),
        })
    }
}
