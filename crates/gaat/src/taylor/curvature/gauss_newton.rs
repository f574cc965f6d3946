//! `H = J^T J` with `J` the gradient row of one example (arXiv 2309.09464): `H s = g (g.s)`.

use super::{InputHessian, dot};
use crate::error::Result;
use tch::Tensor;

/// Rank one. The product points along the gradient, so `g + H s = g (1 + g.s)` keeps every sign of `g` unless `g.s < -1`.
#[derive(Debug)]
pub struct GaussNewton {
    gradient: Tensor,
}

impl GaussNewton {
    /// From the gradients at the anchor, `[N, C, H, W]`.
    pub fn new(gradient: &Tensor) -> Self {
        Self { gradient: gradient.shallow_clone() }
    }
}

impl InputHessian for GaussNewton {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        Ok(self.gradient.f_mul(&dot(&self.gradient, displacement)?)?)
    }
}
