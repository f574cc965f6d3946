//! A trained network written for other programs.

use crate::error::{Error, Result};
use crate::subject::recipe_beside;
use gaat::exchange::{Config, OnnxOptions, config_path, export_onnx, export_program, export_safetensors};
use gaat::exported::is_exported;
use gaat::run::{open, recipe};
use gaat_spec::{Checkpoint, ComputePrecision, visible_path};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a network is written as.
#[derive(Debug, Clone, Copy)]
pub enum Format {
    /// Weights under their PyTorch names.
    Safetensors,
    /// The program of torch.export that was trained, with the trained weights.
    Program,
    /// A graph that takes pixels in `[0, 1]` and returns logits.
    Onnx(OnnxOptions),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// Mean and standard deviation of pixels, classes and recipe, beside the file; `None` for ONNX files, which carry them.
    pub config: Option<PathBuf>,
    /// Name of the network.
    pub model: String,
    /// Shape of its images, such as `3x32x32`.
    pub input: String,
    /// Classes that it tells apart.
    pub classes: usize,
    /// The epoch that its weights are of.
    pub epoch: usize,
    /// What the reader of the weights had to say that stopped nothing.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Writes the network of `run`, a run directory or a file of weights, to `out` in `format`.
///
/// # Errors
/// When `out`, or the configuration beside `out`, is there already; when a program has another ending than `.pt2`; when the network
/// cannot be opened or written in that format.
pub fn export(run: &Path, checkpoint: Checkpoint, format: Format, out: &Path) -> Result<Exported> {
    require_vacant(out, "remove it, or choose another file")?;
    if matches!(format, Format::Program) && !is_exported(out) {
        let reason = format!(
            "a program of torch.export is known again by the ending .pt2; name the file {}",
            visible_path(&out.with_extension("pt2"))
        );
        return Err(Error::File { path: out.to_owned(), reason });
    }
    if !matches!(format, Format::Onnx(_)) {
        require_vacant(
            &config_path(out),
            "each export writes its own beside the file; choose a folder of its own",
        )?;
    }
    let opened = open(run, checkpoint, Some("cpu"), ComputePrecision::Fp32)?;
    let warnings = opened.without_checksum().into_iter().collect();
    let (classifier, description) = (opened.classifier.as_ref(), &opened.description);
    let trained_by = match opened.record {
        Some(record) => Some(record.recipe),
        None => recipe_beside(run).map(recipe).transpose()?.flatten(),
    };
    let config = Config::new(description, trained_by);
    let beside = match format {
        Format::Onnx(options) => {
            export_onnx(out, classifier, &config, options)?;
            None
        }
        Format::Safetensors => Some(export_safetensors(out, classifier, description, &config)?),
        Format::Program => Some(export_program(out, classifier, &config)?),
    };
    Ok(Exported {
        file: out.to_owned(),
        config: beside,
        model: description.model.to_string(),
        input: classifier.input_shape().to_string(),
        classes: description.class_names.len(),
        epoch: description.epoch,
        warnings,
    })
}

fn require_vacant(path: &Path, advice: &str) -> Result<()> {
    if path.exists() {
        let reason = format!("is there already; {advice}");
        return Err(Error::Taken { path: path.to_owned(), reason });
    }
    Ok(())
}
