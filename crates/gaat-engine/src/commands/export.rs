//! `gaat export`.

use super::Outcome;
use anyhow::{Result, bail};
use gaat::exchange::{
    BatchNorms, Config, OnnxOptions, config_path, export_onnx, export_program, export_safetensors,
};
use gaat::exported::is_exported;
use gaat_cli::arguments::{ExportArguments, ExportFormat};
use gaat_cli::printer::Printer;
use gaat_report::format::typed;
use gaat_spec::{ComputePrecision, visible_path};
use gaat_study::subject::recipe_beside;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    /// Beside the file, but for ONNX files, which carry it.
    config: Option<PathBuf>,
    model: String,
    input: String,
    classes: usize,
    epoch: usize,
}

pub(crate) fn run(arguments: &ExportArguments, printer: &Printer) -> Result<Outcome> {
    gaat::device::prepare_process(None)?;
    let out = &arguments.out;
    require_vacant(out)?;
    let is_onnx = arguments.format == ExportFormat::Onnx;
    if arguments.fold_batchnorm && !is_onnx {
        bail!("--fold-batchnorm is of --format onnx: the others keep the parameters of the public model");
    }
    if arguments.opset.is_some() && !is_onnx {
        bail!(
            "--opset is of --format onnx: safetensors hold weights and no operators, .pt2 those of PyTorch"
        );
    }
    if arguments.format == ExportFormat::Pt2 && !is_exported(out) {
        bail!(
            "--format pt2 writes a file that ends in .pt2, by which it is known again: --out {}",
            typed(&out.with_extension("pt2"))
        );
    }
    let configuration = config_path(out);
    if !is_onnx && configuration.exists() {
        bail!(
            "{}: is there already, and each export writes its own beside the file; choose a folder of its own for --out",
            visible_path(&configuration)
        );
    }
    let opened = gaat::run::open(&arguments.run, arguments.checkpoint, Some("cpu"), ComputePrecision::Fp32)?;
    if let Some(warning) = opened.without_checksum() {
        printer.warning(&warning);
    }
    let (classifier, description) = (opened.classifier.as_ref(), &opened.description);
    let recipe = match opened.record {
        Some(record) => Some(record.recipe),
        None => recipe_beside(&arguments.run).map(gaat::run::recipe).transpose()?.flatten(),
    };
    let config = Config::new(description, recipe);
    let beside = match arguments.format {
        ExportFormat::Onnx => {
            let norms = if arguments.fold_batchnorm { BatchNorms::Folded } else { BatchNorms::Kept };
            export_onnx(out, classifier, &config, OnnxOptions { norms, operators: arguments.opset })?;
            None
        }
        ExportFormat::Safetensors => Some(export_safetensors(out, classifier, description, &config)?),
        ExportFormat::Pt2 => Some(export_program(out, classifier, &config)?),
    };
    let exported = Exported {
        file: out.clone(),
        config: beside,
        model: description.model.to_string(),
        input: classifier.input_shape().to_string(),
        classes: description.class_names.len(),
        epoch: description.epoch,
    };
    printer.result(&exported, sentence)?;
    Ok(Outcome::Done)
}

fn require_vacant(path: &Path) -> Result<()> {
    if path.exists() {
        bail!("{}: is there already; choose another --out, or remove it", visible_path(path));
    }
    Ok(())
}

fn sentence(exported: &Exported) -> String {
    let Exported { file, config, model, input, classes, epoch } = exported;
    let file = visible_path(file);
    let next = match config {
        Some(config) => {
            format!(
                "{}: mean and std by which pixels are normalised before the network, classes, recipe",
                visible_path(config)
            )
        }
        None => "takes `pixels` in [0, 1], normalises them itself, gives `logits`".to_owned(),
    };
    format!("{file}: {model} of epoch {epoch}, images of {input}, {classes} classes\n{next}\n")
}
