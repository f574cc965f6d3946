//! `gaat compare`: several methods under one recipe, judged alike, in one table.

use super::ended;
use crate::progress::ComparisonProgress;
use anyhow::{Result, bail};
use gaat::run::settled;
use gaat_cli::arguments::CompareArguments;
use gaat_cli::directory::command_line;
use gaat_cli::interrupt;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_spec::{Budget, visible_path};
use gaat_study::{CompareOptions, Plan, compare, recipes};

const GOES_ON: &str = "interrupted; the same command continues from here";

pub(crate) fn run(arguments: &CompareArguments, printer: &Printer) -> Result<Outcome> {
    interrupt::advise(GOES_ON);
    if arguments.recipe.method.is_some() {
        bail!("--method is for one run; a comparison takes --methods natural,rat,gaat");
    }
    let options = options(arguments)?;
    let (recipe, catalogue) = settled(options.recipe.clone(), None)?;
    let plan = Plan::new(&CompareOptions { recipe, ..options }, &catalogue)?;
    gaat::device::prepare_process(plan.threads())?;
    let mut progress = ComparisonProgress::new(printer);
    let compared = compare(&plan, &catalogue, &mut progress);
    drop(progress);
    let Some(comparison) = ended(compared, printer, GOES_ON)? else { return Ok(Outcome::Interrupted) };
    printer.result(&comparison, |comparison| {
        let place = visible_path(plan.directory());
        format!(
            "{}\nruns, compare.json, README.md, report.html and frontier.svg: {place}",
            comparison.document().to_text()
        )
    })?;
    let (failed, all) = (comparison.failed(), comparison.runs.len());
    if failed > 0 {
        bail!(
            "{failed} of {all} runs failed (see above); the same command tries them again from their last checkpoints"
        );
    }
    Ok(Outcome::Done)
}

fn options(arguments: &CompareArguments) -> Result<CompareOptions> {
    let judge = &arguments.judge;
    let recipe = recipes::read(arguments.file.as_deref())?.overlaid_with(&arguments.recipe)?;
    Ok(CompareOptions {
        seeds: arguments.seeds,
        directory: arguments.out.clone(),
        attacks: judge.judge.clone(),
        budget: Budget {
            steps: judge.judge_steps,
            restarts: judge.judge_restarts,
            step_size: judge.judge_step_size,
            random_start: judge.judge_random_start,
            ..Budget::default()
        },
        checkpoint: judge.checkpoint,
        limit: judge.judge_limit.or(judge.judge_first),
        selection: super::selection(judge.judge_first),
        command: Some(command_line()),
        ..CompareOptions::new(recipe, arguments.methods.clone())
    })
}
