//! Diagonal curvature of the paper: the diagonal of `J^T J`, so that `H s = g * g * s` element by element
//! (arXiv 2309.09464, section 3).

use tch::Tensor;

/// `g * g * s` for `[N, C, H, W]` tensors of one dtype.
///
/// `g + H s = g (1 + g s)` keeps the sign of every coordinate with `g s > -1`.
pub fn product(gradient: &Tensor, displacement: &Tensor) -> Tensor {
    gradient * gradient * displacement
}
