//! `gaat analyze`.

use super::{ended, open, selection};
use crate::progress::AnalysisProgress;
use anyhow::Result;
use gaat::analyze::AnalyzeOptions;
use gaat_cli::arguments::AnalyzeArguments;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_report::analysis_text;
use gaat_spec::{Curvature, LossModel, visible_path};
use gaat_study::analysis::save_analysis;
use gaat_study::{Subject, epsilons, report};

const AGAIN: &str = "interrupted; an analysis starts again when it is repeated";

pub(crate) fn run(arguments: &AnalyzeArguments, printer: &Printer) -> Result<Outcome> {
    let curvatures = if arguments.curvatures.is_empty() { Curvature::ALL } else { &arguments.curvatures };
    let models = LossModel::all(&arguments.orders, curvatures)?;
    let subject = open(&arguments.subject)?;
    printer.warnings(&subject.warnings);
    let options = options(arguments, &subject, models)?;
    let mut progress = AnalysisProgress::new(printer);
    let found = subject.analyze(&options, &mut |now| progress.update(now));
    let Some(analysis) = ended(found, printer, AGAIN)? else { return Ok(Outcome::Interrupted) };
    let title = subject.analysis_title(&analysis);
    let out = arguments.out.clone().unwrap_or_else(|| subject.analysis_directory());
    save_analysis(&out, &title, &analysis)?;
    if subject.opened.record.is_some() && arguments.out.is_none() {
        printer.warnings(&Vec::from_iter(report::refresh(&arguments.subject.run)));
    }
    printer.result(&analysis, |analysis| {
        format!("{}\nanalysis.json and plots: {}", analysis_text(&title, analysis), visible_path(&out))
    })?;
    Ok(Outcome::Done)
}

fn options(
    arguments: &AnalyzeArguments,
    subject: &Subject,
    models: Vec<LossModel>,
) -> Result<AnalyzeOptions> {
    let norm = arguments.norm.unwrap_or(subject.trained.plan.threat().norm());
    let epsilons = if arguments.epsilons.is_empty() {
        epsilons::of_analysis(norm, subject.trained.dataset)?
    } else {
        arguments.epsilons.clone()
    };
    Ok(AnalyzeOptions {
        norm,
        epsilons,
        models,
        anchor: arguments.anchor,
        steps: arguments.steps,
        curvature_draws: arguments.curvature_draws,
        batch_size: arguments.batch_size,
        limit: arguments.first.unwrap_or(arguments.limit),
        selection: selection(arguments.first),
        seed: arguments.seed,
    })
}
