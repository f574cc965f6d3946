//! `gaat analyze`.

use super::Outcome;
use super::subject::{Subject, selection};
use crate::arguments::AnalyzeArguments;
use crate::directory::write_whole;
use crate::printer::Printer;
use crate::progress::AnalysisProgress;
use crate::reports;
use anyhow::Result;
use gaat::analyze::{AnalyzeOptions, analyze};
use gaat_report::format::count;
use gaat_report::{analysis_plots, analysis_text};
use gaat_spec::{Analysis, Curvature, DatasetName, LossModel, Norm, PixelLength, visible_path};
use std::path::{Path, PathBuf};

pub(crate) fn run(arguments: &AnalyzeArguments, printer: &Printer) -> Result<Outcome> {
    let models = LossModel::all(&arguments.orders, curvatures(arguments))?;
    let Subject { opened, trained, test, warnings } = Subject::open(&arguments.subject)?;
    printer.warnings(&warnings);
    let norm = arguments.norm.unwrap_or(trained.plan.threat().norm());
    let options = AnalyzeOptions {
        norm,
        epsilons: epsilons(arguments, norm, trained.dataset)?,
        models,
        anchor: arguments.anchor,
        steps: arguments.steps,
        curvature_draws: arguments.curvature_draws,
        batch_size: arguments.batch_size,
        limit: arguments.first.unwrap_or(arguments.limit),
        selection: selection(arguments.first),
        seed: arguments.seed,
    };
    let mut progress = AnalysisProgress::new(printer);
    let found = analyze(opened.classifier.as_ref(), test.images(), &options, &mut |now| progress.update(now));
    let analysis = match found {
        Ok(analysis) => analysis,
        Err(gaat::Error::Interrupted) => {
            printer.notice("interrupted; an analysis starts anew when it is repeated");
            return Ok(Outcome::Interrupted);
        }
        Err(error) => return Err(error.into()),
    };
    let title = title(&arguments.subject.run, &opened.classifier.name(), &trained, &analysis);
    let out = arguments.out.clone().unwrap_or_else(|| default_directory(&arguments.subject.run));
    save(&out, &title, &analysis)?;
    if opened.record.is_some() && arguments.out.is_none() {
        reports::refresh(&arguments.subject.run, printer);
    }
    printer.result(&analysis, |analysis| {
        format!("{}\nanalysis.json and plots: {}", analysis_text(&title, analysis), visible_path(&out))
    })?;
    Ok(Outcome::Done)
}

fn curvatures(arguments: &AnalyzeArguments) -> &[Curvature] {
    if arguments.curvatures.is_empty() { Curvature::ALL } else { &arguments.curvatures }
}

/// The bounds asked for, or those that images of this kind are usually attacked with and some beyond.
fn epsilons(arguments: &AnalyzeArguments, norm: Norm, dataset: DatasetName) -> Result<Vec<PixelLength>> {
    if !arguments.epsilons.is_empty() {
        return Ok(arguments.epsilons.clone());
    }
    let (numerators, denominator): (&[f64], f64) = match (norm, dataset) {
        (Norm::L2, _) => (&[0.25, 0.5, 1.0, 1.5, 2.0, 3.0], 1.0),
        (Norm::Linf, DatasetName::Digits | DatasetName::Mnist | DatasetName::FashionMnist) => {
            (&[0.05, 0.1, 0.2, 0.3, 0.4, 0.5], 1.0)
        }
        (Norm::Linf, _) => (&[2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0], 255.0),
    };
    Ok(numerators
        .iter()
        .map(|numerator| PixelLength::fraction(*numerator, denominator))
        .collect::<gaat_spec::Result<Vec<_>>>()?)
}

/// In the run directory; beside a checkpoint that lies elsewhere.
fn default_directory(run: &Path) -> PathBuf {
    let root = if run.is_dir() { run } else { run.parent().unwrap_or(Path::new(".")) };
    root.join("analysis")
}

fn title(run: &Path, model: &str, trained: &gaat_spec::CheckedRecipe, analysis: &Analysis) -> String {
    let images = analysis.subset.map_or_else(|| count(analysis.examples as u64), |subset| subset.words());
    let (dataset, anchor) = (trained.dataset, analysis.anchor);
    format!("{}: {model}, {images} test images of {dataset}, anchor {anchor}", visible_path(run))
}

fn save(out: &Path, title: &str, analysis: &Analysis) -> Result<()> {
    write_whole(&out.join("analysis.json"), &(serde_json::to_string_pretty(analysis)? + "\n"))?;
    for plot in analysis_plots(title, analysis) {
        write_whole(&out.join(plot.file), &plot.svg)?;
    }
    Ok(())
}
