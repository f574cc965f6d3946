//! `gaat evaluate`.

use super::Outcome;
use crate::arguments::{CheckpointChoice, EvaluateArguments, SubjectArguments};
use crate::judging::Attacks;
use crate::printer::Printer;
use crate::progress::EvaluationProgress;
use anyhow::{Result, bail};
use gaat::evaluate::{EvaluateOptions, Progress, evaluate, evaluate_resumable};
use gaat::run::{Checkpoint, OpenedRun};
use gaat_data::{ImageSet, TestSet};
use gaat_report::format::{count, decimals, percent, seconds};
use gaat_report::{Align, Table};
use gaat_spec::{AttackResult, CheckedRecipe, DatasetName, Evaluation, Norm, Recipe, ThreatModel};
use std::path::Path;

impl From<CheckpointChoice> for Checkpoint {
    fn from(choice: CheckpointChoice) -> Self {
        match choice {
            CheckpointChoice::Best => Self::Best,
            CheckpointChoice::Last => Self::Last,
        }
    }
}

/// The network, the recipe whose images are meant, and these images.
pub(super) fn open_subject(subject: &SubjectArguments) -> Result<(OpenedRun, CheckedRecipe, TestSet)> {
    check_there(&subject.run)?;
    gaat::run::prepare_process(subject.threads)?;
    let (device, precision) = (subject.device.as_deref(), subject.precision.as_deref());
    let opened = gaat::run::open(&subject.run, subject.checkpoint.into(), device, precision)?;
    let trained = recipe(subject, &opened)?;
    let test = gaat::run::test_images(&trained.resolved, subject.data_dir.clone())?;
    check_classes(test.images(), &opened)?;
    Ok((opened, trained, test))
}

pub(crate) fn run(arguments: &EvaluateArguments, printer: &Printer) -> Result<Outcome> {
    let subject = &arguments.subject;
    let (opened, trained, test) = open_subject(subject)?;
    let threat = threat(subject, &trained)?;
    let attacks = Attacks {
        names: &arguments.attack,
        steps: arguments.steps,
        restarts: arguments.restarts,
        step_size: arguments.step_size,
    };
    let options = EvaluateOptions {
        threat,
        attacks: attacks.specs(&threat, trained.dataset)?,
        batch_size: subject.batch_size,
        limit: subject.limit,
        seed: subject.seed,
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
    if speaks_for_the_run(subject, &opened, &options, &trained) {
        // The verdict is worth showing even where the run cannot be written to.
        if let Err(error) = gaat::run::record_test(&subject.run, &evaluation) {
            printer.warning(&format!("the result is not in run.json: {error}"));
        }
    }
    let title = title(&subject.run, &opened, trained.dataset, &evaluation);
    printer.result(&evaluation, |evaluation| text(&title, evaluation))?;
    Ok(verdict(&evaluation, arguments, printer))
}

fn check_there(run: &Path) -> Result<()> {
    if !run.exists() {
        bail!("{}: nothing there; expected a run directory of `gaat train`, or a checkpoint", run.display());
    }
    if run.is_dir() && !run.join("run.json").exists() {
        bail!("{}: no run directory, for it holds no run.json; is the run below it?", run.display());
    }
    Ok(())
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

/// The recipe whose test images and threat model are meant.
fn recipe(arguments: &SubjectArguments, opened: &OpenedRun) -> Result<CheckedRecipe> {
    // A checkpoint inside a run directory knows its recipe from there.
    let beside =
        arguments.run.parent().and_then(Path::parent).filter(|root| root.join("recipe.toml").exists());
    let recipe = match (&opened.record, beside, arguments.dataset) {
        (Some(record), _, None) => record.recipe.clone(),
        (None, Some(root), None) => gaat::run::recipe(root)?,
        (_, _, Some(dataset)) => Recipe {
            dataset: Some(dataset),
            resize: (dataset == DatasetName::Folder).then_some(opened.description.input.1 as usize),
            model: Some(opened.description.model),
            ..Recipe::default()
        },
        (None, None, None) => {
            bail!("{} does not say what to judge it on; add --dataset", arguments.run.display())
        }
    };
    Ok(recipe.check()?)
}

pub(super) fn threat(arguments: &SubjectArguments, trained: &CheckedRecipe) -> Result<ThreatModel> {
    let norm = arguments.norm.unwrap_or(trained.threat.norm());
    if norm != trained.threat.norm() && arguments.epsilon.is_none() {
        let example = if norm == Norm::L2 { "0.5" } else { "8/255" };
        bail!("--norm {norm} needs --epsilon: a bound in another norm is another number, such as {example}");
    }
    Ok(ThreatModel::new(norm, arguments.epsilon.unwrap_or(trained.threat.epsilon_length()))?)
}

/// Accuracy on images of other classes would be a number without a meaning.
fn check_classes(images: &ImageSet, opened: &OpenedRun) -> Result<()> {
    let (found, expected) = (images.class_names(), &opened.description.class_names);
    if found != expected {
        bail!(
            "the test images have other classes than the network: {} against {}; \
             --dataset and --data-dir choose the images",
            found.join(", "),
            expected.join(", ")
        );
    }
    Ok(())
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
