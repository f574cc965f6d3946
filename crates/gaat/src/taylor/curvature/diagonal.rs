//! `H = diag(J^T J)` (arXiv 2309.09464): `H s = g * g * s`, coordinate by coordinate.

use super::InputHessian;
use crate::error::Result;
use tch::Tensor;

/// The diagonal of the Gauss-Newton matrix of one example: `g + H s = g (1 + g s)` keeps the sign of every coordinate
/// with `g s > -1`.
#[derive(Debug)]
pub struct Diagonal {
    gradient: Tensor,
}

impl Diagonal {
    /// From the gradients at the anchor, `[N, C, H, W]`.
    pub fn new(gradient: &Tensor) -> Self {
        Self { gradient: gradient.shallow_clone() }
    }
}

impl InputHessian for Diagonal {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        Ok(self.gradient.f_mul(&self.gradient)?.f_mul(displacement)?)
    }
}
