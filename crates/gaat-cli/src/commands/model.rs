//! `gaat model info`.

use super::Outcome;
use crate::arguments::{ModelAction, ModelArguments};
use crate::printer::Printer;
use anyhow::Result;
use gaat::exported::ExportedFile;
use gaat::nn::{Classifier, Normalization};
use gaat_report::format::count;
use gaat_spec::{ComputePrecision, visible};
use serde::Serialize;
use std::fmt::Write as _;

/// What there is to tell.
#[derive(Serialize)]
struct Info {
    file: String,
    sha256: String,
    network: String,
    pytorch: String,
    schema: String,
    images: String,
    /// Absent where any number of images is taken.
    batch: Option<i64>,
    classes: i64,
    parameters: usize,
    tensors: usize,
    operators: Vec<(String, usize)>,
    /// Layer of the last convolutional map.
    feature_layer: Option<String>,
    /// Why it cannot be opened; absent where it can.
    fault: Option<String>,
    /// Why it cannot be judged; absent where it can.
    not_judged: Option<String>,
    /// Why it cannot be trained; absent where it can.
    not_trained: Option<String>,
}

pub(crate) fn run(arguments: &ModelArguments, printer: &Printer) -> Result<Outcome> {
    let ModelAction::Info(arguments) = &arguments.action;
    gaat::device::prepare_process(None)?;
    let file = ExportedFile::read(&arguments.file)?;
    let program = file.program();
    let mut info = Info {
        file: arguments.file.display().to_string(),
        sha256: file.digest().to_owned(),
        network: program.class.clone(),
        pytorch: program.torch.clone(),
        schema: format!("{}.{}", program.schema.0, program.schema.1),
        images: file.image().to_string(),
        batch: program.batch,
        classes: program.classes,
        parameters: program.parameter_count(),
        tensors: program.tensors.len(),
        operators: program.operators(),
        feature_layer: None,
        fault: None,
        not_judged: None,
        not_trained: program.check_trainable().err().map(|error| error.to_string()),
    };
    let identity = Normalization::identity(file.image().channels);
    match file.open(identity, None, ComputePrecision::Fp32) {
        Ok(network) => {
            info.feature_layer = network.feature_layer().map(str::to_owned);
            info.not_judged = network.check_judgeable().err().map(|error| error.to_string());
        }
        Err(error) => info.fault = Some(error.to_string()),
    }
    let outcome = if info.fault.is_some() { Outcome::ThresholdMissed } else { Outcome::Done };
    printer.result(&info, text)?;
    Ok(outcome)
}

fn text(info: &Info) -> String {
    let mut text = format!(
        "{}: {} from PyTorch {} (schema {})\n  images      {}, {}\n  classes     {}\n  parameters  {} in {} tensors with buffers\n",
        info.file,
        visible(&info.network),
        visible(&info.pytorch),
        info.schema,
        info.images,
        info.batch
            .map_or("any number at once".to_owned(), |batch| format!("{batch} at once, no more and no less")),
        info.classes,
        count(info.parameters as u64),
        info.tensors,
    );
    let operators: Vec<String> =
        info.operators.iter().map(|(name, times)| format!("{} {times}", visible(name))).collect();
    let _ = writeln!(text, "  operators   {}", operators.join(", "));
    let layer =
        info.feature_layer.as_deref().map_or("none: no convolution, or attention after it".into(), visible);
    let _ = writeln!(text, "  last map    {layer}");
    if let Some(fault) = &info.fault {
        let _ = writeln!(text, "  cannot be opened: {fault}");
        return text;
    }
    let _ = match &info.not_judged {
        None => writeln!(text, "  can be judged, attacked, analysed and explained"),
        Some(reason) => writeln!(text, "  cannot be judged: {reason}"),
    };
    if let Some(reason) = &info.not_trained {
        let _ = writeln!(text, "  cannot be trained: {reason}");
    }
    text
}
