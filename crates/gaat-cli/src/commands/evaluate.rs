//! `gaat evaluate`.

use super::Outcome;
use super::subject::{Subject, threat};
use crate::arguments::{CheckpointChoice, EvaluateArguments, SubjectArguments};
use crate::directory::command_line;
use crate::judging::Attacks;
use crate::printer::Printer;
use crate::progress::EvaluationProgress;
use crate::reports;
use crate::verdicts::{self, Verdict};
use anyhow::Result;
use gaat::evaluate::{EvaluateOptions, Progress, evaluate, evaluate_resumable};
use gaat::run::OpenedRun;
use gaat_data::ImageSet;
use gaat_report::format::{count, decimals, percent, seconds};
use gaat_report::{Align, Table};
use gaat_spec::{AttackResult, CheckedRecipe, DatasetName, Evaluation, ThreatModel};
use std::path::Path;

pub(crate) fn run(arguments: &EvaluateArguments, printer: &Printer) -> Result<Outcome> {
    let attacked = &arguments.attacked;
    let Subject { opened, trained, test } = Subject::open(&attacked.subject)?;
    let threat = threat(attacked, &trained)?;
    let attacks = Attacks {
        names: &arguments.attack,
        steps: arguments.steps,
        restarts: arguments.restarts,
        step_size: arguments.step_size,
    };
    let options = EvaluateOptions {
        threat,
        attacks: attacks.specs(&threat, trained.dataset)?,
        batch_size: attacked.batch_size,
        limit: attacked.limit,
        seed: attacked.seed,
    };
    let mut progress = EvaluationProgress::new(printer, "");
    let Some(evaluation) =
        judge(&opened, test.images(), &options, arguments.state.as_deref(), &mut progress)?
    else {
        printer.notice(match arguments.state {
            Some(_) => "interrupted; the same command goes on from here",
            None => "interrupted; an evaluation starts anew when it is repeated, unless it has a --state",
        });
        return Ok(Outcome::Interrupted);
    };
    if speaks_for_the_run(&attacked.subject, &opened, &options, &trained) {
        // The verdict is worth showing even where the run cannot be written to.
        if let Err(error) = gaat::run::record_test(&attacked.subject.run, &evaluation) {
            printer.warning(&format!("the result is not in run.json: {error}"));
        }
    }
    if opened.record.is_some() && attacked.subject.dataset.is_none() {
        keep(&attacked.subject, &opened, test.images(), &evaluation, trained.threat, printer);
    }
    let title = title(&attacked.subject.run, &opened, trained.dataset, &evaluation);
    printer.result(&evaluation, |evaluation| text(&title, evaluation))?;
    Ok(verdict(&evaluation, arguments, printer))
}

/// Keeps what the report of the run is made from, and writes it anew.
fn keep(
    subject: &SubjectArguments,
    opened: &OpenedRun,
    images: &ImageSet,
    evaluation: &Evaluation,
    threat: ThreatModel,
    printer: &Printer,
) {
    let SubjectArguments { run, checkpoint, .. } = subject;
    let verdict =
        Verdict { command: Some(command_line()), checkpoint: *checkpoint, evaluation: evaluation.clone() };
    if let Err(error) = verdicts::keep(run, verdict) {
        printer.warning(&format!("the result is not in the report: {error:#}"));
    }
    if *checkpoint == CheckpointChoice::Best && evaluation.threat == threat {
        reports::keep_gallery(run, opened, images, threat, printer);
    }
    reports::refresh(run, printer);
}

/// Judges on `images`; `None` when the user stopped it.
pub(super) fn judge(
    opened: &OpenedRun,
    images: &ImageSet,
    options: &EvaluateOptions,
    state: Option<&Path>,
    progress: &mut EvaluationProgress,
) -> Result<Option<Evaluation>> {
    let classifier = opened.classifier.as_ref();
    let mut observer = |now: &Progress| progress.update(now);
    let judged = match state {
        Some(state) => evaluate_resumable(classifier, images, options, state, &mut observer),
        None => evaluate(classifier, images, options, &mut observer),
    };
    match judged {
        Ok(evaluation) => Ok(Some(evaluation)),
        Err(gaat::Error::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the result is the one that the record of the run should hold: of the whole test set, the best checkpoint
/// and the threat model that it was trained for.
fn speaks_for_the_run(
    arguments: &SubjectArguments,
    opened: &OpenedRun,
    options: &EvaluateOptions,
    trained: &CheckedRecipe,
) -> bool {
    opened.record.is_some()
        && arguments.dataset.is_none()
        && options.limit.is_none()
        && arguments.checkpoint == CheckpointChoice::Best
        && options.threat == trained.threat
}

fn title(run: &Path, opened: &OpenedRun, dataset: DatasetName, evaluation: &Evaluation) -> String {
    let method = opened.record.as_ref().and_then(|record| record.recipe.method);
    let method = method.map(|method| format!(", {method}")).unwrap_or_default();
    format!(
        "{}: {}{method}, {} test images of {dataset}, {}",
        run.display(),
        opened.description.model,
        count(evaluation.examples as u64),
        evaluation.threat
    )
}

fn text(title: &str, evaluation: &Evaluation) -> String {
    let digits = decimals(evaluation.examples);
    let mut table = Table::new([
        ("attack", Align::Left),
        ("accuracy %", Align::Right),
        ("95 % interval", Align::Right),
        ("step", Align::Right),
        ("seconds", Align::Right),
    ]);
    let interval = |(low, high): (f64, f64)| format!("{} - {}", percent(low, digits), percent(high, digits));
    table.push([
        "none (clean)".to_owned(),
        percent(evaluation.clean_accuracy, digits),
        interval(evaluation.clean_interval),
    ]);
    let mut row = |name: String, result: &AttackResult| {
        table.push([
            name,
            percent(result.robust_accuracy, digits),
            interval(result.interval),
            result.attack.step_size().map(|step| format!("{:.4}", step.value())).unwrap_or_default(),
            seconds(result.seconds),
        ]);
    };
    for result in &evaluation.attacks {
        for part in &result.parts {
            row(format!("  {}", part.name), part);
        }
        row(result.name.clone(), result);
    }
    let worst = percent(evaluation.robust_accuracy, digits);
    table.push(["worst case".to_owned(), worst, interval(evaluation.robust_interval)]);
    let lines = |word: &str, lines: &[String]| -> String {
        lines.iter().map(|line| ["\n", word, ": ", line].concat()).collect()
    };
    let (notes, alarms) = (lines("note", &evaluation.notes), lines("alarm", &evaluation.alarms));
    format!("{title}\n\n{}{notes}{alarms}", table.to_text())
}

fn verdict(evaluation: &Evaluation, arguments: &EvaluateArguments, printer: &Printer) -> Outcome {
    let mut outcome = Outcome::Done;
    if let Some(required) = arguments.require_robust
        && evaluation.robust_accuracy < required
    {
        let found = evaluation.robust_accuracy;
        printer.notice(&format!("missed: robust accuracy {found:.4} is below the required {required}"));
        outcome = Outcome::ThresholdMissed;
    }
    if arguments.require_no_alarms && !evaluation.alarms.is_empty() {
        printer.notice(&format!("missed: {} alarms, and none is allowed", evaluation.alarms.len()));
        outcome = Outcome::ThresholdMissed;
    }
    outcome
}
