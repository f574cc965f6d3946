//! `gaat compare`: several methods under one recipe, judged alike, in one table.
//!
//! Runs go seed by seed, the methods of a seed next to each other, so that whatever slows the machine down for a while
//! slows all methods. Everything is on disk after every run; the same command goes on where it stopped.

mod plan;
mod saved;

pub(crate) use saved::judgement;

use super::Outcome;
use super::evaluate::judge;
use crate::arguments::CompareArguments;
use crate::directory::{command_line, write_whole};
use crate::interrupt;
use crate::printer::Printer;
use crate::progress::{EvaluationProgress, TrainingProgress};
use crate::reports;
use anyhow::{Context, Result, bail};
use gaat::evaluate::EvaluateOptions;
use gaat::train::{TrainOptions, train};
use gaat_report::format::{duration, percent};
use gaat_report::{ComparedRun, Document, Summary, frontier, summarize};
use gaat_spec::collapse::Training;
use gaat_spec::{ComputePrecision, Evaluation, RunRecord, Status, visible_path};
use plan::{Job, Judging, Plan};
use saved::{Found, Judgement};
use serde::Serialize;

/// Version of the layout of `compare.json`.
const SCHEMA: &str = "gaat-compare-1";

/// What `compare.json` holds.
#[derive(Serialize)]
struct Comparison<'a> {
    schema: &'static str,
    directory: String,
    command: String,
    title: &'a str,
    judging: &'a Judging,
    planned: usize,
    runs: &'a [ComparedRun],
    summary: Summary,
}

impl Comparison<'_> {
    fn document(&self) -> Document<'_> {
        Document { title: self.title, planned: self.planned, runs: self.runs, summary: &self.summary }
    }
}

/// What `auto` stood for in the first run of an earlier start it stands for in all: on another machine it might be another
/// precision, and another method would not be the only difference between two runs.
fn share_precision(jobs: &mut [Job]) -> Result<()> {
    let begun =
        jobs.iter().find_map(|job| Some((job.directory.clone(), gaat::run::record(&job.directory).ok()?)));
    let Some((directory, record)) = begun else { return Ok(()) };
    // The recipes as they were written are the same already, and say `auto` or what was taken.
    for job in jobs {
        gaat::run::check_precision_kept(
            &directory,
            &record.environment.precision,
            gaat::device::parse_device(&job.recipe.device)?,
        )?;
        job.recipe.precision.clone_from(&record.environment.precision);
    }
    Ok(())
}

/// How one run of the comparison ended.
enum Ended {
    /// Trained and judged.
    Judged(Box<(RunRecord, Evaluation)>),
    /// Stopped by an error of its own, which leaves the other runs alone.
    Failed(String),
    /// Stopped by the user.
    Interrupted,
}

pub(crate) fn run(arguments: &CompareArguments, printer: &Printer) -> Result<Outcome> {
    interrupt::advise("interrupted; the same command goes on from here");
    let plan = Plan::new(arguments)?;
    // A run of another recipe is found before hours of training, not after.
    let found =
        plan.jobs.iter().map(|job| saved::find(job, &plan.judging)).collect::<Result<Vec<Found>>>()?;
    let _owner = gaat::lock::Owner::of(&plan.out, "comparing")?;
    gaat::device::prepare_process(plan.threads)?;
    let mut plan = plan;
    share_precision(&mut plan.jobs)?;
    let mut runs: Vec<ComparedRun> = Vec::new();
    for (index, (job, found)) in plan.jobs.iter().zip(found).enumerate() {
        let prefix = format!("[{}/{}] {}, seed {}", index + 1, plan.jobs.len(), job.method, job.seed);
        let ended = match found {
            _ if interrupt::requested() => Ended::Interrupted,
            Found::Judged(whole) => Ended::Judged(whole),
            Found::Trained => finish(job, &plan, false, &prefix, printer)?,
            Found::Unfinished => finish(job, &plan, true, &prefix, printer)?,
        };
        let Some(run) = compared(job, ended, &prefix, printer) else {
            printer.notice("interrupted; the same command goes on from here");
            return Ok(Outcome::Interrupted);
        };
        runs.push(run);
        save(&comparison(&plan, &runs), &plan)?;
    }
    let comparison = comparison(&plan, &runs);
    printer.result(&comparison, |comparison| {
        let place = visible_path(&plan.out);
        format!(
            "{}\nruns, compare.json, README.md, report.html and frontier.svg: {place}",
            comparison.document().to_text()
        )
    })?;
    let failed = runs.iter().filter(|run| run.failure.is_some()).count();
    if failed > 0 {
        bail!(
            "{failed} of {} runs failed (see above); the same command tries them again from their last checkpoints",
            runs.len()
        );
    }
    Ok(Outcome::Done)
}

/// Trains as far as is left to train, and judges.
fn finish(job: &Job, plan: &Plan, to_train: bool, prefix: &str, printer: &Printer) -> Result<Ended> {
    if to_train {
        let options = TrainOptions { run_dir: job.directory.clone(), resume: true };
        match train(&job.recipe, &options, &mut TrainingProgress::new(printer, prefix)) {
            Ok(record) if record.status == Status::Interrupted => return Ok(Ended::Interrupted),
            Ok(_) => {}
            Err(error) if is_of_the_run(&error) => return Ok(Ended::Failed(error.to_string())),
            Err(error) => return Err(error).with_context(|| format!("in {}", visible_path(&job.directory))),
        }
    }
    judged(job, plan, prefix, printer).with_context(|| format!("judging {}", visible_path(&job.directory)))
}

/// Whether an error comes from this recipe's mathematics, and not from data or disk, which all runs share.
fn is_of_the_run(error: &gaat::Error) -> bool {
    matches!(error, gaat::Error::Training { .. } | gaat::Error::Model { .. })
}

fn judged(job: &Job, plan: &Plan, prefix: &str, printer: &Printer) -> Result<Ended> {
    let judging = &plan.judging;
    let opened = gaat::run::open(&job.directory, judging.checkpoint.into(), None, ComputePrecision::Fp32)?;
    let test = gaat::run::test_images(&job.recipe.resolved, None)?;
    let options = EvaluateOptions {
        limit: judging.limit,
        selection: judging.selection,
        training: opened.record.as_ref().map(Training::of).unwrap_or_default(),
        seed: judging.seed,
        ..EvaluateOptions::new(judging.threat, judging.attacks.clone(), crate::arguments::BATCH_SIZE)
    };
    let mut progress = EvaluationProgress::new(printer, prefix);
    let Some(evaluation) = judge(&opened, test.images(), &options, None, &mut progress)? else {
        return Ok(Ended::Interrupted);
    };
    Judgement::save(job, judging, &evaluation)?;
    gaat::run::record_test(&job.directory, &evaluation)?;
    reports::keep_gallery(&job.directory, &opened, test.images(), judging.threat, printer);
    reports::refresh(&job.directory, printer);
    Ok(Ended::Judged(Box::new((gaat::run::record(&job.directory)?, evaluation))))
}

/// The run as it goes into the table; `None` when the user stopped it.
fn compared(job: &Job, ended: Ended, prefix: &str, printer: &Printer) -> Option<ComparedRun> {
    let mut run = ComparedRun {
        method: job.method,
        seed: job.seed,
        directory: job.directory.display().to_string(),
        failure: None,
        record: None,
        evaluation: None,
    };
    match ended {
        Ended::Interrupted => return None,
        Ended::Failed(reason) => {
            printer.progress(&format!("{prefix}  failed: {reason}"));
            // A record without a number where one is needed cannot be read back; the reason is what matters.
            run.record = gaat::run::record(&job.directory).ok();
            run.failure = Some(reason);
        }
        Ended::Judged(whole) => {
            let (record, evaluation) = *whole;
            printer.progress(&format!(
                "{prefix}  clean {} %  worst case {} %  in {}",
                percent(evaluation.clean_accuracy, 1),
                percent(evaluation.robust_accuracy, 1),
                duration(record.seconds.total)
            ));
            run.record = Some(record);
            run.evaluation = Some(evaluation);
        }
    }
    Some(run)
}

fn comparison<'a>(plan: &'a Plan, runs: &'a [ComparedRun]) -> Comparison<'a> {
    Comparison {
        schema: SCHEMA,
        directory: plan.out.display().to_string(),
        command: command_line(),
        title: &plan.title,
        judging: &plan.judging,
        planned: plan.jobs.len(),
        runs,
        summary: summarize(runs),
    }
}

fn save(comparison: &Comparison, plan: &Plan) -> Result<()> {
    let json = serde_json::to_string_pretty(comparison)? + "\n";
    write_whole(&plan.out.join("compare.json"), &json)?;
    let mut page = comparison.document().to_markdown();
    if let Some(svg) = frontier(comparison.title, &comparison.summary) {
        write_whole(&plan.out.join("frontier.svg"), &svg)?;
        page.push_str("\n![robust accuracy over cost](frontier.svg)\n");
    }
    write_whole(&plan.out.join("README.md"), &page)?;
    reports::write_comparison(&plan.out, Some(&comparison.command), comparison.document())
}
