//! `gaat data`.

use super::fetch;
use super::listing::Shown;
use crate::arguments::{DataAction, DataArguments, LookArguments};
use crate::printer::Printer;
use crate::process::Outcome;
use anyhow::{Result, bail};
use gaat_data::{Condition, DatasetReport, Source, info, verify};
use gaat_spec::{DatasetName, Size};

/// Looks at data sets, or fetches one.
///
/// # Errors
/// When a data set that was to be verified cannot be used, or one that was to be fetched cannot be had.
pub fn run(arguments: &DataArguments, printer: &Printer) -> Result<Outcome> {
    match &arguments.action {
        DataAction::Info(arguments) => {
            look(arguments, info, printer)?;
        }
        DataAction::Verify(arguments) => {
            let bad = look(arguments, verify, printer)?;
            if !bad.is_empty() {
                bail!("cannot be used: {} (see above)", bad.join(", "));
            }
        }
        DataAction::Fetch(arguments) => return fetch::run(arguments, printer),
    }
    Ok(Outcome::Done)
}

/// Prints what `looking` finds; returns the names of data sets that cannot be used.
fn look(
    arguments: &LookArguments,
    looking: fn(&Source) -> DatasetReport,
    printer: &Printer,
) -> Result<Vec<String>> {
    let datasets = arguments.dataset.map_or_else(|| DatasetName::ALL.to_vec(), |dataset| vec![dataset]);
    let mut shown = Vec::new();
    let mut bad = Vec::new();
    for dataset in datasets {
        let resize = arguments.resize.map(Size::rows_and_columns);
        let source = Source { dataset, data_dir: arguments.data_dir.clone(), resize };
        let report = looking(&source);
        let unusable = match &report.condition {
            // Few machines have all data sets; only one that was asked for by name is missed.
            Condition::Missing { .. } => arguments.dataset.is_some(),
            Condition::Unusable { .. } => true,
            Condition::Readable | Condition::NotOfficial | Condition::Official => false,
        };
        if unusable {
            bad.push(dataset.to_string());
        }
        shown.push(Shown::of(report));
    }
    printer.result(&shown, |shown| {
        let brief = arguments.dataset.is_none();
        shown.iter().map(|report| report.text(brief)).collect::<Vec<String>>().join("\n")
    })?;
    Ok(bad)
}
