//! The Taylor oracle: answers from an expansion of the loss, for which the network is asked once.

use super::{Exact, GradientOracle, InputGradient};
use crate::taylor::Expansion;
use crate::{Error, Result};
use gaat_spec::{Anchor, Curvature, Passes};
use tch::Tensor;

/// Expands the loss on the first question and answers that and every later one from the expansion.
///
/// One oracle serves one batch: examples must keep their places between questions.
pub struct Taylor<'a> {
    exact: Exact<'a>,
    clean: Tensor,
    anchor: Anchor,
    curvature: Curvature,
    expansion: Option<Expansion>,
}

impl<'a> Taylor<'a> {
    /// An oracle for the batch `clean` (`[N, C, H, W]`). With [`Anchor::RandomStart`] the expansion is at the first
    /// point asked about, which is where the attack starts.
    pub fn new(exact: Exact<'a>, clean: &Tensor, anchor: Anchor, curvature: Curvature) -> Self {
        Self { exact, clean: clean.shallow_clone(), anchor, curvature, expansion: None }
    }

    /// An oracle that answers from `expansion` and never asks the network.
    pub fn around(exact: Exact<'a>, expansion: Expansion) -> Self {
        let clean = expansion.anchor.shallow_clone();
        let (anchor, curvature) = (Anchor::RandomStart, expansion.curvature);
        Self { exact, clean, anchor, curvature, expansion: Some(expansion) }
    }

    /// The expansion, by value.
    ///
    /// # Errors
    /// When no question was asked.
    pub fn into_expansion(self) -> Result<Expansion> {
        self.expansion.ok_or_else(|| Error::Usage("the attack never asked for a gradient".to_owned()))
    }

    /// The expansion, once a question was asked.
    pub fn expansion(&self) -> Option<&Expansion> {
        self.expansion.as_ref()
    }

    fn expand(&mut self, first: &Tensor, labels: &Tensor) -> Result<Expansion> {
        let anchor = match self.anchor {
            Anchor::Clean => self.clean.shallow_clone(),
            Anchor::RandomStart => first.f_detach()?,
        };
        let InputGradient { losses, gradient, .. } = self.exact.at(&anchor, labels)?;
        Ok(Expansion { anchor, losses, gradient, curvature: self.curvature })
    }
}

impl GradientOracle for Taylor<'_> {
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        if points.size() != self.clean.size() {
            return Err(Error::Usage(
                "a Taylor oracle serves one batch; it was asked about another".to_owned(),
            ));
        }
        let expansion = match self.expansion.take() {
            Some(expansion) => expansion,
            None => self.expand(points, labels)?,
        };
        let answer = InputGradient {
            losses: &expansion.losses + expansion.predicted_gain(points),
            gradient: expansion.gradient_at(points),
            logits: None,
        };
        self.expansion = Some(expansion);
        Ok(answer)
    }

    fn passes(&self) -> Passes {
        self.exact.passes()
    }

    fn is_exact(&self) -> bool {
        false
    }
}
