//! Models of the input Hessian `H`, each a rule for the product `H s` that needs no pass through the network.

mod diagonal;
mod gauss_newton;

pub use diagonal::product as diagonal;
pub use gauss_newton::product as gauss_newton;

use gaat_spec::Curvature;
use tch::Tensor;

/// `H s` for each example; `None` for a first-order model, whose `H` is zero.
///
/// `gradient` and `displacement`: `[N, C, H, W]` of one dtype, the gradient that of the summed loss.
pub fn product(curvature: Curvature, gradient: &Tensor, displacement: &Tensor) -> Option<Tensor> {
    match curvature {
        Curvature::None => None,
        Curvature::GaussNewton => Some(gauss_newton(gradient, displacement)),
        Curvature::Diagonal => Some(diagonal(gradient, displacement)),
    }
}
