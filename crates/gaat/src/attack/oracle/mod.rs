//! Where attacks get their gradients from.

mod exact;
mod logits;
mod taylor;

pub use exact::Exact;
pub(crate) use exact::losses;
pub use taylor::Taylor;

use super::loss::Loss;
use crate::error::{Error, Result};
use gaat_spec::Passes;
use tch::Tensor;

/// What an oracle answers about a batch of points.
#[derive(Debug)]
pub struct InputGradient {
    /// Loss of each example, `[N]`.
    pub losses: Tensor,
    /// Gradient of the SUMMED loss, `[N, C, H, W]`: an example's gradient does not depend on its batch.
    pub gradient: Tensor,
    /// Logits `[N, classes]`, where the network itself was asked: a verdict, on which examples leave an attack.
    pub logits: Option<Tensor>,
}

/// What [`GradientOracle::of_each_class`] hands its answers to, with the class.
pub type Visitor<'v> = dyn FnMut(i64, InputGradient) -> Result<()> + 'v;

/// Answers for the loss and its gradient in the pixels.
pub trait GradientOracle {
    /// The loss that the oracle was made for, usually the cross-entropy, and its gradient at `points`
    /// (`[N, C, H, W]`) for `labels` (`[N]`).
    ///
    /// # Errors
    /// When the network refuses the points.
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient>;

    /// The same for a loss that the attack chooses.
    ///
    /// # Errors
    /// When the oracle does not answer for this loss, or the network refuses the points.
    fn of(&mut self, loss: Loss, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        match loss {
            Loss::CrossEntropy => self.at(points, labels),
            other => Err(Error::Usage(format!(
                "this source of gradients answers for the cross-entropy alone, not for {other:?}"
            ))),
        }
    }

    /// The same for [`Loss::MarginTowards`] every class in turn, the label's own too, at the price of one forward pass:
    /// `visit` gets each class and its answer.
    ///
    /// # Errors
    /// When the oracle does not answer for logits, the network refuses the points, or `visit` fails.
    fn of_each_class(&mut self, _points: &Tensor, _labels: &Tensor, _visit: &mut Visitor) -> Result<()> {
        Err(Error::Usage("this source of gradients knows no logits, which this attack climbs".to_owned()))
    }

    /// The network's own logits `[N, classes]` at `points`, wherever gradients come from.
    ///
    /// # Errors
    /// When the oracle knows no network, or the network refuses the points.
    fn logits(&mut self, _points: &Tensor) -> Result<Tensor> {
        Err(Error::Usage("this source of gradients knows no logits, which this attack asks for".to_owned()))
    }

    /// Passes so far, counted in images.
    fn passes(&self) -> Passes;

    /// Whether every answer comes from the network itself; evaluation accepts nothing else.
    fn is_exact(&self) -> bool;
}
