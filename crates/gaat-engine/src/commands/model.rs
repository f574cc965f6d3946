//! `gaat model info`.

use anyhow::Result;
use gaat_cli::arguments::{ModelAction, ModelArguments};
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_study::NetworkInfo;

pub(crate) fn run(arguments: &ModelArguments, printer: &Printer) -> Result<Outcome> {
    let ModelAction::Info(arguments) = &arguments.action;
    gaat::device::prepare_process(None)?;
    let info = NetworkInfo::of(&arguments.file, arguments.eval_program.as_deref())?;
    printer.result(&info, NetworkInfo::text)?;
    Ok(if info.fault.is_some() { Outcome::ThresholdMissed } else { Outcome::Done })
}
