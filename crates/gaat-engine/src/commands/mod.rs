//! The commands: each takes its arguments and the printer, and says how it ended.

pub(crate) mod advice;
pub(crate) mod analyze;
pub(crate) mod attack;
pub(crate) mod compare;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod model;
pub(crate) mod report;
pub(crate) mod train;

use anyhow::Result;
use gaat::nn::Catalogue;
use gaat::world::{Alone, Group, Place, World};
use gaat_cli::arguments::SubjectArguments;
use gaat_cli::printer::Printer;
use gaat_spec::Selection;
use gaat_study::{Subject, SubjectOptions};
use std::sync::Arc;

/// Sets up the process and opens what the arguments name.
fn open(arguments: &SubjectArguments) -> Result<Subject> {
    let SubjectArguments { run, trained, device, precision } = arguments;
    gaat::device::prepare_process(trained.threads)?;
    let options = SubjectOptions {
        run: run.clone(),
        checkpoint: trained.checkpoint,
        dataset: trained.dataset,
        data_dir: trained.data_dir.clone(),
        normalization: trained.normalization.clone(),
        eval_program: trained.eval_program.clone(),
        device: device.clone(),
        precision: *precision,
    };
    Ok(Subject::open(&options, &Catalogue::standard())?)
}

/// The result; `None` where the user interrupted the command. The user is then shown `advice`.
fn ended<T>(found: gaat_study::Result<T>, printer: &Printer, advice: &str) -> Result<Option<T>> {
    match found {
        Err(error) if error.is_interruption() => {
            printer.notice(advice);
            Ok(None)
        }
        found => Ok(Some(found?)),
    }
}

/// The processes that work with this one, met where `place` says.
fn world(place: Option<&Place>) -> gaat::Result<Arc<dyn World>> {
    Ok(match place {
        Some(place) => Arc::new(Group::meet(place)?),
        None => Arc::new(Alone),
    })
}

/// How test images are chosen where the number of the first ones may be given.
fn selection(first: Option<usize>) -> Selection {
    first.map_or(Selection::Seeded, |_| Selection::First)
}
