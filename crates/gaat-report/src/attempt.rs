//! What `gaat attack` did: the document, and the same in words.

use crate::format::duration;
use gaat_spec::{ComputePrecision, Passes, Subset, visible_path};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What the attack did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// The arrays, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The attack, such as `pgd-50x10`.
    pub attack: String,
    /// `exact` or `taylor`.
    pub gradient: &'static str,
    /// Which perturbations count.
    pub threat: String,
    /// In which precision the network computed.
    pub precision: ComputePrecision,
    /// Images looked at.
    pub examples: usize,
    /// Which images these are, where they are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<Subset>,
    /// Accuracy on the clean images, a fraction.
    pub clean_accuracy: f64,
    /// Accuracy on the perturbed images, a fraction.
    pub robust_accuracy: f64,
    /// Images that were correctly classified clean.
    pub attacked: usize,
    /// Those of them that the attack fooled.
    pub fooled: usize,
    /// Mean length of the perturbations that fooled.
    pub mean_length: Option<f64>,
    /// Passes, counted in images.
    pub passes: Passes,
    /// Time.
    pub seconds: f64,
    /// The images as files hold them, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eight_bit: Option<EightBitAttempt>,
    /// What should be known of how it was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What became of the images when they were written with 8 bits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EightBitAttempt {
    /// Where they are.
    pub directory: PathBuf,
    /// The file that lists them.
    pub listing: PathBuf,
    /// Accuracy on the perturbed images, a fraction.
    pub robust_accuracy: f64,
    /// Images that were correctly classified clean and are not so perturbed.
    pub fooled: usize,
    /// Mean length of the perturbations that fooled.
    pub mean_length: Option<f64>,
}

/// What became of the images, in one paragraph.
pub fn attempt_text(attempt: &Attempt) -> String {
    let Attempt { file, attack, gradient, threat, precision, attacked, .. } = attempt;
    let at = |length: Option<f64>| {
        length.map(|length| format!(" at a mean length of {length:.4}")).unwrap_or_default()
    };
    let mut text = format!(
        "{}{} images under {attack}, {gradient} gradients, {threat}, in {precision}; accuracy {:.2} % clean, {:.2} % perturbed; \
         {} of {attacked} fooled{}, in {}\n",
        file.as_ref().map(|file| format!("{}: ", visible_path(file))).unwrap_or_default(),
        attempt.subset.map_or_else(|| attempt.examples.to_string(), |subset| subset.words()),
        100.0 * attempt.clean_accuracy,
        100.0 * attempt.robust_accuracy,
        attempt.fooled,
        at(attempt.mean_length),
        duration(attempt.seconds)
    );
    if let Some(EightBitAttempt { directory, listing, robust_accuracy, fooled, mean_length }) =
        &attempt.eight_bit
    {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}: the same images with 8 bits, rounded towards the clean ones so that they lie in the ball; accuracy \
             {:.2} %; {fooled} of {attacked} fooled{}; listed in {}",
            visible_path(directory),
            100.0 * robust_accuracy,
            at(*mean_length),
            visible_path(listing)
        );
    }
    for note in &attempt.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
