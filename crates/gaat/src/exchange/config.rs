//! What a program that loads exported weights must know.

use crate::error::Result;
use crate::weights::Description;
use gaat_spec::{ModelName, Recipe};
use serde::Serialize;

/// Content of `config.json` beside exported safetensors and programs, and of the text `gaat` in exported ONNX files.
#[derive(Debug, Clone, Serialize)]
pub struct Config {
    /// Layout of this document.
    schema: &'static str,
    /// The network, such as `wide-resnet-28-4`.
    pub model: ModelName,
    /// Which of the public definitions under that name; empty if there is one.
    pub variant: String,
    /// Channels, height, width of an image.
    pub input: (i64, i64, i64),
    /// Number of logits.
    pub classes: usize,
    /// Class names in the order of the logits.
    pub class_names: Vec<String>,
    /// Subtracted from each channel of pixels in `[0, 1]` before the network. ONNX files do it themselves.
    pub mean: Vec<f64>,
    /// Divided out of each channel after that.
    pub std: Vec<f64>,
    /// Epochs trained.
    pub epoch: usize,
    /// How it was trained, where that is known.
    pub recipe: Option<Recipe>,
}

impl Config {
    /// From what a weights file says, and the recipe of its run.
    pub fn new(description: &Description, recipe: Option<Recipe>) -> Self {
        Self {
            schema: "gaat-export-1",
            model: description.model,
            variant: description.variant.clone(),
            input: description.input,
            classes: description.class_names.len(),
            class_names: description.class_names.clone(),
            mean: description.mean.clone(),
            std: description.std.clone(),
            epoch: description.epoch,
            recipe,
        }
    }

    pub(super) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self).map_err(std::io::Error::from)? + "\n")
    }
}
