//! How well Taylor models of the loss predict it, as data: what `gaat analyze` finds.

use crate::error::{Error, Result};
use crate::method::{Anchor, Curvature};
use crate::record::{Environment, Passes};
use crate::subset::Subset;
use crate::threat::{Norm, PixelLength};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the layout of an analysis.
pub const SCHEMA: &str = "gaat-analysis-1";

/// A Taylor model of the loss: its order, and at order 2 its curvature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LossModel {
    /// 1, 2 or 3.
    pub order: usize,
    /// Model of the input Hessian: `none` at order 1, `exact` at order 3.
    pub curvature: Curvature,
}

impl LossModel {
    /// All models of `orders`: one of order 1, one for each of `curvatures` at order 2, one of order 3.
    ///
    /// # Errors
    /// When an order is not 1, 2 or 3, or order 2 has no curvature to go with.
    pub fn all(orders: &[usize], curvatures: &[Curvature]) -> Result<Vec<Self>> {
        let mut models = Vec::new();
        for order in orders {
            let before = models.len();
            match order {
                1 => models.push(Self { order: 1, curvature: Curvature::None }),
                2 => models.extend(
                    curvatures
                        .iter()
                        .filter(|curvature| **curvature != Curvature::None)
                        .map(|curvature| Self { order: 2, curvature: *curvature }),
                ),
                3 => models.push(Self { order: 3, curvature: Curvature::Exact }),
                _ => return Err(Error::value("orders", order, "known: 1, 2, 3")),
            }
            if models.len() == before {
                return Err(Error::value("curvatures", "none", "order 2 needs a curvature"));
            }
        }
        let mut unique: Vec<Self> = Vec::new();
        for model in models {
            if !unique.contains(&model) {
                unique.push(model);
            }
        }
        if unique.is_empty() {
            return Err(Error::value("orders", "none", "known: 1, 2, 3"));
        }
        Ok(unique)
    }
}

/// `order-1`, the name of the curvature at order 2, `order-3`.
impl fmt::Display for LossModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.order {
            2 => f.pad(self.curvature.as_str()),
            order => f.pad(&format!("order-{order}")),
        }
    }
}

/// What an attack left, judged by the network on the projected images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AttackOutcome {
    /// Share of all images classified correctly both clean and under the attack.
    pub robust_accuracy: f64,
    /// 95 % Wilson interval of that share.
    pub interval: (f64, f64),
    /// Mean loss at the end of the attack, nats.
    pub loss: f64,
    /// Time of the attack, without the comparison with exact gradients.
    pub seconds: f64,
    /// Passes of the attack, counted in images, without those of the comparison.
    pub passes: Passes,
}

/// What an expansion leaves out, `R = l(x+d) - m(x+d)`, at the end of the attack that its model drives; nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// Mean of `R`: below 0 where the model promises more than the network gives.
    pub signed: f64,
    /// Mean of `|R|`.
    pub absolute: f64,
}

/// How the gradient of a model compares with that of the network at the same points.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Mean over the steps of the path.
    pub mean: f64,
    /// At each step, from the start of the attack on.
    pub by_step: Vec<f64>,
}

/// One model at one epsilon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAnalysis {
    /// Which model.
    pub model: LossModel,
    /// What its expansion leaves out at the end of the attack.
    pub residual: Residual,
    /// Actual over predicted increase of the loss from the anchor to the end of the attack, sums over the images;
    /// `None` where the model predicts none.
    pub gain_ratio: Option<f64>,
    /// Cosine between the gradients of model and network, mean over the images.
    pub cosine: Agreement,
    /// Share of coordinates in which the two have the same sign.
    pub sign_agreement: Agreement,
    /// What the attack driven by the model left.
    pub attack: AttackOutcome,
}

/// All models at one epsilon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpsilonAnalysis {
    /// Bound of the perturbations.
    pub epsilon: PixelLength,
    /// Length of one attack step.
    pub step_size: PixelLength,
    /// PGD with the network's own gradients, as many steps of the same length from the same starts.
    pub exact: AttackOutcome,
    /// Each model.
    pub models: Vec<ModelAnalysis>,
}

/// How well models of the loss of one network predict it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// [`SCHEMA`].
    pub schema: String,
    /// Images.
    pub examples: usize,
    /// Which images these are, where they are not all; also missing in documents of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<Subset>,
    /// Share of them classified correctly as they are.
    pub clean_accuracy: f64,
    /// Norm of the perturbations.
    pub norm: Norm,
    /// Where the loss is expanded, once an attack.
    pub anchor: Anchor,
    /// Attack steps K.
    pub steps: usize,
    /// Labels drawn an image for `sampled-fisher`.
    pub curvature_draws: usize,
    /// Images attacked at once, which `batch-fisher` mixes.
    pub batch_size: usize,
    /// Seed of the random starts.
    pub seed: u64,
    /// Where it was made.
    pub environment: Environment,
    /// Each epsilon, ascending.
    pub epsilons: Vec<EpsilonAnalysis>,
    /// Whole analysis.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_curvatures_name_each_model_once() {
        let names = |orders: &[usize], curvatures: &[Curvature]| -> Vec<String> {
            LossModel::all(orders, curvatures).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            names(&[1, 2, 3], &[Curvature::None, Curvature::Secant, Curvature::Exact, Curvature::Secant]),
            ["order-1", "secant", "exact", "order-3"]
        );
        assert_eq!(names(&[1, 2, 3], Curvature::ALL).len(), 8);
        for (orders, curvatures) in [(&[4][..], Curvature::ALL), (&[2], &[Curvature::None]), (&[], &[])] {
            assert!(LossModel::all(orders, curvatures).is_err(), "{orders:?} {curvatures:?}");
        }
    }
}
