//! `gaat doctor`.

use crate::checkup;
use anyhow::Result;
use gaat_cli::arguments::DoctorArguments;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;

pub(crate) fn run(arguments: &DoctorArguments, printer: &Printer) -> Result<Outcome> {
    let diagnosis = checkup::look(arguments)?;
    printer.result(&diagnosis, checkup::Diagnosis::text)?;
    Ok(if diagnosis.ready { Outcome::Done } else { Outcome::ThresholdMissed })
}
