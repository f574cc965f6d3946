//! A few test images with what an attack does to them, as pictures: what `gaat evaluate` leaves for the report.

use crate::attack::AttackSpec;
use crate::names::ComputePrecision;
use crate::threat::ThreatModel;
use serde::{Deserialize, Serialize};

/// Version of the layout of a gallery.
pub const SCHEMA: &str = "gaat-gallery-1";

/// One view of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// `clean`, `perturbed`, `difference`, or the name of a saliency method.
    pub name: String,
    /// A PNG file in base64.
    pub png: String,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Name of its class.
    pub label: String,
    /// Class that the network sees in the clean image.
    pub clean_prediction: String,
    /// Class that it sees in the perturbed image.
    pub prediction: String,
    /// Its views.
    pub pictures: Vec<Picture>,
}

/// Images with their views.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// [`SCHEMA`].
    pub schema: String,
    /// What bounds the perturbations.
    pub threat: ThreatModel,
    /// The attack.
    pub attack: AttackSpec,
    /// In which precision the network computed; `None` in galleries of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<ComputePrecision>,
    /// What the differences are multiplied by, around middle grey.
    pub amplification: f64,
    /// The images: the first test image of each class.
    pub examples: Vec<Example>,
}
