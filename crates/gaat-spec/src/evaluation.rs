//! What a judgement found, as data.

use crate::attack::AttackSpec;
use crate::names::ComputePrecision;
use crate::record::Passes;
use crate::subset::Subset;
use crate::threat::{PixelLength, ThreatModel};
use serde::{Deserialize, Serialize};

/// What one attack found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttackResult {
    /// Description, such as `pgd-50x10`.
    pub name: String,
    /// The attack's numbers.
    pub attack: AttackSpec,
    /// Share of all images classified correctly both clean and under this attack.
    pub robust_accuracy: f64,
    /// 95 % Wilson interval of that share.
    pub interval: (f64, f64),
    /// Time.
    pub seconds: f64,
    /// Passes, counted in images.
    pub passes: Passes,
    /// The attacks that an ensemble consists of, each run on what the one before left; empty for any other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<AttackResult>,
}

/// What was found for the images of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassResult {
    /// Its name.
    pub name: String,
    /// Images judged.
    pub examples: usize,
    /// Share of them classified correctly clean; 0 where there is none.
    pub clean_accuracy: f64,
    /// Share of them that withstood every attack; 0 where there is none.
    pub robust_accuracy: f64,
}

/// A point of robust accuracy over epsilon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The bound, in the norm of the threat model.
    pub epsilon: PixelLength,
    /// What the attack found there or at any smaller bound.
    pub result: AttackResult,
}

/// What was tried beside the attacks, on a few images that are classified correctly clean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// Images looked at.
    pub examples: usize,
    /// Random noise.
    pub noise: NoiseProbe,
    /// Parts of perturbations, for each attack.
    pub interior: Vec<InteriorProbe>,
    /// PGD of growing budgets: few steps, many steps, twice epsilon, a ball that holds every image.
    pub budget: Vec<BudgetProbe>,
}

/// What random noise found: uniform in every coordinate for L-infinity; in direction and length for L2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseProbe {
    /// Draws an image.
    pub draws: usize,
    /// Share of the images that withstood all of them.
    pub accuracy: f64,
    /// Images that fell to noise and to no attack.
    pub found: usize,
}

/// What parts of an attack's perturbations found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InteriorProbe {
    /// The attack, such as `fgsm`.
    pub attack: String,
    /// Accuracy by share of the perturbation; the last is the whole.
    pub shares: Vec<ScaledAccuracy>,
    /// Images that fell to a part and not to the whole.
    pub found: usize,
}

/// Accuracy under a share of a perturbation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScaledAccuracy {
    /// Share of the perturbation, over 0 and at most 1.
    pub share: f64,
    /// Share of the images that are classified correctly there.
    pub accuracy: f64,
}

/// What one budget of PGD left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetProbe {
    /// The attack with its numbers.
    pub attack: AttackSpec,
    /// The bound.
    pub epsilon: PixelLength,
    /// Share of the images that withstood it.
    pub accuracy: f64,
}

/// The verdict on a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images judged.
    pub examples: usize,
    /// Which images these are, where they are not all; also missing in verdicts of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<Subset>,
    /// Against what.
    pub threat: ThreatModel,
    /// In which precision the network computed; `None` in verdicts of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<ComputePrecision>,
    /// Accuracy on clean images, a fraction.
    pub clean_accuracy: f64,
    /// 95 % Wilson interval of that share.
    pub clean_interval: (f64, f64),
    /// Each attack, in the order asked for.
    pub attacks: Vec<AttackResult>,
    /// Share of images that withstood every attack (worst case an image).
    pub robust_accuracy: f64,
    /// 95 % Wilson interval of that share.
    pub robust_interval: (f64, f64),
    /// The same shares class by class, in the order of the logits; empty in verdicts of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassResult>,
    /// Signs that the numbers may be too good.
    pub alarms: Vec<String>,
    /// What was done otherwise than the names of the attacks say, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Robust accuracy of one attack over epsilon, from the least on; empty where it was not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<CurvePoint>,
    /// What was tried beside the attacks, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// The attacks and the curve.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::judged_in;

    #[test]
    fn verdicts_of_older_versions_are_read_and_their_precision_is_unknown() {
        let old = r#"{"examples": 10, "threat": {"norm": "linf", "epsilon": "0.3"}, "clean_accuracy": 0.9,
            "clean_interval": [0.6, 1.0], "attacks": [], "robust_accuracy": 0.5, "robust_interval": [0.2, 0.8],
            "alarms": [], "seconds": 1.0}"#;
        let mut verdict: Evaluation = serde_json::from_str(old).unwrap();
        assert_eq!((verdict.precision, judged_in(verdict.precision)), (None, "precision not recorded"));
        verdict.precision = Some(ComputePrecision::Bf16);
        let text = serde_json::to_string(&verdict).unwrap();
        assert!(text.contains(r#""precision":"bf16""#), "{text}");
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), verdict);
        assert_eq!(judged_in(verdict.precision), "in bf16");
    }
}
