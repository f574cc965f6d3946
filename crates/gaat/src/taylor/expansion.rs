//! A model of each example's loss around an anchor.

use super::curvature::{self, InputHessian, Site};
use super::gain::UnreadGain;
use super::model::TaylorModel;
use super::network::CountedNetwork;
use super::third_order::ThirdOrder;
use crate::error::Result;
use crate::nn::Draws;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// `m(p) = l(a) + g.s + 1/2 s.H s (+ 1/6 T(s,s,s))` with `s = p - a`, an example at a time (arXiv 2309.09464, equation
/// for the Taylor expansion of the adversarial loss; the remainder R is what it leaves out).
pub struct Expansion<'a> {
    /// The point of expansion `a`, `[N, C, H, W]`; it may lie outside `[0, 1]`.
    pub anchor: Tensor,
    /// `l(a)`, `[N]`.
    pub losses: Tensor,
    /// `g`: gradient of the summed loss at `a`, `[N, C, H, W]`.
    pub gradient: Tensor,
    /// Logits at `a`, `[N, classes]`, where the network was asked there.
    pub logits: Option<Tensor>,
    /// The same with their graph, where it was to be kept.
    recorded: Option<Tensor>,
    /// Model of `H`; without one the model is of first order.
    curvature: Option<Box<dyn InputHessian + 'a>>,
    third_order: Option<ThirdOrder<'a>>,
}

/// What an expansion says about some points.
#[derive(Debug)]
pub struct Forecast {
    /// The point of expansion `a`, `[N, C, H, W]`.
    pub anchor: Tensor,
    /// Logits at `a`, `[N, classes]`, where they are known.
    pub anchor_logits: Option<Tensor>,
    /// The same with their graph, where the oracle was to keep it: what is made of them can be descended on without another forward
    /// pass.
    pub recorded_logits: Option<Tensor>,
    /// `l(a)` of each example, `[N]`.
    pub anchor_losses: Tensor,
    /// Predicted increase of the loss from the anchor, `m(p) - l(a)`, `[N]`.
    pub gains: Tensor,
    /// Gradient of the model in `p`, `[N, C, H, W]`.
    pub gradient: Tensor,
}

impl Forecast {
    /// Increase from the anchor to the points, where the summed loss is `loss` (a scalar, f64), and the predicted one. No
    /// pass through the network.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn gain(&self, loss: &Tensor) -> Result<UnreadGain> {
        let actual = loss.f_sub(&self.anchor_losses.f_sum(Kind::Double)?)?;
        Ok(UnreadGain { actual, predicted: self.gains.f_sum(Kind::Double)? })
    }
}

impl<'a> Expansion<'a> {
    /// The first-order model of a loss that is known at `anchor`: `losses` `[N]`, `gradient` `[N, C, H, W]`. No pass.
    pub fn first_order(anchor: Tensor, losses: Tensor, gradient: Tensor) -> Self {
        Self { anchor, losses, gradient, logits: None, recorded: None, curvature: None, third_order: None }
    }

    /// This model with `curvature` in place of what it had: a Hessian of your own.
    #[must_use]
    pub fn with_curvature(self, curvature: Box<dyn InputHessian + 'a>) -> Self {
        Self { curvature: Some(curvature), ..self }
    }

    /// Expands the loss at `anchor` (`[N, C, H, W]`). Costs F + Bi and what the curvature takes.
    pub(crate) fn new(
        network: &Rc<CountedNetwork<'a>>,
        anchor: &Tensor,
        labels: &Tensor,
        model: &TaylorModel,
        draws: &Draws,
    ) -> Result<Self> {
        let anchor = anchor.f_detach()?;
        let pass = network.at(&anchor, labels, curvature::graph_needed(model.curvature))?;
        let losses = pass.losses.shallow_clone();
        let gradient = pass.gradient()?;
        // A copy: where passes are recorded, the next one writes where this one did.
        let logits = Some(pass.logits()?.f_alias_copy()?);
        let recorded = network.keeps_graphs().then(|| pass.recorded_logits());
        let third_order = model.third_order.then(|| ThirdOrder::new(network, &anchor, labels)).transpose()?;
        let site = Site { network, anchor: &anchor, labels, gradient: &gradient, model, draws };
        let curvature = curvature::build(site, pass)?;
        Ok(Self { anchor, losses, gradient, logits, recorded, curvature, third_order })
    }

    /// What the model says about `points`, `[N, C, H, W]`. Costs one Hessian-vector product with exact curvature, and
    /// 2 (F + Bi) and two more at third order; nothing otherwise.
    ///
    /// # Errors
    /// When the points have another shape than the anchor.
    pub fn forecast(&self, points: &Tensor) -> Result<Forecast> {
        let displacement = points.f_sub(&self.anchor)?;
        // The value is `s . slope`, so that both come from the same products.
        let mut slope = self.gradient.shallow_clone();
        let mut gradient = self.gradient.shallow_clone();
        if let Some(curvature) = &self.curvature {
            let product = curvature.product(&displacement)?;
            slope = slope.f_add(&(&product * 0.5))?;
            gradient = gradient.f_add(&product)?;
        }
        if let Some(third_order) = &self.third_order {
            let twist = third_order.twist(&displacement)?;
            slope = slope.f_add(&(&twist / 6.0))?;
            gradient = gradient.f_add(&(&twist * 0.5))?;
        }
        let gains =
            slope.f_mul(&displacement)?.f_sum_dim_intlist([1i64, 2, 3].as_slice(), false, None::<Kind>)?;
        Ok(Forecast {
            anchor: self.anchor.shallow_clone(),
            anchor_logits: self.logits.as_ref().map(Tensor::shallow_clone),
            recorded_logits: self.recorded.as_ref().map(Tensor::shallow_clone),
            anchor_losses: self.losses.shallow_clone(),
            gains,
            gradient,
        })
    }
}
