//! `gaat train`.

use super::Outcome;
use crate::progress::TrainingProgress;
use anyhow::Result;
use gaat::nn::Catalogue;
use gaat::run::settled;
use gaat::train::{TrainOptions, train_in, with_given_model};
use gaat::world::Place;
use gaat_cli::arguments::TrainArguments;
use gaat_cli::printer::Printer;
use gaat_report::format::typed;
use gaat_report::trained_text;
use gaat_spec::{CheckedRecipe, Recipe, RunRecord, Status, visible_path};
use gaat_study::{recipes, report};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The record, and where it lies.
#[derive(Serialize)]
struct Finished<'a> {
    directory: &'a Path,
    #[serde(flatten)]
    record: &'a RunRecord,
}

/// Trains alone, or in the `place` of one of several processes. All of these were started again where one had failed: they continue from
/// what was saved.
pub(crate) fn run(arguments: &TrainArguments, printer: &Printer, place: Option<&Place>) -> Result<Outcome> {
    let (catalogue, recipe, run_dir) = plan(arguments)?;
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

/// The recipe and the run directory that the arguments mean, and the networks that there are.
fn plan(arguments: &TrainArguments) -> Result<(Catalogue, CheckedRecipe, PathBuf)> {
    let file = arguments.file.as_deref();
    let read = |file| -> Result<Recipe> { Ok(recipes::read(file)?.overlaid_with(&arguments.recipe)?) };
    if !arguments.resume {
        let (recipe, catalogue) = settled(with_given_model(read(file)?)?, None)?;
        let recipe = catalogue.check(&recipe)?;
        let run_dir = arguments.out.clone().unwrap_or_else(|| recipes::usual_directory(&recipe));
        return Ok((catalogue, recipe, run_dir));
    }
    // `gaat train --resume RUN` reads as naturally as `--out RUN`.
    let (named, file) = match file {
        Some(path) if path.is_dir() => (Some(path.to_owned()), None),
        file => (None, file),
    };
    let run_dir = if let Some(run_dir) = arguments.out.clone().or(named) {
        run_dir
    } else {
        let (recipe, catalogue) = settled(with_given_model(read(file)?)?, None)?;
        recipes::usual_directory(&catalogue.check(&recipe)?)
    };
    // Without a recipe of its own, the run continues with the one that it was started with.
    let saved = if file.is_none() { gaat::run::recipe(&run_dir)? } else { None };
    let recipe = if let Some(saved) = saved {
        // A run that is done needs no images any more.
        let is_done = gaat::run::record(&run_dir).is_ok_and(|record| record.status == Status::Done);
        if arguments.recipe.data_dir.is_none() && !is_done {
            recipes::check_data_dir(&saved)?;
        }
        saved.overlaid_with(&arguments.recipe)?
    } else {
        with_given_model(read(file)?)?
    };
    let (recipe, catalogue) = settled(recipe, Some(&run_dir))?;
    let recipe = catalogue.check(&recipe)?;
    Ok((catalogue, recipe, run_dir))
}
