//! A first-order model of every logit around an anchor, for attacks whose loss is not the cross-entropy.

use super::InputGradient;
use crate::attack::loss::Loss;
use crate::error::Result;
use crate::taylor::network::CountedNetwork;
use tch::Tensor;

/// `z(p) = z(a) + J (p - a)`, `J` the gradient of each logit in the pixels.
///
/// A network of rectifiers is linear in pieces: its logits have no curvature but at kinks, and every loss of them keeps
/// the bend of its own. Holds `classes` gradients an image.
pub(super) struct LogitExpansion {
    /// `[N, C, H, W]`.
    anchor: Tensor,
    /// `z(a)`, `[N, classes]`.
    logits: Tensor,
    /// `J`, `[N, classes, C * H * W]`.
    slopes: Tensor,
}

impl LogitExpansion {
    /// Expands the logits at `anchor` (`[N, C, H, W]`). Costs F + classes Bi.
    pub(super) fn new(network: &CountedNetwork, anchor: &Tensor) -> Result<Self> {
        let anchor = anchor.f_detach()?;
        let (logits, slopes) = network.every_logit(&anchor)?;
        Ok(Self { anchor, logits, slopes })
    }

    /// `loss` of the modelled logits at `points` (`[N, C, H, W]`), and its gradient. No pass.
    pub(super) fn ask(&self, loss: Loss, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        let displacement = points.f_sub(&self.anchor)?.f_flatten(1, -1)?;
        let gains = self.slopes.f_bmm(&displacement.f_unsqueeze(2)?)?.f_squeeze_dim(2)?;
        let logits = self.logits.f_add(&gains)?.f_set_requires_grad(true)?;
        let losses = tch::with_grad(|| loss.of(&logits, labels))?;
        let sum = tch::with_grad(|| losses.f_sum(losses.kind()))?;
        let in_logits = Tensor::f_run_backward(&[sum], &[&logits], false, false)?;
        let gradient = in_logits[0].f_unsqueeze(1)?.f_bmm(&self.slopes)?.f_view_as(points)?;
        Ok(InputGradient { losses: losses.f_detach()?, gradient, logits: None })
    }

    /// Number of classes.
    pub(super) fn classes(&self) -> i64 {
        self.logits.size()[1]
    }
}
