//! `gaat model info`.

use super::Outcome;
use crate::arguments::{ModelAction, ModelArguments};
use crate::printer::Printer;
use anyhow::Result;
use gaat_study::NetworkInfo;

pub(crate) fn run(arguments: &ModelArguments, printer: &Printer) -> Result<Outcome> {
    let ModelAction::Info(arguments) = &arguments.action;
    gaat::device::prepare_process(None)?;
    let info = NetworkInfo::of(&arguments.file)?;
    printer.result(&info, NetworkInfo::text)?;
    Ok(if info.fault.is_some() { Outcome::ThresholdMissed } else { Outcome::Done })
}
