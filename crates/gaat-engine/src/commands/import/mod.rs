//! `gaat import`.

mod options;

use anyhow::{Result, bail};
use gaat::exchange::{Imported, import};
use gaat_cli::arguments::ImportArguments;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_report::format::typed;
use gaat_spec::visible_path;
use serde::Serialize;
use std::path::PathBuf;

/// What was written.
#[derive(Serialize)]
struct Written {
    weights: PathBuf,
    model: String,
    input: String,
    classes: Vec<String>,
    parameters: usize,
    /// Keys of other networks in the file that fit too.
    others: Vec<String>,
    /// What was taken, left and assumed.
    notes: Vec<String>,
}

pub(crate) fn run(arguments: &ImportArguments, printer: &Printer) -> Result<Outcome> {
    gaat::device::prepare_process(None)?;
    if !arguments.file.exists() {
        bail!(
            "{}: nothing there; expected a state dict, written by torch.save (.pth, .pt) or as safetensors",
            visible_path(&arguments.file)
        );
    }
    if arguments.out.exists() {
        bail!("{}: is there already; choose another --out, or remove it", visible_path(&arguments.out));
    }
    let options = options::options(arguments)?;
    let imported = import(&arguments.file, &options)?;
    let Imported { classifier, description, others, notes } = imported;
    for note in &notes {
        printer.notice(note);
    }
    if !others.is_empty() {
        printer.notice(&format!("as well fit {}; --key chooses", others.join(", ")));
    }
    if options.input.is_none() {
        let shape = classifier.input_shape();
        printer.notice(&format!("taken for images of {shape}; --input or --dataset says otherwise"));
    }
    gaat::weights::save(&arguments.out, classifier.as_ref(), &description)?;
    let written = Written {
        weights: arguments.out.clone(),
        model: description.model.to_string(),
        input: classifier.input_shape().to_string(),
        classes: description.class_names.clone(),
        parameters: classifier.store().parameter_count(),
        others,
        notes,
    };
    printer.result(&written, |written| {
        let Written { weights, model, input, classes, parameters, .. } = written;
        let (path, shown, classes) = (typed(weights), visible_path(weights), classes.len());
        let attack = thorough_attack(classes);
        format!(
            "{shown}: {model}, {parameters} parameters, images of {input}, {classes} classes\n\
             judge it: gaat evaluate {path} --dataset DATASET --norm linf --epsilon LENGTH --attack {attack}\n"
        )
    })?;
    Ok(Outcome::Done)
}

/// The strongest attack that takes a network of so many classes: the targeted ratio of logits in autoattack compares four.
fn thorough_attack(classes: usize) -> &'static str {
    if classes < 4 { "apgd-ce,fab-t,square" } else { "autoattack" }
}
