//! Linear models of the boundaries between classes, and which of them seems nearest.

use super::ball;
use super::loss::Loss;
use super::oracle::{GradientOracle, InputGradient};
use crate::error::{Error, Result};
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

/// The model towards `targets` (`[M]`, i64).
pub(super) fn towards(
    oracle: &mut dyn GradientOracle,
    points: &Tensor,
    labels: &Tensor,
    targets: &Tensor,
) -> Result<Plane> {
    let asked = tch::with_grad(|| oracle.of(Loss::MarginTowards(targets), points, labels))?;
    Ok(Plane { lead: asked.losses, normal: asked.gradient })
}

/// What the boundaries of all classes seem to be at some points.
pub(super) struct Nearest {
    /// The model of the one that seems nearest.
    pub(super) plane: Plane,
    /// The highest lead of any class over the label, `[M]`; at least 0, which is the label's own.
    pub(super) leader: Tensor,
    /// Where the oracle knows them.
    pub(super) logits: Option<Tensor>,
    /// How far `plane` seems, `[M]`.
    distance: Tensor,
}

/// The model of the boundary that seems nearest to each point, which takes a gradient for every class.
pub(super) fn nearest(
    oracle: &mut dyn GradientOracle,
    points: &Tensor,
    labels: &Tensor,
    norm: Norm,
) -> Result<Nearest> {
    let mut found: Option<Nearest> = None;
    let mut visit = |class: i64, answer: InputGradient| {
        let plane = Plane { lead: answer.losses, normal: answer.gradient };
        let seems = plane.distance(norm);
        // A class is no rival of itself.
        let distance = seems.full_like(f64::INFINITY).where_self(&labels.eq(class), &seems);
        found = Some(match found.take() {
            None => Nearest { leader: plane.lead.shallow_clone(), plane, logits: answer.logits, distance },
            Some(before) => before.or(&plane, &distance),
        });
        Ok(())
    };
    tch::with_grad(|| oracle.of_each_class(points, labels, &mut visit))?;
    found.ok_or_else(|| Error::Usage("a network without classes has no boundaries".to_owned()))
}

impl Nearest {
    /// Itself with `plane` wherever that seems nearer.
    fn or(self, plane: &Plane, distance: &Tensor) -> Self {
        let nearer = distance.lt_tensor(&self.distance);
        Self {
            leader: self.leader.maximum(&plane.lead),
            distance: distance.where_self(&nearer, &self.distance),
            plane: Plane {
                lead: plane.lead.where_self(&nearer, &self.plane.lead),
                normal: plane.normal.where_self(&ball::column(&nearer), &self.plane.normal),
            },
            logits: self.logits,
        }
    }
}
