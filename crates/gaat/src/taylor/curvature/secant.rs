//! `H s = (g(a+p) - g(a)) / p * s`: the diagonal matrix that satisfies the secant equation `H p = g(a+p) - g(a)`.
//!
//! Quasi-Newton with one pair (Dennis and Schnabel 1996), on the diagonal because that is what one pair
//! determines. `p` is a step along the signs of the gradient, as an attack would take it, so that no coordinate of it
//! vanishes and the model is right where a sign step ends. Where the gradient is zero the sign counts as plus.

use super::{InputHessian, Site};
use crate::error::{Error, Result};
use gaat_shim::Graph;
use gaat_spec::Norm;
use tch::Tensor;

/// Slope of each gradient coordinate along a second step. Costs F + Bi.
#[derive(Debug)]
pub struct Secant {
    /// `[N, C, H, W]`.
    diagonal: Tensor,
}

impl Secant {
    /// From the gradients before and after the second step `step`, which has no zero; all `[N, C, H, W]`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn new(before: &Tensor, after: &Tensor, step: &Tensor) -> Result<Self> {
        Ok(Self { diagonal: after.f_sub(before)?.f_div(step)? })
    }

    pub(super) fn measured(site: Site<'_, '_>) -> Result<Self> {
        let length = coordinate_length(site.model.norm, site.model.secant_step, site.gradient);
        if length.is_nan() || length < f64::from(f32::MIN_POSITIVE) {
            let reason = format!(
                "the secant curvature needs a second step over 0 in single precision, not {:e}: take a larger epsilon or step \
                 size, or another curvature",
                site.model.secant_step
            );
            return Err(Error::Usage(reason));
        }
        let positive = site.gradient.f_ge(0.0)?.f_to_kind(site.gradient.kind())?;
        let step = ((positive * 2.0) - 1.0) * length;
        let there = site.network.at(&site.anchor.f_add(&step)?, site.labels, Graph::Free)?;
        Self::new(site.gradient, &there.gradient()?, &step)
    }
}

/// Step of each coordinate so that a sign step is `length` long: its length itself in L-infinity, `length / sqrt(D)` in
/// L2, where the steepest step would leave coordinates without a gradient at zero.
fn coordinate_length(norm: Norm, length: f64, gradient: &Tensor) -> f64 {
    match norm {
        Norm::Linf => length,
        Norm::L2 => length / (gradient.size()[1..].iter().product::<i64>().max(1) as f64).sqrt(),
    }
}

impl InputHessian for Secant {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        Ok(self.diagonal.f_mul(displacement)?)
    }
}
