//! `gaat report`.

use anyhow::Result;
use gaat_cli::arguments::ReportArguments;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_spec::visible_path;
use gaat_study::report;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Serialize)]
struct Written {
    page: PathBuf,
    plots: PathBuf,
}

pub(crate) fn run(arguments: &ReportArguments, printer: &Printer) -> Result<Outcome> {
    let page = report::write(&arguments.directory, arguments.out.as_deref())?;
    let written = Written { page, plots: arguments.directory.join("plots") };
    printer.result(&written, |written| {
        format!("report: {}, plots: {}", visible_path(&written.page), visible_path(&written.plots))
    })?;
    Ok(Outcome::Done)
}
