//! Linear models of the boundaries between classes, and which of them seems nearest.

use super::{GradientOracle, InputGradient, Loss, ball};
use crate::Result;
use gaat_spec::Norm;
use tch::{Kind, Tensor};

/// Keeps a distance finite where a gradient is zero.
const TINY: f64 = 1e-12;

/// The lead of another class over the label, `[M]`, and its gradient at the present points, `[M, C, H, W]`.
pub(super) struct Plane {
    pub(super) lead: Tensor,
    pub(super) normal: Tensor,
}

impl Plane {
    /// Sum of the absolute pixels of each gradient for L-infinity, its length for L2, `[M]`: the dual norm.
    pub(super) fn steepness(&self, norm: Norm) -> Tensor {
        match norm {
            Norm::Linf => {
                self.normal.flatten(1, -1).abs().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
            }
            Norm::L2 => ball::lengths(&self.normal, Norm::L2),
        }
    }

    /// How far the boundary seems, `[M]`.
    pub(super) fn distance(&self, norm: Norm) -> Tensor {
        self.lead.abs() / (self.steepness(norm) + TINY)
    }
}

/// The model towards `targets` (`[M]`, i64), and the logits where the oracle knows them.
pub(super) fn towards(
    oracle: &mut dyn GradientOracle,
    points: &Tensor,
    labels: &Tensor,
    targets: &Tensor,
) -> Result<(Plane, Option<Tensor>)> {
    let asked = tch::with_grad(|| oracle.of(Loss::MarginTowards(targets), points, labels))?;
    let InputGradient { losses, gradient, logits } = asked;
    Ok((Plane { lead: losses, normal: gradient }, logits))
}

/// The model of the boundary that seems nearest to each point, which takes a gradient for every class; and the logits.
pub(super) fn nearest(
    oracle: &mut dyn GradientOracle,
    points: &Tensor,
    labels: &Tensor,
    norm: Norm,
) -> Result<(Plane, Option<Tensor>)> {
    // A class is no rival of itself.
    let distance = |plane: &Plane, class: &Tensor| {
        let seems = plane.distance(norm);
        seems.full_like(f64::INFINITY).where_self(&class.eq_tensor(labels), &seems)
    };
    let first = labels.f_zeros_like()?;
    let (mut plane, logits) = towards(oracle, points, labels, &first)?;
    let mut least = distance(&plane, &first);
    for class in 1..logits.as_ref().map_or(0, |logits| logits.size()[1]) {
        let class = labels.f_full_like(class)?;
        let (other, _) = towards(oracle, points, labels, &class)?;
        let far = distance(&other, &class);
        let nearer = far.lt_tensor(&least);
        least = far.where_self(&nearer, &least);
        plane = Plane {
            lead: other.lead.where_self(&nearer, &plane.lead),
            normal: other.normal.where_self(&ball::column(&nearer), &plane.normal),
        };
    }
    Ok((plane, logits))
}
