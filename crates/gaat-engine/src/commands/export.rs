//! `gaat export`.

use anyhow::{Result, bail};
use gaat::exchange::{BatchNorms, OnnxOptions};
use gaat_cli::arguments::{ExportArguments, ExportFormat};
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_spec::visible_path;
use gaat_study::export::{Exported, Format, export};

pub(crate) fn run(arguments: &ExportArguments, printer: &Printer) -> Result<Outcome> {
    gaat::device::prepare_process(None)?;
    let ExportArguments { run, out, checkpoint, .. } = arguments;
    let exported = export(run, *checkpoint, format(arguments)?, out)?;
    printer.warnings(&exported.warnings);
    printer.result(&exported, sentence)?;
    Ok(Outcome::Done)
}

fn format(arguments: &ExportArguments) -> Result<Format> {
    let is_onnx = arguments.format == ExportFormat::Onnx;
    if arguments.fold_batchnorm && !is_onnx {
        bail!("--fold-batchnorm is of --format onnx: the others keep the parameters of the public model");
    }
    if arguments.opset.is_some() && !is_onnx {
        bail!(
            "--opset is of --format onnx: safetensors hold weights and no operators, .pt2 those of PyTorch"
        );
    }
    let norms = if arguments.fold_batchnorm { BatchNorms::Folded } else { BatchNorms::Kept };
    Ok(match arguments.format {
        ExportFormat::Safetensors => Format::Safetensors,
        ExportFormat::Pt2 => Format::Program,
        ExportFormat::Onnx => Format::Onnx(OnnxOptions { norms, operators: arguments.opset }),
    })
}

fn sentence(exported: &Exported) -> String {
    let Exported { file, config, model, input, classes, epoch, .. } = exported;
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
