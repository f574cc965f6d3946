//! `gaat train`.

use super::Outcome;
use crate::arguments::TrainArguments;
use crate::directory::typed;
use crate::printer::Printer;
use crate::progress::TrainingProgress;
use crate::recipes;
use crate::reports;
use anyhow::Result;
use gaat::train::{TrainOptions, train, with_given_model};
use gaat_report::format::{NOTHING, duration, percent, ratio, run_name};
use gaat_spec::{CheckedRecipe, RunRecord, Status, visible_path};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The record, and where it lies.
#[derive(Serialize)]
struct Finished<'a> {
    directory: &'a Path,
    #[serde(flatten)]
    record: &'a RunRecord,
}

pub(crate) fn run(arguments: &TrainArguments, printer: &Printer) -> Result<Outcome> {
    let (recipe, run_dir) = plan(arguments)?;
    gaat::device::prepare_process(recipe.resolved.threads)?;
    let options = TrainOptions { run_dir: run_dir.clone(), resume: arguments.resume };
    let mut progress = TrainingProgress::new(printer, "");
    let record = train(&recipe, &options, &mut progress)?;
    if !progress.has_begun() {
        printer.notice(&format!("{}: finished already; nothing was left to train", visible_path(&run_dir)));
    }
    drop(progress);
    reports::refresh(&run_dir, printer);
    if record.status == Status::Interrupted {
        printer.notice(&format!("interrupted; go on with: gaat train --resume --out {}", typed(&run_dir)));
        return Ok(Outcome::Interrupted);
    }
    printer.result(&Finished { directory: &run_dir, record: &record }, summary)?;
    Ok(Outcome::Done)
}

/// The recipe and the run directory that the arguments mean.
fn plan(arguments: &TrainArguments) -> Result<(CheckedRecipe, PathBuf)> {
    let file = arguments.file.as_deref();
    if !arguments.resume {
        let recipe = with_given_model(recipes::read(file, &arguments.recipe)?)?.check()?;
        let run_dir = arguments.out.clone().unwrap_or_else(|| default_directory(&recipe));
        return Ok((recipe, run_dir));
    }
    // `gaat train --resume RUN` reads as naturally as `--out RUN`.
    let (named, file) = match file {
        Some(path) if path.is_dir() => (Some(path.to_owned()), None),
        file => (None, file),
    };
    let run_dir = match arguments.out.clone().or(named) {
        Some(run_dir) => run_dir,
        None => default_directory(&with_given_model(recipes::read(file, &arguments.recipe)?)?.check()?),
    };
    // Without a recipe of its own, the run goes on with the one that it was started with.
    let saved = if file.is_none() { gaat::run::recipe(&run_dir)? } else { None };
    let recipe = if let Some(saved) = saved {
        // A run that is done needs no images any more.
        let is_done = gaat::run::record(&run_dir).is_ok_and(|record| record.status == Status::Done);
        if arguments.recipe.data_dir.is_none() && !is_done {
            recipes::check_data_dir(&saved)?;
        }
        saved.overlaid_with(&arguments.recipe)?
    } else {
        with_given_model(recipes::read(file, &arguments.recipe)?)?
    };
    Ok((recipe.check()?, run_dir))
}

fn default_directory(recipe: &CheckedRecipe) -> PathBuf {
    let CheckedRecipe { dataset, model, method_name, .. } = recipe;
    let seed = recipe.plan.seed();
    PathBuf::from(format!("runs/{dataset}-{model}-{method_name}-s{seed}"))
}

fn summary(finished: &Finished<'_>) -> String {
    let Finished { directory, record } = finished;
    let seconds = record.seconds;
    let whole = duration(seconds.total + seconds.evaluation);
    let mut lines = vec![format!(
        "{}: {whole} (attack {}, training {}, validation {})",
        run_name(&record.recipe),
        duration(seconds.attack),
        duration(seconds.train),
        duration(seconds.evaluation)
    )];
    let best = record.best_epoch.and_then(|best| record.epochs.iter().find(|epoch| epoch.epoch == best));
    if let Some(best) = best {
        let accuracy =
            |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), |value| percent(value, 1) + " %");
        let steps = record.recipe.validation_steps.unwrap_or_default();
        lines.push(format!(
            "validation   clean {}   pgd-{steps} {}   (epoch {}, the best)",
            accuracy(best.validation_clean),
            accuracy(best.validation_robust),
            best.epoch
        ));
    }
    lines.push(format!("cost         {} the passes of natural training", ratio(record.cost_ratio)));
    for epoch in &record.epochs {
        lines.extend(epoch.alarms.iter().map(|alarm| format!("alarm        epoch {}: {alarm}", epoch.epoch)));
    }
    lines.push(format!("run          {}", visible_path(directory)));
    lines.push(format!("report       {}", visible_path(&directory.join("report.html"))));
    lines.push(format!("next         gaat evaluate {}", typed(directory)));
    lines.join("\n")
}
