//! Models of the input Hessian `H`, one file each, by what they make of a displacement.

mod batch_fisher;
mod diagonal;
mod exact;
mod gauss_newton;
mod sampled_fisher;
mod secant;

pub use batch_fisher::BatchFisher;
pub use diagonal::Diagonal;
pub use gauss_newton::GaussNewton;
pub use sampled_fisher::SampledFisher;
pub use secant::Secant;

use super::model::TaylorModel;
use super::network::{CountedNetwork, PointPass};
use crate::error::Result;
use crate::nn::Draws;
use exact::Exact;
use gaat_shim::Graph;
use gaat_spec::Curvature;
use std::rc::Rc;
use tch::Tensor;

/// A model of the Hessian of the summed loss in the pixels, at one anchor.
pub trait InputHessian {
    /// `H s` for `displacement` s, `[N, C, H, W]` as the result.
    ///
    /// # Errors
    /// When the shape is not that of the anchor.
    fn product(&self, displacement: &Tensor) -> Result<Tensor>;
}

/// What a curvature may be built from, beside the pass at the anchor.
#[derive(Clone, Copy)]
pub(super) struct Site<'n, 'a> {
    pub(super) network: &'n Rc<CountedNetwork<'a>>,
    pub(super) anchor: &'n Tensor,
    pub(super) labels: &'n Tensor,
    pub(super) gradient: &'n Tensor,
    pub(super) model: &'n TaylorModel,
    pub(super) draws: &'n Draws,
}

/// How much of the graph the pass at the anchor must leave behind.
pub(super) fn graph_needed(curvature: Curvature) -> Graph {
    match curvature {
        Curvature::SampledFisher => Graph::Keep,
        Curvature::Exact => Graph::Record,
        _ => Graph::Free,
    }
}

/// The model of the curvature that `site` asks for, or `None` where it has none.
pub(super) fn build<'a>(site: Site<'_, 'a>, pass: PointPass) -> Result<Option<Box<dyn InputHessian + 'a>>> {
    let gradient = site.gradient;
    Ok(match site.model.curvature {
        Curvature::None => None,
        Curvature::GaussNewton => Some(Box::new(GaussNewton::new(gradient))),
        Curvature::Diagonal => Some(Box::new(Diagonal::new(gradient))),
        Curvature::BatchFisher => Some(Box::new(BatchFisher::new(gradient))),
        Curvature::SampledFisher => Some(Box::new(SampledFisher::drawn(site, &pass)?)),
        Curvature::Secant => Some(Box::new(Secant::measured(site)?)),
        Curvature::Exact => Some(Box::new(Exact::new(site.network, pass))),
    })
}

/// Scalar product of each pair of examples, `[N, 1, 1, 1]`.
fn dot(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    Ok(left.f_mul(right)?.f_sum_dim_intlist([1i64, 2, 3].as_slice(), true, None::<tch::Kind>)?)
}
