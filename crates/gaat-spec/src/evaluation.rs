//! How robustness is judged, as data: the attacks asked for and what they found.

use crate::names::named;
use crate::record::Passes;
use crate::{Error, PixelLength, Result, ThreatModel};
use serde::{Deserialize, Serialize};
use std::fmt;

named! {
    /// An attack by name.
    AttackName, "attack" {
        /// One step of length epsilon along the sign of the gradient (Goodfellow et al. 2015).
        Fgsm = "fgsm",
        /// Projected gradient descent (Madry et al. 2018).
        Pgd = "pgd",
    }
}

/// An attack with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AttackSpec {
    /// Which attack.
    pub name: AttackName,
    /// Gradient steps; 1 for FGSM.
    pub steps: usize,
    /// Independent random starts, each image judged by its worst; 1 for FGSM, which starts at the image.
    pub restarts: usize,
    /// Length of one step in pixel units; epsilon for FGSM.
    pub step_size: PixelLength,
}

impl AttackSpec {
    /// FGSM under `threat`.
    pub fn fgsm(threat: &ThreatModel) -> Self {
        Self { name: AttackName::Fgsm, steps: 1, restarts: 1, step_size: threat.epsilon_length() }
    }

    /// PGD under `threat`. Without a step size: the larger of epsilon/4 over 10 steps' reach, that is
    /// `2.5 epsilon / steps`, so that the whole ball can be crossed (Madry et al. 2018).
    ///
    /// # Errors
    /// When steps or restarts are 0 or the step size is.
    pub fn pgd(
        threat: &ThreatModel,
        steps: usize,
        restarts: usize,
        step_size: Option<PixelLength>,
    ) -> Result<Self> {
        if steps == 0 {
            return Err(Error::value("steps", 0, "needs at least 1"));
        }
        if restarts == 0 {
            return Err(Error::value("restarts", 0, "needs at least 1"));
        }
        let step_size = step_size.unwrap_or_else(|| threat.epsilon_length().scaled(2.5 / steps as f64));
        if step_size.value() == 0.0 && threat.epsilon() > 0.0 {
            return Err(Error::value("step-size", 0, "needs a length over 0"));
        }
        Ok(Self { name: AttackName::Pgd, steps, restarts, step_size })
    }
}

impl fmt::Display for AttackSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            AttackName::Fgsm => f.pad("fgsm"),
            AttackName::Pgd if self.restarts == 1 => f.pad(&format!("pgd-{}", self.steps)),
            AttackName::Pgd => f.pad(&format!("pgd-{}x{}", self.steps, self.restarts)),
        }
    }
}

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
    /// Signs that the numbers may be too good.
    pub alarms: Vec<String>,
    /// Whole evaluation.
    pub seconds: f64,
}
