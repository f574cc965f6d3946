//! Where attacks get their gradients from.

mod exact;
mod taylor;

pub(crate) use exact::losses;
pub use exact::{Exact, Loss};
pub use taylor::Taylor;

use crate::Result;
use gaat_spec::Passes;
use tch::Tensor;

/// What an oracle answers about a batch of points.
#[derive(Debug)]
pub struct InputGradient {
    /// Loss of each example, `[N]`.
    pub losses: Tensor,
    /// Gradient of the SUMMED loss, `[N, C, H, W]`: an example's gradient does not depend on its batch.
    pub gradient: Tensor,
    /// Logits `[N, classes]`, where the network was asked.
    pub logits: Option<Tensor>,
}

/// Answers for the loss and its gradient in the pixels.
pub trait GradientOracle {
    /// Loss and gradient at `points` (`[N, C, H, W]`) for `labels` (`[N]`).
    ///
    /// # Errors
    /// When the network refuses the points.
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient>;

    /// Passes so far, counted in images.
    fn passes(&self) -> Passes;

    /// Whether every answer comes from the network itself; evaluation accepts nothing else.
    fn is_exact(&self) -> bool;
}
