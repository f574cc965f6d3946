//! `H s = 1/r sum_k g_k (g_k.s)` with `g_k` the gradient of `-log p(y_k | x)`, `y_k` drawn from the model's softmax.
//!
//! For softmax cross-entropy `E[(p - e_y)(p - e_y)^T] = diag(p) - p p^T` over `y ~ p`, which is the Hessian of the loss
//! in the logits. With the Jacobian J of the logits, `g = J^T (p - e_y)`, so the expectation of `g g^T` is
//! `J^T (diag(p) - p p^T) J`, the generalised Gauss-Newton matrix (Martens 2020): the estimate is unbiased.
//! For networks that are linear in pieces it is the Hessian itself, except where a piece ends. With BatchNorm on the
//! statistics of the batch, examples mix, and the estimate holds up to that.

use super::{InputHessian, Site, dot};
use crate::error::Result;
use crate::taylor::network::PointPass;
use tch::{Device, Kind, Tensor};

/// Rank r an example. Costs r Bi on the forward graph of the anchor, which is freed afterwards.
#[derive(Debug)]
pub struct SampledFisher {
    /// One `[N, C, H, W]` a draw.
    gradients: Vec<Tensor>,
}

impl SampledFisher {
    /// From the gradients for drawn labels, `[N, C, H, W]` each; at least one.
    pub fn new(gradients: Vec<Tensor>) -> Self {
        Self { gradients }
    }

    pub(super) fn drawn(site: Site<'_, '_>, pass: &PointPass) -> Result<Self> {
        check_room(site.model.draws, site.anchor, gaat_files::free_memory())?;
        let logits = pass.logits()?;
        let mut gradients = Vec::with_capacity(site.model.draws);
        for _ in 0..site.model.draws {
            let shares =
                site.draws.uniform(&[logits.size()[0], 1], 0.0, 1.0, Kind::Double, logits.device())?;
            gradients.push(site.network.for_labels(pass, &labels(&logits, &shares)?)?);
        }
        Ok(Self::new(gradients))
    }
}

/// Refuses more draws than fit into `free` bytes of the memory of a processor: each keeps a gradient of the size of `anchor`.
fn check_room(draws: usize, anchor: &Tensor, free: Option<u64>) -> Result<()> {
    let each = (anchor.numel() * anchor.kind().elt_size_in_bytes()) as u64;
    let needed = each.saturating_mul(draws as u64);
    match free {
        Some(free) if anchor.device() == Device::Cpu && needed > free => {
            let (needed, free) = (needed >> 20, free >> 20);
            let reason = format!(
                "keeps as many gradients of a batch, {needed} MiB, and {free} MiB of memory are free"
            );
            Err(gaat_spec::Error::value("curvature-draws", draws, reason).into())
        }
        _ => Ok(()),
    }
}

impl InputHessian for SampledFisher {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        let mut sum = displacement.f_zeros_like()?;
        for gradient in &self.gradients {
            sum = sum.f_add(&gradient.f_mul(&dot(gradient, displacement)?)?)?;
        }
        Ok(sum.f_div_scalar(self.gradients.len() as f64)?)
    }
}

/// Labels `[N]` by the inverse of each softmax's distribution function at `shares` (`[N, 1]`, uniform in `[0, 1)`).
fn labels(logits: &Tensor, shares: &Tensor) -> Result<Tensor> {
    let cumulative = logits.f_softmax(-1, Kind::Double)?.f_cumsum(-1, Kind::Double)?;
    let below = cumulative.f_le_tensor(shares)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)?;
    // Rounding can leave the last sum a hair under 1.
    Ok(below.f_clamp_max(logits.size()[1] - 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_held_against_the_memory() {
        let anchor = Tensor::zeros([4, 1, 16, 16], (Kind::Float, Device::Cpu));
        check_room(256, &anchor, Some(1 << 20)).unwrap();
        check_room(1000, &anchor, None).unwrap();
        let text = check_room(257, &anchor, Some(1 << 20)).unwrap_err().to_string();
        assert!(text.contains("curvature-draws = 257") && text.contains("1 MiB of memory"), "{text}");
    }

    #[test]
    fn labels_come_as_often_as_the_softmax_says() {
        let logits = Tensor::from_slice(&[0.5f64, 0.25, 0.25]).log().view([1, 3]);
        let drawn = |share: f64| {
            let shares = Tensor::from_slice(&[share]).view([1, 1]);
            labels(&logits, &shares).unwrap().int64_value(&[0])
        };
        let expected = [(0.0, 0), (0.49, 0), (0.51, 1), (0.74, 1), (0.76, 2), (1.0, 2)];
        for (share, label) in expected {
            assert_eq!(drawn(share), label, "{share}");
        }
    }
}
