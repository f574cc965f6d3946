//! Reports of run directories and comparisons: reads what lies there, writes `report.html` and `plots/`.

use crate::comparison::judgement;
use crate::error::{Error, Result};
use crate::files::{read_json, write_text};
use crate::verdicts;
use gaat_report::format::typed;
use gaat_report::{Comparison, ComparisonPage, Judged, Report, RunPage};
use gaat_spec::{Analysis, Explanation, Gallery, MethodName, ThreatModel};
use std::path::{Path, PathBuf};

const PAGE: &str = "report.html";
const GALLERY: &str = "gallery.json";
const EXPLANATION: &str = "explanation/explanation.json";
const RUN: &str = "run.json";
/// What a comparison leaves beside its runs.
pub(crate) const COMPARISON: &str = "compare.json";

/// Writes the report of a run directory or a comparison, to `out` or into the directory; hands back where it lies.
///
/// # Errors
/// When the directory is neither, a document in it is damaged, or the page cannot be written.
pub fn write(directory: &Path, out: Option<&Path>) -> Result<PathBuf> {
    // No other process may change the files of the directory between reading them and writing the page.
    let _turn = gaat::lock::Writer::in_directory(directory)?;
    let report = if directory.join(RUN).exists() {
        of_run(directory)?
    } else if directory.join(COMPARISON).exists() {
        of_comparison(directory, &read_comparison(directory)?)?
    } else {
        let reason = "neither a run (no run.json) nor a comparison (no compare.json); expected a directory of `gaat train` or \
             `gaat compare`";
        return Err(Error::File { path: directory.to_owned(), reason: reason.to_owned() });
    };
    save(&report, directory, out)
}

/// Whether `directory` is something that a report can be written of.
pub fn is_reported(directory: &Path) -> bool {
    directory.join(RUN).exists() || directory.join(COMPARISON).exists()
}

/// Writes the report again after something new is known. What hinders it stops nothing and comes back as a warning.
#[must_use = "the warning is for the user"]
pub fn refresh(directory: &Path) -> Option<String> {
    warning("no new report", write(directory, None))
}

/// `what` and why, where `done` failed.
pub(crate) fn warning<T>(what: &str, done: Result<T>) -> Option<String> {
    done.err().map(|error| format!("{what}: {}", chain(&error)))
}

/// An error with its causes.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        let said = below.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = below.source();
    }
    text
}

/// The comparison in `directory`.
///
/// # Errors
/// When it cannot be read, is of another schema, or is damaged.
pub fn read_comparison(directory: &Path) -> Result<Comparison> {
    let path = directory.join(COMPARISON);
    let text = gaat_files::read_text(&path)?;
    text.parse()
        .map_err(|error: gaat_report::comparison::Unreadable| Error::File { path, reason: error.to_string() })
}

/// Writes the report of a comparison from what is known of it.
pub(crate) fn write_comparison(directory: &Path, comparison: &Comparison) -> Result<()> {
    save(&of_comparison(directory, comparison)?, directory, None).map(drop)
}

/// Saves a few test images under attack for the report of a run.
pub(crate) fn keep_gallery(
    run: &Path,
    classifier: &dyn gaat::nn::Classifier,
    images: &dyn gaat_data::ImageSource,
    threat: ThreatModel,
) -> Option<String> {
    let keep = || -> Result<()> {
        let gallery = gaat::gallery::gallery(classifier, images, threat, 0)?;
        let text = serde_json::to_string(&gallery).map_err(std::io::Error::from)?;
        write_text(&run.join(GALLERY), &(text + "\n"))
    };
    warning("no images for the report", keep())
}

fn save(report: &Report, directory: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let page = out.map_or_else(|| directory.join(PAGE), Path::to_owned);
    for plot in &report.plots {
        write_text(&directory.join("plots").join(plot.file), &plot.svg)?;
    }
    write_text(&page, &report.html)?;
    Ok(page)
}

fn of_run(directory: &Path) -> Result<Report> {
    let record = gaat::run::record(directory)?;
    // A comparison keeps the verdict that its table rests on in a file of its own.
    let compared =
        judgement(directory).map(|(checkpoint, evaluation)| Judged { command: None, checkpoint, evaluation });
    let judged = verdicts::joined(compared.into_iter().collect(), verdicts::read(directory)?);
    let analysis: Option<Analysis> = read_json(&directory.join("analysis/analysis.json"))?;
    let gallery: Option<Gallery> = read_json(&directory.join(GALLERY))?;
    let explanation: Option<Explanation> = read_json(&directory.join(EXPLANATION))?;
    let page = RunPage {
        directory: &typed(directory),
        record: &record,
        judged: &judged,
        analysis: analysis.as_ref(),
        gallery: gallery.as_ref(),
        explanation: explanation.as_ref(),
    };
    Ok(page.report())
}

fn of_comparison(directory: &Path, comparison: &Comparison) -> Result<Report> {
    let mut galleries: Vec<(MethodName, String, Gallery)> = Vec::new();
    for run in &comparison.runs {
        // One of each method is enough to look at.
        if galleries.iter().any(|(method, ..)| *method == run.method) {
            continue;
        }
        // The directory may have moved since; its runs lie in it.
        let Some(name) = Path::new(&run.directory).file_name() else { continue };
        if let Some(gallery) = read_json(&directory.join(name).join(GALLERY))? {
            galleries.push((run.method, format!("{}, seed {}", run.method, run.seed), gallery));
        }
    }
    let galleries: Vec<(String, Gallery)> =
        galleries.into_iter().map(|(_, name, gallery)| (name, gallery)).collect();
    let explanation: Option<Explanation> = read_json(&directory.join(EXPLANATION))?;
    let page = ComparisonPage {
        directory: &typed(directory),
        command: comparison.command.as_deref(),
        document: comparison.document(),
        galleries: &galleries,
        explanation: explanation.as_ref(),
    };
    Ok(page.report())
}
