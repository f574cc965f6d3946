//! `H = J^T J` with `J` the `B x D` gradients of the whole batch: `H s = sum_b g_b (g_b.s)`.
//!
//! The other reading of the matrix of arXiv 2309.09464. Summed over examples, outer products of gradients are the
//! empirical Fisher matrix (Kunstner, Balles and Hennig 2019), here in the pixels and shared by the batch.

use super::InputHessian;
use crate::error::Result;
use tch::Tensor;

/// One matrix for all examples, of rank at most B. A product takes a `B x D` by `D x B` and a `B x B` by `B x D` matrix
/// product, and no pass.
#[derive(Debug)]
pub struct BatchFisher {
    /// `[B, D]`.
    rows: Tensor,
}

impl BatchFisher {
    /// From the gradients at the anchor, `[B, C, H, W]`.
    pub fn new(gradient: &Tensor) -> Self {
        Self { rows: gradient.flatten(1, -1) }
    }
}

impl InputHessian for BatchFisher {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        // Entry (i, b) is g_b . s_i.
        let slopes = displacement.f_flatten(1, -1)?.f_matmul(&self.rows.f_tr()?)?;
        Ok(slopes.f_matmul(&self.rows)?.f_view(displacement.size().as_slice())?)
    }
}
