//! Gauss-Newton curvature of the paper: `H = J^T J` with `J` the gradient of one example as a row, so that
//! `H s = g (g.s)` (arXiv 2309.09464, section 3).

use tch::{Kind, Tensor};

/// `g (g.s)` for each example of `[N, C, H, W]` tensors of one dtype.
///
/// It points along the gradient, so `g + H s = g (1 + g.s)` keeps every sign of `g` unless `g.s < -1`.
pub fn product(gradient: &Tensor, displacement: &Tensor) -> Tensor {
    let along = (gradient * displacement).sum_dim_intlist([1i64, 2, 3].as_slice(), true, None::<Kind>);
    gradient * along
}
