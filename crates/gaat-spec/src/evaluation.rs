//! What a judgement found, as data.

use crate::record::Passes;
use crate::{AttackSpec, ThreatModel};
use serde::{Deserialize, Serialize};

/// What one attack found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttackResult {
    /// Description, such as `pgd-50x10`.
    pub name: String,
    /// The attack's numbers.
    pub attack: AttackSpec,
    /// Share of all images classified rightly both clean and under this attack.
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
    /// Share of them classified rightly clean; 0 where there is none.
    pub clean_accuracy: f64,
    /// Share of them that withstood every attack; 0 where there is none.
    pub robust_accuracy: f64,
}

/// The verdict on a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images judged.
    pub examples: usize,
    /// Against what.
    pub threat: ThreatModel,
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
    /// Whole evaluation.
    pub seconds: f64,
}
