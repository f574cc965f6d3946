//! What a run did: the record saved as `run.json`, and the counts that its claims rest on.

use crate::names::{ComputePrecision, Residence};
use crate::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Version of the layout of `run.json`.
pub const SCHEMA: &str = "gaat-run-1";

/// Version of libtorch that gaat is made for; tch checks when it is built that it finds exactly this one.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// Network passes, counted in images: a pass over half a batch counts half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passes {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes to the pixels only (about the cost of a forward pass).
    pub input_backward: u64,
    /// Backward passes to the weights (about two forward passes), with or without the pixels.
    pub full_backward: u64,
    /// Hessian-vector products by double backward (about four forward passes).
    pub hessian_vector: u64,
}

impl Passes {
    /// Cost in forward passes of one image: F = 1, input backward = 1, full backward = 2, Hessian-vector = 4.
    pub fn units(&self) -> u64 {
        self.forward + self.input_backward + 2 * self.full_backward + 4 * self.hessian_vector
    }

    /// Cost over that of natural training on `images` images, which is 3 units each; 0 for none.
    pub fn cost_ratio(&self, images: u64) -> f64 {
        if images == 0 { 0.0 } else { self.units() as f64 / (3 * images) as f64 }
    }
}

impl AddAssign for Passes {
    fn add_assign(&mut self, other: Self) {
        self.forward += other.forward;
        self.input_backward += other.input_backward;
        self.full_backward += other.full_backward;
        self.hessian_vector += other.hessian_vector;
    }
}

impl std::ops::Sub for Passes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            forward: self.forward - other.forward,
            input_backward: self.input_backward - other.input_backward,
            full_backward: self.full_backward - other.full_backward,
            hessian_vector: self.hessian_vector - other.hessian_vector,
        }
    }
}

/// Wall-clock seconds by what they were spent on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Making perturbations.
    pub attack: f64,
    /// The training pass, the optimiser, and data.
    pub train: f64,
    /// Validation.
    pub evaluation: f64,
    /// Attack and train together: what the method costs.
    pub total: f64,
}

impl AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        self.attack += other.attack;
        self.train += other.train;
        self.evaluation += other.evaluation;
        self.total += other.total;
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Started and not ended; a killed process leaves this behind.
    Running,
    /// All epochs done.
    Done,
    /// Stopped by the user; `--resume` continues.
    Interrupted,
    /// Stopped by an error, which `failure` holds.
    Failed,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Time spent in this epoch.
    pub seconds: Seconds,
    /// Mean training loss (on perturbed images where the method perturbs).
    pub loss: f64,
    /// Accuracy on the training batches as they were trained on, a fraction.
    pub train_accuracy: f64,
    /// Accuracy on clean validation images, a fraction.
    pub validation_clean: Option<f64>,
    /// Accuracy under the validation attack, a fraction.
    pub validation_robust: Option<f64>,
    /// Whether validation preferred the averaged weights, whose accuracies these are and which were saved; `None` where no weights
    /// are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged: Option<bool>,
    /// Accuracy under the validation attack of the other one of the two networks, a fraction; `None` where no weights are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_robust_other: Option<f64>,
    /// At the last step.
    pub learning_rate: f64,
    /// Actual over predicted increase of the loss by the attack, sums over the epoch; `None` where no model predicts.
    pub gain_ratio: Option<f64>,
    /// Actual less predicted increase of the loss by the attack, nats, mean over the images with a prediction: the remainder R of the Taylor
    /// model (arXiv 2309.09464). `None` where no model predicts, and in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// Gradients taken per batch by the attack, mean over the epoch.
    pub refreshes: f64,
    /// Warnings raised in this epoch.
    pub alarms: Vec<String>,
}

/// Weights that a run began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// SHA-256 of the file.
    pub digest: String,
    /// Whether the last layer was left as it was drawn.
    pub fresh_head: bool,
}

/// Where and with what a run was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of gaat.
    pub version: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Device that computed.
    pub device: String,
    /// Threads of libtorch, in each process.
    pub threads: usize,
    /// Processes that computed together, where there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<usize>,
    /// Precision that computed.
    pub precision: String,
    /// Processor model.
    pub cpu: String,
}

/// Result on the test images, read once at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TestRecord {
    /// Images judged.
    pub examples: usize,
    /// In which precision the network computed; `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<ComputePrecision>,
    /// Accuracy on clean images, a fraction.
    pub clean: f64,
    /// Accuracy under each attack, by the attack's description, fractions.
    pub robust: BTreeMap<String, f64>,
}

/// The record of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: String,
    /// How it stands.
    pub status: Status,
    /// The error that ended a failed run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Resolved recipe.
    pub recipe: Recipe,
    /// Where and with what.
    pub environment: Environment,
    /// SHA-256 of the training and validation images before splitting.
    pub data_digest: String,
    /// SHA-256 of the extra training images, where there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_digest: Option<String>,
    /// Where the training images lay: `resident` in memory or `streamed` from the disk; `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_lay: Option<Residence>,
    /// The weights that the run began with; `None` for fresh ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartRecord>,
    /// Name of the model, its variant, parameter count.
    pub model: ModelRecord,
    /// Passes while training (validation and test not counted).
    pub passes: Passes,
    /// Images trained on, all epochs.
    pub images: u64,
    /// Time.
    pub seconds: Seconds,
    /// [`Passes::cost_ratio`]; 0 before the first image.
    pub cost_ratio: f64,
    /// Epochs done.
    pub epochs: Vec<EpochRecord>,
    /// Epoch whose weights are in `checkpoints/best`.
    pub best_epoch: Option<usize>,
    /// Test result, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestRecord>,
}

/// Which network was trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Name.
    pub name: String,
    /// Which of the public variants under that name.
    pub variant: String,
    /// Trainable numbers.
    pub parameters: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_cost_arithmetic_holds() {
        let images = 128;
        let pgd10 = Passes {
            forward: 11 * images,
            input_backward: 10 * images,
            full_backward: images,
            hessian_vector: 0,
        };
        let gaat =
            Passes { forward: 2 * images, input_backward: images, full_backward: images, hessian_vector: 0 };
        assert!((pgd10.cost_ratio(images) - 23.0 / 3.0).abs() < 1e-12);
        assert!((gaat.cost_ratio(images) - 5.0 / 3.0).abs() < 1e-12);
        let natural = Passes { forward: images, full_backward: images, ..Passes::default() };
        assert_eq!(natural.cost_ratio(images), 1.0);
    }
}
