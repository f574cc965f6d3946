//! `gaat train`.

use crate::progress::TrainingProgress;
use anyhow::Result;
use gaat::train::{TrainOptions, train_in};
use gaat::world::Place;
use gaat_cli::arguments::TrainArguments;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_report::format::typed;
use gaat_report::trained_text;
use gaat_spec::{RunRecord, Status, visible_path};
use gaat_study::planned::{Planned, Wish};
use gaat_study::report;
use serde::Serialize;
use std::path::Path;

/// The record, and where it lies.
#[derive(Serialize)]
struct Finished<'a> {
    directory: &'a Path,
    #[serde(flatten)]
    record: &'a RunRecord,
}

/// Trains alone, or in the `place` of one of several processes. All of these were started again where one had failed: they
/// continue from what was saved.
pub(crate) fn run(arguments: &TrainArguments, printer: &Printer, place: Option<&Place>) -> Result<Outcome> {
    // `gaat train --resume RUN` reads as naturally as `--out RUN`.
    let Planned { catalogue, recipe, run_dir } = Planned::of(Wish {
        file: arguments.file.as_deref(),
        keys: &arguments.recipe,
        out: arguments.out.as_deref(),
        resume: arguments.resume,
    })?;
    gaat::device::prepare_process(recipe.resolved.threads)?;
    let resume = arguments.resume || place.is_some_and(|place| place.restarts > 0);
    let options = TrainOptions { run_dir: run_dir.clone(), resume };
    let world = super::world(place)?;
    let is_leader = world.rank() == 0;
    let mut progress = TrainingProgress::new(printer, "");
    let record = train_in(&world, &catalogue, &recipe, &options, &mut progress)?;
    if !is_leader {
        let is_done = record.status != Status::Interrupted;
        return Ok(if is_done { Outcome::Done } else { Outcome::Interrupted });
    }
    if !progress.has_begun() {
        printer.notice(&format!("{}: finished already; nothing was left to train", visible_path(&run_dir)));
    }
    drop(progress);
    printer.warnings(&Vec::from_iter(report::refresh(&run_dir)));
    if record.status == Status::Interrupted {
        printer.notice(&format!("interrupted; continue with: gaat train --resume --out {}", typed(&run_dir)));
        return Ok(Outcome::Interrupted);
    }
    printer.result(&Finished { directory: &run_dir, record: &record }, |finished| {
        trained_text(finished.directory, finished.record)
    })?;
    Ok(Outcome::Done)
}
