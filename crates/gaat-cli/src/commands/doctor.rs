//! `gaat doctor`.

use super::Outcome;
use crate::arguments::DoctorArguments;
use crate::checkup;
use crate::printer::Printer;
use anyhow::Result;

pub(crate) fn run(arguments: &DoctorArguments, printer: &Printer) -> Result<Outcome> {
    let diagnosis = checkup::look(arguments)?;
    printer.result(&diagnosis, checkup::Diagnosis::text)?;
    Ok(if diagnosis.ready { Outcome::Done } else { Outcome::ThresholdMissed })
}
