//! Reports of run directories and comparisons: reads what lies there, writes `report.html` and `plots/`.

use crate::commands::compare::judgement;
use crate::directory::{typed, write_whole};
use crate::printer::Printer;
use crate::verdicts::{self, Verdict};
use anyhow::{Context, Result, anyhow, bail};
use gaat::run::OpenedRun;
use gaat_data::ImageSource;
use gaat_report::{ComparedRun, ComparisonPage, Document, Judged, Report, RunPage, summarize};
use gaat_spec::{Analysis, Explanation, Gallery, MethodName, ThreatModel, visible_path};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

const PAGE: &str = "report.html";
const GALLERY: &str = "gallery.json";
const EXPLANATION: &str = "explanation/explanation.json";
const RUN: &str = "run.json";
const COMPARISON: &str = "compare.json";

/// Writes the report of a run directory or a comparison, to `out` or into the directory; hands back where it lies.
pub(crate) fn write(directory: &Path, out: Option<&Path>) -> Result<PathBuf> {
    // No other process may change the files of the directory between reading them and writing the page.
    let _turn = gaat::lock::Writer::in_directory(directory)?;
    let report = if directory.join(RUN).exists() {
        of_run(directory)?
    } else if directory.join(COMPARISON).exists() {
        of_comparison(directory)?
    } else {
        bail!(
            "{}: neither a run (no run.json) nor a comparison (no compare.json); expected a directory of `gaat train` \
             or `gaat compare`",
            visible_path(directory)
        );
    };
    save(&report, directory, out)
}

/// Whether `directory` is something that a report can be written of.
pub(crate) fn is_reported(directory: &Path) -> bool {
    directory.join(RUN).exists() || directory.join(COMPARISON).exists()
}

/// Writes the report again after something new is known; what hinders it is said and stops nothing.
pub(crate) fn refresh(directory: &Path, printer: &Printer) {
    if let Err(error) = write(directory, None) {
        printer.warning(&format!("no new report: {error:#}"));
    }
}

/// Writes the report of a comparison from what is known of it.
pub(crate) fn write_comparison(
    directory: &Path,
    command: Option<&str>,
    document: Document<'_>,
) -> Result<()> {
    save(&comparison(directory, command, document)?, directory, None).map(drop)
}

/// Saves a few test images under attack for the report of `run`; what hinders it is said and stops nothing.
pub(crate) fn keep_gallery(
    run: &Path,
    opened: &OpenedRun,
    images: &dyn ImageSource,
    threat: ThreatModel,
    printer: &Printer,
) {
    let keep = || -> Result<()> {
        let gallery = gaat::gallery::gallery(opened.classifier.as_ref(), images, threat, 0)?;
        write_whole(&run.join(GALLERY), &(serde_json::to_string(&gallery)? + "\n"))
    };
    if let Err(error) = keep() {
        printer.warning(&format!("no images for the report: {error:#}"));
    }
}

fn save(report: &Report, directory: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let page = out.map_or_else(|| directory.join(PAGE), Path::to_owned);
    for plot in &report.plots {
        write_whole(&directory.join("plots").join(plot.file), &plot.svg)?;
    }
    write_whole(&page, &report.html)?;
    Ok(page)
}

fn of_run(directory: &Path) -> Result<Report> {
    let record = gaat::run::record(directory)?;
    // A comparison keeps the verdict that its table rests on in a file of its own.
    let compared = judgement(directory).map(|(checkpoint, evaluation)| Verdict {
        command: None,
        checkpoint,
        evaluation,
    });
    let judged = verdicts::joined(compared.into_iter().collect(), verdicts::read(directory)?);
    let judged: Vec<Judged> = judged.into_iter().map(Judged::from).collect();
    let analysis: Option<Analysis> = document(&directory.join("analysis/analysis.json"))?;
    let gallery: Option<Gallery> = document(&directory.join(GALLERY))?;
    let explanation: Option<Explanation> = document(&directory.join(EXPLANATION))?;
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

/// What is needed of `compare.json`.
#[derive(Deserialize)]
struct Comparison {
    title: String,
    #[serde(default)]
    command: Option<String>,
    planned: usize,
    runs: Vec<serde_json::Value>,
}

fn of_comparison(directory: &Path) -> Result<Report> {
    let path = directory.join(COMPARISON);
    let Comparison { title, command, planned, runs } =
        document(&path)?.ok_or_else(|| anyhow!("{} is gone", visible_path(&path)))?;
    let runs = runs.into_iter().map(compared).collect::<Result<Vec<_>>>();
    let runs = runs.with_context(|| format!("{} holds a run that cannot be read", visible_path(&path)))?;
    let summary = summarize(&runs);
    let document = Document { title: &title, planned, runs: &runs, summary: &summary };
    comparison(directory, command.as_deref(), document)
}

/// A run of a comparison; of one that failed, a record without a number where one is needed is left out.
fn compared(mut run: serde_json::Value) -> Result<ComparedRun> {
    match serde_json::from_value(run.clone()) {
        Err(_) if run["failure"].is_string() => {
            run["record"] = serde_json::Value::Null;
            Ok(serde_json::from_value(run)?)
        }
        read => Ok(read?),
    }
}

fn comparison(directory: &Path, command: Option<&str>, document: Document<'_>) -> Result<Report> {
    let mut galleries: Vec<(MethodName, String, Gallery)> = Vec::new();
    for run in document.runs {
        // One of each method is enough to look at.
        if galleries.iter().any(|(method, ..)| *method == run.method) {
            continue;
        }
        // The directory may have moved since; its runs lie in it.
        let Some(name) = Path::new(&run.directory).file_name() else { continue };
        if let Some(gallery) = self::document(&directory.join(name).join(GALLERY))? {
            galleries.push((run.method, format!("{}, seed {}", run.method, run.seed), gallery));
        }
    }
    let galleries: Vec<(String, Gallery)> =
        galleries.into_iter().map(|(_, name, gallery)| (name, gallery)).collect();
    let explanation: Option<Explanation> = self::document(&directory.join(EXPLANATION))?;
    let page = ComparisonPage {
        directory: &typed(directory),
        command,
        document,
        galleries: &galleries,
        explanation: explanation.as_ref(),
    };
    Ok(page.report())
}

/// The JSON document at `path`; `None` where there is no file.
fn document<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = gaat_data::files::read_text(path)?;
    let read = serde_json::from_str(&text);
    Ok(Some(read.with_context(|| {
        format!("{} is damaged; the command that wrote it writes it anew", visible_path(path))
    })?))
}
