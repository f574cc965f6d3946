//! `H = J^T J` with `J` the gradient row of one example (arXiv 2309.09464): `H s = g (g.s)`.

use super::{InputHessian, dot};
use crate::Result;
use tch::Tensor;

/// Rank one, along the gradient; `s . H s = (g.s)^2`.
#[derive(Debug)]
pub struct GaussNewton {
    gradient: Tensor,
}

impl GaussNewton {
    /// From the gradients at the anchor, `[N, C, H, W]`.
    pub fn new(gradient: Tensor) -> Self {
        Self { gradient }
    }
}

impl InputHessian for GaussNewton {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        Ok(self.gradient.f_mul(&dot(&self.gradient, displacement)?)?)
    }
}
