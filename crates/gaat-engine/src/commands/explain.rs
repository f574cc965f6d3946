//! `gaat explain`.

use super::{ended, open, selection};
use anyhow::Result;
use gaat::explain::{Control, ExplainOptions};
use gaat_cli::arguments::{ExplainArguments, SubjectArguments};
use gaat_cli::interrupt;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_report::explanation_text;
use gaat_spec::{ComputePrecision, visible_path};
use gaat_study::Subject;
use gaat_study::explanation::{explain_all, explanation_directory, refresh_beside, save_explanation};
use std::path::PathBuf;

const AGAIN: &str = "interrupted; an explanation starts again when it is repeated";

pub(crate) fn run(arguments: &ExplainArguments, printer: &Printer) -> Result<Outcome> {
    let subjects = open_all(arguments)?;
    // All look at the same images: what is odd about them is said once.
    printer.warnings(subjects.first().map_or(&[], |first| first.warnings.as_slice()));
    let options = ExplainOptions {
        methods: arguments.method.clone(),
        limit: arguments.first.unwrap_or(arguments.limit),
        selection: selection(arguments.first),
        seed: arguments.seed,
    };
    let mut observer = |now: &str| {
        printer.progress(now);
        if interrupt::requested() { Control::Stop } else { Control::Continue }
    };
    let found = explain_all(&subjects, &options, &mut observer);
    let Some(found) = ended(found, printer, AGAIN)? else { return Ok(Outcome::Interrupted) };
    let out = arguments.out.clone().unwrap_or_else(|| explanation_directory(&arguments.runs));
    save_explanation(&out, &found)?;
    if arguments.out.is_none() {
        printer.warnings(&Vec::from_iter(refresh_beside(&out)));
    }
    printer.result(&found.explanation, |explanation| {
        format!(
            "{}\nexplanation.json, README.md and pictures: {}",
            explanation_text(explanation),
            visible_path(&out)
        )
    })?;
    Ok(Outcome::Done)
}

/// Opens every run.
fn open_all(arguments: &ExplainArguments) -> Result<Vec<Subject>> {
    let open_one = |run: &PathBuf| {
        open(&SubjectArguments {
            run: run.clone(),
            trained: arguments.trained.clone(),
            device: Some(arguments.device.clone()),
            precision: ComputePrecision::Fp32,
        })
    };
    arguments.runs.iter().map(open_one).collect()
}
